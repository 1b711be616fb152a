package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
)

type runsOptions struct {
	environment, kind, since string
	failed                   bool
	limit                    int
}

func newRunsCommand(a *app) *cobra.Command {
	var opts runsOptions
	c := &cobra.Command{
		Use:   "runs",
		Short: "List what envdb did, newest first",
		Example: `  envdb runs --env prod-copy --failed --since 7d
  envdb runs show 20261121-100500`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error { return a.runRuns(c.Context(), opts) },
	}
	c.Flags().StringVar(&opts.environment, "env", "", "only those of `ENV`")
	c.Flags().StringVar(&opts.kind, "kind", "", "only those of `operation`: backup, mirror, restore, …")
	c.Flags().StringVar(&opts.since, "since", "", "only those that began within the last `duration` (1h, 7d)")
	c.Flags().BoolVar(&opts.failed, "failed", false, "only those that failed or were interrupted")
	c.Flags().IntVar(&opts.limit, "limit", 20, "at most `n`; 0 for all")
	c.AddCommand(newRunsShowCommand(a))
	return c
}

func (a *app) runRuns(ctx context.Context, opts runsOptions) error {
	query := manager.RunQuery{Environment: opts.environment, Operation: envdb.Operation(opts.kind), Failed: opts.failed, Limit: opts.limit}
	if opts.since != "" {
		span, err := envdb.ParseDuration(opts.since)
		if err != nil {
			return err
		}
		query.Since = time.Now().Add(-span)
	}
	return look(ctx, a, renderRuns, func(ctx context.Context, m *manager.Manager) (*manager.RunList, error) {
		return m.Runs(ctx, query)
	})
}

func renderRuns(w io.Writer, l *manager.RunList) {
	if len(l.Runs) == 0 {
		fmt.Fprintln(w, "no such runs")
		renderRollups(w, l.Rollups)
		return
	}
	rows := make([][]string, 0, len(l.Runs))
	for _, r := range l.Runs {
		source := r.Source
		if r.Backup != "" {
			source += " " + string(r.Backup)
		}
		rows = append(rows, []string{r.ID, string(r.Operation), r.Environment, source, string(r.Outcome), console.Duration(r.Took(l.At)), r.User + "@" + r.Host})
	}
	console.Table(w, []string{"RUN", "OPERATION", "ENVIRONMENT", "FROM", "OUTCOME", "TOOK", "BY"}, rows)
	renderRollups(w, l.Rollups)
}

// renderRollups shows a day of the ladder on a line.
func renderRollups(w io.Writer, rollups []ledger.Rollup) {
	for i, r := range rollups {
		if i == 0 {
			fmt.Fprintln(w, "\nladder backups of days that are over:")
		}
		if r.Unreadable != "" {
			fmt.Fprintf(w, "  %s-%s-%s %s: unreadable: %s\n", r.Day[:4], r.Day[4:6], r.Day[6:], r.Environment, r.Unreadable)
			continue
		}
		fmt.Fprintf(w, "  %s-%s-%s %s: %s succeeded, median %s, longest %s, %s stored\n", r.Day[:4], r.Day[4:6], r.Day[6:], r.Environment,
			console.Count(int64(r.Count)), console.Duration(r.Median), console.Duration(r.Longest), console.Bytes(r.Stored))
	}
}

func renderRun(w io.Writer, r *manager.RunReport) {
	fmt.Fprintf(w, "%s of %s: %s\n", r.Run.Operation, r.Run.Environment, r.Run.Outcome)
	fmt.Fprintf(w, "  began %s, took %s, by %s@%s (pid %d, envdb %s)\n", console.Time(r.Run.Started), console.Duration(r.Run.Took(r.At)), r.Run.User, r.Run.Host, r.Run.Process.PID, r.Run.Version)
	if r.Run.Source != "" {
		fmt.Fprintf(w, "  from %s\n", r.Run.Source)
	}
	if r.Run.Backup != "" {
		fmt.Fprintf(w, "  backup %s\n", r.Run.Backup)
	}
	if r.Run.Error != "" {
		fmt.Fprintf(w, "  %s\n", r.Run.Error)
	}
	if r.Run.State != "" {
		fmt.Fprintf(w, "  %s\n", r.Run.State)
	}
	if r.Run.Next != "" {
		fmt.Fprintf(w, "  Next: %s\n", r.Run.Next)
	}
	rows := make([][]string, 0, len(r.Run.Steps))
	for _, s := range r.Run.Steps {
		rows = append(rows, []string{"  " + s.Name, console.Duration(s.Took), stepQuantity(s)})
	}
	console.Table(w, []string{"  STEP", "TOOK", "DONE"}, rows)
	if r.LogUnreadable != "" {
		fmt.Fprintf(w, "log: %s\n", r.LogUnreadable)
	}
	if r.Log != "" {
		fmt.Fprintf(w, "log:\n%s", r.Log)
	}
}

// stepQuantity says how much a step did.
func stepQuantity(s ledger.Step) string {
	switch {
	case s.Done == 0:
		return ""
	case s.Unit == "bytes":
		return console.Bytes(s.Done)
	}
	return console.Count(s.Done) + " " + s.Unit
}
