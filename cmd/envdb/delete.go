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

func newDeleteCommand(a *app) *cobra.Command {
	var confirm string
	var dryRun bool
	c := &cobra.Command{
		Use:   "delete ENV@POINT",
		Short: "Delete a backup; for seven days it can be had back",
		Long: `Delete a backup. From then on nothing is restored from it and no new backup
refers to it; after seven days the next "envdb expire" or the daemon removes it,
with all that no other backup refers to. Until then: envdb undelete ENV@ID.

A pinned one is refused. For one of the last three good restore points the
environment is named again: --confirm ENV.`,
		Example: "  envdb delete prod@20261120-140500\n  envdb delete qa@20261120-140500 --confirm qa",
		Args:    arguments("ENV@POINT"),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := envdb.ParseRef(args[0], time.Now(), time.Local)
			if err != nil {
				return err
			}
			if !ref.Pointed {
				return envdb.Fail(envdb.ErrMisuse, "which backup of %s?", ref.Environment).WithNext("name one of `envdb backups %s`, as %[1]s@ID", ref.Environment)
			}
			req := manager.DeleteRequest{Environment: ref.Environment, Point: ref.Point, Confirm: confirm}
			return planned(c.Context(), a, dryRun, renderDeletion,
				func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanDelete(ctx, req) },
				func(ctx context.Context, m *manager.Manager) (*manager.DeletionResult, error) {
					return m.Delete(ctx, req)
				})
		},
	}
	c.Flags().StringVar(&confirm, "confirm", "", "`ENV` again, for one of its last three good restore points")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func newUndeleteCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "undelete ENV@ID",
		Short:   "Have a deleted backup back, until its deletion has begun",
		Example: "  envdb undelete prod@20261120-140500",
		Args:    arguments("ENV@ID"),
		RunE: func(c *cobra.Command, args []string) error {
			ref, err := envdb.ParseRef(args[0], time.Now(), time.Local)
			if err != nil {
				return err
			}
			return look(c.Context(), a, renderDeletion, func(ctx context.Context, m *manager.Manager) (*manager.DeletionResult, error) {
				return m.Undelete(ctx, ref.Environment, ref.Point)
			})
		},
	}
}

func renderDeletion(w io.Writer, r *manager.DeletionResult) {
	if r.Tombstone == nil {
		fmt.Fprintf(w, "backup %s of %s is not deleted any more\n", r.ID, r.Environment)
		return
	}
	fmt.Fprintf(w, "backup %s of %s is deleted, and goes at %s\n", r.ID, r.Environment, console.Time(r.Tombstone.SweepAfter))
	if r.Undo != "" {
		fmt.Fprintf(w, "  to have it back: %s\n", r.Undo)
	}
}
