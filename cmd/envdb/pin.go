package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
)

func newPinCommand(a *app) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use:     "pin ENV@POINT",
		Short:   "Keep a backup until it is unpinned",
		Example: "  envdb pin prod@20261120-140500 --note 'the audit'",
		Args:    arguments("ENV@POINT"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runPin(c.Context(), args[0], func(ctx context.Context, m *manager.Manager, ref envdb.Ref) (*manager.BackupLine, error) {
				return m.Pin(ctx, ref.Environment, ref.Point, note)
			})
		},
	}
	c.Flags().StringVar(&note, "note", "", "a `text` for people: why")
	return c
}

func newUnpinCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "unpin ENV@POINT",
		Short:   "Let a pinned backup go when its time comes",
		Example: "  envdb unpin prod@20261120-140500",
		Args:    arguments("ENV@POINT"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runPin(c.Context(), args[0], func(ctx context.Context, m *manager.Manager, ref envdb.Ref) (*manager.BackupLine, error) {
				return m.Unpin(ctx, ref.Environment, ref.Point)
			})
		},
	}
}

func (a *app) runPin(ctx context.Context, what string, act func(context.Context, *manager.Manager, envdb.Ref) (*manager.BackupLine, error)) error {
	ref, err := envdb.ParseRef(what, time.Now(), time.Local)
	if err != nil {
		return err
	}
	text := func(w io.Writer, l *manager.BackupLine) {
		state := "is not pinned"
		if l.Pinned {
			state = "is pinned"
		}
		fmt.Fprintf(w, "backup %s of %s %s\n", l.ID, l.Environment, state)
	}
	return look(ctx, a, text, func(ctx context.Context, m *manager.Manager) (*manager.BackupLine, error) { return act(ctx, m, ref) })
}
