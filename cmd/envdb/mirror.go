package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

type mirrorOptions struct {
	source, target string
	fresh, dark    bool
	maxAge         string
	dryRun         bool
	confirm        string
}

func newMirrorCommand(a *app) *cobra.Command {
	var opts mirrorOptions
	c := &cobra.Command{
		Use:   "mirror SRC[@POINT] DST",
		Short: "Fill an environment from another's restore point",
		Long: `Fill an environment from another's restore point.

The copy is built beside what serves now, made harmless if it comes from
production, checked object by object and row count by row count, and swapped in
with one transaction. Until then DST is not touched; afterwards
"envdb rollback DST" undoes it.`,
		Example: `  envdb mirror prod prod-copy                  the newest restore point
  envdb mirror prod prod-copy --fresh          as of now: takes a backup first
  envdb mirror prod@t-1d prod-copy             as of a day ago
  envdb mirror prod@"2026-11-20 14:05" prod-copy`,
		Args: arguments("SRC[@POINT]", "DST"),
		RunE: func(c *cobra.Command, args []string) error {
			opts.source, opts.target = args[0], args[1]
			return a.runMirror(c.Context(), opts)
		},
	}
	c.Flags().BoolVar(&opts.fresh, "fresh", false, "take a backup of SRC first")
	c.Flags().StringVar(&opts.maxAge, "max-age", "", "take a backup of SRC first if the newest restore point is older than `duration` (1h, 2d)")
	c.Flags().BoolVar(&opts.dark, "dark", false, "build and check the version, but do not promote it")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	c.Flags().StringVar(&opts.confirm, "confirm", "", "`DST` again, where keep_previous is 0 and nothing would bring it back")
	return c
}

func (a *app) runMirror(ctx context.Context, opts mirrorOptions) error {
	req, err := a.mirrorRequest(opts)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if opts.dryRun {
		plan, err := s.manager.PlanMirror(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	result, err := s.manager.Mirror(ctx, req)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, renderBuilt)
}

func (a *app) mirrorRequest(opts mirrorOptions) (manager.MirrorRequest, error) {
	ref, err := envdb.ParseRef(opts.source, time.Now(), time.Local)
	if err != nil {
		return manager.MirrorRequest{}, err
	}
	req := manager.MirrorRequest{Source: ref.Environment, Point: ref.Point, Target: opts.target, Fresh: opts.fresh, Dark: opts.dark, Confirm: opts.confirm}
	if opts.maxAge != "" {
		if req.MaxAge, err = envdb.ParseDuration(opts.maxAge); err != nil {
			return req, err
		}
	}
	a.echoPoint(ref)
	return req, nil
}

// echoPoint says which moment was understood, in UTC, before anything runs.
func (a *app) echoPoint(ref envdb.Ref) {
	if at, ok := ref.Point.Moment(); ok && !a.quiet {
		fmt.Fprintf(a.stderr, "%s as of %s\n", ref.Environment, console.Time(at))
	}
}

// renderBuilt shows what a mirror or a restore made.
func renderBuilt(w io.Writer, r *manager.BuildResult) {
	fmt.Fprintln(w, builtText(r))
	if r.Asked != nil {
		renderAsked(w, *r.Asked, r.Point, r.Behind)
	}
	fmt.Fprintf(w, "  %s in %s, %s; %s checked; in %s\n",
		console.Bytes(r.Bytes), counted(int64(r.Tables), "table"), counted(r.Rows, "row"), counted(int64(r.ObjectsChecked), "object"), console.Duration(r.Elapsed))
	renderMasked(w, r.Masked)
	renderCode(w, r.Release, r.Migration)
	if r.Promotion != nil {
		fmt.Fprintf(w, "  logins waited %s during the swap\n", console.Duration(r.Promotion.Held))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	switch {
	case r.Next != "":
		fmt.Fprintf(w, "Next: %s\n", r.Next)
	case r.Previous != "":
		fmt.Fprintf(w, "Undo: envdb rollback %s\n", r.Environment)
	}
}

// builtText says what a mirror or a restore made, and what that means for what
// serves.
func builtText(r *manager.BuildResult) string {
	data, at := dataState(r.Neutrality, r.MaskedWith), console.Time(r.Point)
	own := r.Source == r.Environment
	switch {
	case r.Onto:
		return fmt.Sprintf("%s as it was at %s is on the new server: %s, %s", r.Environment, at, data, r.Database)
	case r.Dark && own:
		return fmt.Sprintf("a dark copy of %s as of %s is ready: %s (not serving, %s); %s itself is as it was", r.Source, at, r.Database, data, r.Environment)
	case r.Dark:
		return fmt.Sprintf("a dark copy of %s as of %s is ready for %s: %s (not serving, %s); %s itself is as it was", r.Source, at, r.Environment, r.Database, data, r.Environment)
	case own:
		return fmt.Sprintf("%s is as it was at %s: live, %s, %s", r.Environment, at, data, r.Database)
	}
	return fmt.Sprintf("%s is %s as of %s: live, %s, %s", r.Environment, r.Source, at, data, r.Database)
}

// renderCode says which code and schema belong to the data.
func renderCode(w io.Writer, release string, migration *backup.Migration) {
	if release != "" {
		fmt.Fprintf(w, "  release %s\n", release)
	}
	if migration != nil {
		fmt.Fprintf(w, "  migration %s (%s)\n", migration.Version, migration.Tool)
	}
}
