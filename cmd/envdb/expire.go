package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newExpireCommand(a *app) *cobra.Command {
	var req manager.ExpireRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "expire [ENV]",
		Short: "Delete the backups that no rule keeps",
		Long: `Delete the backups that no rule keeps, of one environment or of all that have a
ladder, and remove what was deleted and whose time has come. What expires can be
had back for an hour: envdb undelete ENV@ID.

--dry-run shows what goes, and why what stays stays. What was promised longer when
it was taken, and the last three good ones, are held back until somebody agrees:
--confirm ENV. A ladder that was changed waits a day before it deletes what the one
before kept. While any backup cannot be read, nothing goes.

The daemon does this every ten minutes; without one, call it from cron.`,
		Example: "  envdb expire prod --dry-run\n  envdb expire",
		Args:    optional("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = strings.Join(args, "")
			return a.runExpire(c.Context(), req, dryRun)
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again: delete what is held back too")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show what would go and why the others stay, and do nothing")
	return c
}

// runExpire prints what became of every environment also if some of them
// failed.
func (a *app) runExpire(ctx context.Context, req manager.ExpireRequest, dryRun bool) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	act := s.manager.Expire
	if dryRun {
		act = s.manager.PlanExpire
	}
	result, err := act(ctx, req)
	s.finish()
	if result == nil {
		return err
	}
	if printed := print(a, result, renderRetention); printed != nil {
		return printed
	}
	return err
}

func renderRetention(w io.Writer, r *manager.Retention) {
	if len(r.Environments) == 0 {
		fmt.Fprintln(w, "no environment has a ladder, and nothing is deleted (docs/ladder.md)")
		return
	}
	for i, e := range r.Environments {
		if i > 0 {
			fmt.Fprintln(w)
		}
		renderEnvironmentRetention(w, e, r.Planned)
	}
}

func renderEnvironmentRetention(w io.Writer, e manager.EnvironmentRetention, planned bool) {
	going := "deleted"
	if planned {
		going = "would be deleted"
	}
	fmt.Fprintf(w, "%s: %s %s, %s removed, %s stay\n", e.Environment,
		counted(int64(len(e.Goes)), "backup"), going, counted(int64(len(e.Gone)), "deleted one"), counted(int64(len(e.Stays)), "backup"))
	if e.Blocked != "" {
		fmt.Fprintf(w, "  %s\n", e.Blocked)
	}
	if e.Error != "" && e.Error != e.Blocked {
		fmt.Fprintf(w, "  %s\n", e.Error)
	}
	var rows [][]string
	add := func(lines []manager.PointLine, fate string) {
		for _, p := range lines {
			text := fate
			if !p.Goes.IsZero() {
				text += " " + console.Time(p.Goes)
			}
			rows = append(rows, []string{"  " + string(p.ID), console.Time(p.Point), text, strings.Join(p.Reasons, "; ")})
		}
	}
	add(e.Goes, "goes")
	add(e.HeldBack, "held back")
	add(e.Deleted, "goes")
	for _, id := range e.Gone {
		rows = append(rows, []string{"  " + string(id), "", "gone", ""})
	}
	for _, later := range e.Later {
		rows = append(rows, []string{"  " + string(later.ID), "", "goes later", later.Why})
	}
	for _, id := range e.Back {
		rows = append(rows, []string{"  " + string(id), "", "is back", "a rule keeps it by now"})
	}
	if planned {
		for _, p := range e.Stays {
			fate := "stays"
			if !p.Goes.IsZero() {
				fate = "stays until " + console.Time(p.Goes)
			}
			rows = append(rows, []string{"  " + string(p.ID), console.Time(p.Point), fate, strings.Join(p.Reasons, "; ")})
		}
	}
	if len(rows) > 0 {
		console.Table(w, []string{"  BACKUP", "AS OF", "FATE", "WHY"}, rows)
	}
	if len(e.HeldBack) > 0 {
		fmt.Fprintf(w, "  held back until somebody agrees\nNext: envdb expire %s --confirm %s\n", e.Environment, e.Environment)
	}
}
