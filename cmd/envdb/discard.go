package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/manager"
)

func newDiscardCommand(a *app) *cobra.Command {
	var req manager.DiscardRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "discard ENV VERSION",
		Short: "Drop a version that is not live",
		Long: `Drop a version that envdb made and that is not live: a dark or previous one that
you looked at and do not need; or the baseline or a spare, to make room, and then
the next reset takes longer. Nothing brings it back, so type its name again:
--confirm VERSION.

The live version is never dropped, nor a database that envdb did not make.`,
		Example: "  envdb discard prod shop__dark_20261121-100500 --confirm shop__dark_20261121-100500",
		Args:    arguments("ENV", "VERSION"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment, req.Version = args[0], args[1]
			return a.runDiscard(c.Context(), req, dryRun)
		},
	}
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`VERSION` again")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runDiscard(ctx context.Context, req manager.DiscardRequest, dryRun bool) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if dryRun {
		plan, err := s.manager.PlanDiscard(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	result, err := s.manager.Discard(ctx, req)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, func(w io.Writer, r *manager.DiscardResult) {
		fmt.Fprintf(w, "dropped %s of %s\n", r.Version, r.Environment)
	})
}
