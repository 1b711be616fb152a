package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newPromoteCommand(a *app) *cobra.Command {
	var req manager.PromoteRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "promote ENV VERSION",
		Short: "Make a dark version live",
		Long: `Make a dark version live, in one transaction. What was live is kept as
"previous": envdb rollback ENV makes it live again.

For production, type its name again: --confirm ENV.`,
		Example: "  envdb promote prod shop__dark_20261121-100500 --confirm prod",
		Args:    arguments("ENV", "VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment, req.Version = args[0], args[1]
			return a.runSwap(c.Context(), dryRun,
				func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanPromote(ctx, req) },
				func(ctx context.Context, m *manager.Manager) (*manager.SwapResult, error) { return m.Promote(ctx, req) })
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again, to promote in a protected environment")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func newRollbackCommand(a *app) *cobra.Command {
	var req manager.RollbackRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "rollback ENV",
		Short: "Make the previous version live again",
		Long: `Make the previous version live again, in one transaction. What is live now
becomes the previous version, so a second rollback undoes the first.

It needs PostgreSQL only: it works while the store is down.`,
		Example: "  envdb rollback prod-copy",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			return a.runSwap(c.Context(), dryRun,
				func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanRollback(ctx, req) },
				func(ctx context.Context, m *manager.Manager) (*manager.SwapResult, error) {
					return m.Rollback(ctx, req)
				})
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again, to roll back a protected environment")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runSwap(ctx context.Context, dryRun bool, plan func(context.Context, *manager.Manager) (*manager.Plan, error), swap func(context.Context, *manager.Manager) (*manager.SwapResult, error)) error {
	return planned(ctx, a, dryRun, renderSwap, plan, swap)
}

func renderSwap(w io.Writer, r *manager.SwapResult) {
	fmt.Fprintf(w, "%s now serves %s", r.Environment, r.Was)
	if !r.Point.IsZero() {
		fmt.Fprintf(w, ": %s as of %s, %s", r.Source, console.Time(r.Point), dataState(r.Neutrality, r.Masked))
	}
	fmt.Fprintf(w, "\n  logins waited %s during the swap\n", console.Duration(r.Held))
	if r.Previous != "" {
		fmt.Fprintf(w, "  what was live is now %s\nUndo: %s\n", r.Previous, r.Undo)
	}
}
