package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newLadderCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ladder ENV",
		Short: "Show what the ladder of an environment gives, and holds",
		Long: `Show what the ladder of an environment gives, and what there is of it.

  KEEPS    how many slots in which there is a restore point the rung keeps
  REACH    how far back they go at least, when a backup was due in each
  HELD     how many restore points represent a slot of the rung now
  NOW      who asks for the state of one rung ago gets one of this age
  WORST    how old it is at the worst moment, while all goes well and backups take
           as long as they do now

A rung is suspended while backups take longer than max_duty of it, and comes
back by itself. docs/ladder.md has the rules.`,
		Example: "  envdb ladder prod\n  envdb ladder prod -o json",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderLadder, func(ctx context.Context, m *manager.Manager) (*manager.Ladder, error) {
				return m.Ladder(ctx, args[0])
			})
		},
	}
}

func renderLadder(w io.Writer, l *manager.Ladder) {
	rows := make([][]string, 0, len(l.Rungs))
	for _, r := range l.Rungs {
		now, worst, note := "none yet", "-", ""
		if r.Point != "" {
			now = age(r.Age)
		}
		if r.Worst > 0 {
			worst = age(r.Worst)
		}
		if r.Suspended {
			note = "suspended"
		}
		rows = append(rows, []string{
			envdb.FormatDuration(r.Rung), fmt.Sprint(r.Slots), envdb.FormatDuration(r.Reach), fmt.Sprint(r.Held), now, worst, note,
		})
	}
	console.Table(w, []string{"RUNG", "KEEPS", "REACH", "HELD", "NOW", "WORST", "NOTE"}, rows)
	if l.Says != "" {
		fmt.Fprintln(w, l.Says)
	}
	switch {
	case l.Points == 0:
		fmt.Fprintf(w, "no good restore point yet\nNext: envdb backup %s\n", l.Environment)
	default:
		fmt.Fprintf(w, "%s, the newest %s old\n", counted(int64(l.Points), "good restore point"), age(l.Newest))
	}
	if len(l.Bursts) > 0 {
		fmt.Fprintf(w, "a burst: the next of its backups is due at %s, the last at %s\n", console.Time(l.Bursts[0]), console.Time(l.Bursts[len(l.Bursts)-1]))
	}
	for _, until := range l.Replaced {
		fmt.Fprintf(w, "what was in force before still keeps what it kept, until %s\n", console.Time(until))
	}
}

// age shows a time span in two units at most.
func age(d time.Duration) string {
	switch {
	case d >= envdb.Day:
		d = d.Truncate(time.Hour)
	case d >= time.Hour:
		d = d.Truncate(time.Minute)
	default:
		d = d.Truncate(time.Second)
	}
	return envdb.FormatDuration(d)
}
