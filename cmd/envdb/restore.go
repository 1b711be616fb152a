package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
)

type restoreOptions struct {
	ref     string
	dark    bool
	onto    string
	dryRun  bool
	confirm string
}

func newRestoreCommand(a *app) *cobra.Command {
	var opts restoreOptions
	c := &cobra.Command{
		Use:   "restore ENV@POINT",
		Short: "Bring an environment back to its own past",
		Long: `Bring an environment back to its own past.

The moment is built beside what serves now, checked, and swapped in; "envdb
rollback ENV" undoes it. On production the version stays dark until you promote
it by name; until then production is not touched.

--onto URL rebuilds the environment on an empty new server instead: roles first
(without passwords: set them afterwards), then the database that the URL names.`,
		Example: `  envdb restore staging@t-1h
  envdb restore prod@"2026-11-20 14:05"
  envdb restore prod --onto postgres://postgres@new-server/app`,
		Args: arguments("ENV@POINT"),
		RunE: func(c *cobra.Command, args []string) error {
			opts.ref = args[0]
			return a.runRestore(c.Context(), opts)
		},
	}
	c.Flags().BoolVar(&opts.dark, "dark", false, "build and check the version, but do not promote it")
	c.Flags().StringVar(&opts.onto, "onto", "", "rebuild on the empty server at `URL` (or env:NAME) instead")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	c.Flags().StringVar(&opts.confirm, "confirm", "", "`ENV` again, where keep_previous is 0 and nothing would bring it back")
	return c
}

func (a *app) runRestore(ctx context.Context, opts restoreOptions) error {
	ref, err := envdb.ParseRef(opts.ref, time.Now(), time.Local)
	if err != nil {
		return err
	}
	a.echoPoint(ref)
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	req := manager.RestoreRequest{Environment: ref.Environment, Point: ref.Point, Dark: opts.dark, Onto: envdb.ConnString(opts.onto), Confirm: opts.confirm}
	if opts.dryRun {
		plan, err := s.manager.PlanRestore(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	result, err := s.manager.Restore(ctx, req)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, renderBuilt)
}
