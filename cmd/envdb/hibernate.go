package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newHibernateCommand(a *app) *cobra.Command {
	var req manager.HibernateRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "hibernate ENV",
		Short: "Turn an environment into a backup until it is needed again",
		Long: `Turn an environment into a backup until it is needed again: it is taken out of
service, backed up, the backup is pinned and read back piece by piece, and only
then its databases are dropped. "envdb wake ENV" restores it.

Its databases are dropped, so type its name again: --confirm ENV. Production and
protected environments do not hibernate.`,
		Example: "  envdb hibernate staging --confirm staging",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			return a.runHibernate(c.Context(), req, dryRun)
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runHibernate(ctx context.Context, req manager.HibernateRequest, dryRun bool) error {
	return planned(ctx, a, dryRun, renderHibernated,
		func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanHibernate(ctx, req) },
		func(ctx context.Context, m *manager.Manager) (*manager.HibernateResult, error) {
			return m.Hibernate(ctx, req)
		})
}

func renderHibernated(w io.Writer, r *manager.HibernateResult) {
	if !r.Hibernated {
		fmt.Fprintf(w, "%s hibernates already, as backup %s (%s)\n", r.Environment, r.Backup, console.Bytes(r.Bytes))
	} else {
		fmt.Fprintf(w, "%s hibernates as backup %s (%s stored), verified; in %s\n", r.Environment, r.Backup, console.Bytes(r.Bytes), console.Duration(r.Elapsed))
	}
	for _, database := range r.Dropped {
		fmt.Fprintf(w, "  dropped %s\n", database)
	}
	fmt.Fprintf(w, "Undo: envdb wake %s\n", r.Environment)
}

func newWakeCommand(a *app) *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:     "wake ENV",
		Short:   "Bring an environment that hibernates back",
		Long:    "Bring an environment that hibernates back, exactly as it was.",
		Example: "  envdb wake staging",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runWake(c.Context(), args[0], dryRun)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runWake(ctx context.Context, name string, dryRun bool) error {
	return planned(ctx, a, dryRun, renderWoken,
		func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanWake(ctx, name) },
		func(ctx context.Context, m *manager.Manager) (*manager.WakeResult, error) { return m.Wake(ctx, name) })
}

func renderWoken(w io.Writer, r *manager.WakeResult) {
	switch {
	case !r.Woken:
		fmt.Fprintf(w, "%s is awake\n", r.Environment)
	case r.Build == nil:
		fmt.Fprintf(w, "%s is awake again: its database was still there\n", r.Environment)
	default:
		fmt.Fprintf(w, "%s is awake again: %s, %s, as of %s; in %s\n", r.Environment, console.Bytes(r.Build.Bytes), counted(r.Build.Rows, "row"), console.Time(r.Build.Point), console.Duration(r.Elapsed))
	}
}
