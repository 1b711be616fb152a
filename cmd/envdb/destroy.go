package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

type destroyOptions struct {
	manager.DestroyRequest
	expired, dryRun bool
}

func newDestroyCommand(a *app) *cobra.Command {
	var opts destroyOptions
	c := &cobra.Command{
		Use:   "destroy NAME",
		Short: "Drop an environment with all its versions",
		Long: `Drop an environment with all its versions, and forget it if it was created. Nothing
brings it back, so type its name again: --confirm NAME. Its backups stay.

Production and protected environments are never destroyed, nor is a database
that envdb did not make.

With --expired, instead of a name: destroy what was created and has outlived its
ttl, or was idle for as long as its pattern says. What is going to go within a day
is warned of, and nothing goes before such a warning stood for an hour. Call it
from cron every hour where no daemon runs; no name is asked for.`,
		Example: `  envdb destroy test-feature-x --confirm test-feature-x
  envdb destroy --expired --dry-run`,
		Args: func(c *cobra.Command, args []string) error {
			if opts.expired {
				return arguments()(c, args)
			}
			return arguments("NAME")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			if opts.expired {
				return a.runDestroyExpired(c.Context(), opts)
			}
			opts.Environment = args[0]
			return a.runDestroy(c.Context(), opts)
		},
	}
	c.Flags().StringVar(&opts.Confirm, "confirm", "", "`NAME` again")
	c.Flags().BoolVar(&opts.expired, "expired", false, "what has outlived its ttl, or is idle")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runDestroy(ctx context.Context, opts destroyOptions) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if opts.dryRun {
		plan, err := s.manager.PlanDestroy(ctx, opts.DestroyRequest)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	result, err := s.manager.Destroy(ctx, opts.DestroyRequest)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, renderDestroyed)
}

func renderDestroyed(w io.Writer, r *manager.DestroyResult) {
	fmt.Fprintf(w, "destroyed %s\n", r.Environment)
	for _, database := range r.Dropped {
		fmt.Fprintf(w, "  dropped %s\n", database)
	}
	for database, why := range r.Left {
		fmt.Fprintf(w, "  left %s: %s\n", database, why)
	}
	if r.Backups > 0 {
		stay := "stay"
		if r.Backups == 1 {
			stay = "stays"
		}
		fmt.Fprintf(w, "  %s of it %s in the store\n", counted(int64(r.Backups), "backup"), stay)
	}
}

// runDestroyExpired prints what became of every environment also if some of
// them could not be destroyed.
func (a *app) runDestroyExpired(ctx context.Context, opts destroyOptions) error {
	if opts.Confirm != "" {
		return envdb.Fail(envdb.ErrMisuse, "--confirm goes with a NAME, not with --expired").WithNext("leave out one of them")
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	act := s.manager.DestroyExpired
	if opts.dryRun {
		act = s.manager.PlanExpired
	}
	result, err := act(ctx)
	s.finish()
	if result == nil {
		return err
	}
	if printed := print(a, result, renderExpiry); printed != nil {
		return printed
	}
	return err
}

func renderExpiry(w io.Writer, e *manager.Expiry) {
	if len(e.Environments) == 0 {
		fmt.Fprintln(w, "no environment was created")
		return
	}
	rows := make([][]string, 0, len(e.Environments))
	for _, line := range e.Environments {
		due := ""
		if !line.Due.IsZero() && slices.Contains([]manager.Fate{manager.Stays, manager.Warned, manager.Protected}, line.Fate) {
			due = console.Time(line.Due)
		}
		why := line.Why
		if line.Error != "" {
			why = line.Error
		}
		rows = append(rows, []string{line.Environment, string(line.Fate), due, why})
	}
	console.Table(w, []string{"ENVIRONMENT", "FATE", "GOES", "WHY"}, rows)
}
