package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

type createOptions struct {
	name, from, ref, ttl, protect string
	labels                        []string
	dryRun                        bool
}

func newCreateCommand(a *app) *cobra.Command {
	var opts createOptions
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make an environment of a pattern (test-*) of the configuration",
		Long: `Make an environment of a pattern of the configuration (test-*), with a database of
its own. It is filled from --from SRC@POINT, or else by the pattern's seed, or
from what the pattern mirrors, or it is empty. With --ref the seed takes
migrations and fixtures as they are at a git revision: a branch, deployed and
shared. The work tree is not touched.

One that is there stays as it is (exit code 0, created: false in JSON); only
--ttl, --protect and --label are applied to it, from now on. So a pipeline may
call this before every use.`,
		Example: `  envdb create test-feature-x --ttl 2d --label pr=123
  envdb create test-feature-x --ref feature-x
  envdb create release-1.2 --from prod-copy@20261120-140500
  psql "$(envdb env url test-feature-x)"`,
		Args: arguments("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			opts.name = args[0]
			return a.runCreate(c.Context(), opts)
		},
	}
	c.Flags().StringVar(&opts.from, "from", "", "fill it with `SRC@POINT`, as envdb mirror does")
	c.Flags().StringVar(&opts.ref, "ref", "", "seed it with migrations and fixtures as they are at a git `revision`")
	c.Flags().StringVar(&opts.ttl, "ttl", "", "let it live for `duration` (7d), 0 for ever, whatever its pattern says")
	c.Flags().StringVar(&opts.protect, "protect", "", "keep it from being destroyed for `duration` (2d)")
	c.Flags().StringArrayVar(&opts.labels, "label", nil, "a `name=value` for people and scripts; may be repeated")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runCreate(ctx context.Context, opts createOptions) error {
	req, err := a.createRequest(opts)
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if opts.dryRun {
		plan, err := s.manager.PlanCreate(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	result, err := s.manager.Create(ctx, req)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, renderCreated)
}

func (a *app) createRequest(opts createOptions) (manager.CreateRequest, error) {
	req := manager.CreateRequest{Environment: opts.name, Ref: opts.ref, Labels: map[string]string{}}
	for _, label := range opts.labels {
		name, held, found := strings.Cut(label, "=")
		if !found || name == "" {
			return req, envdb.Fail(envdb.ErrMisuse, "--label %q is not name=value", label).WithNext("write --label pr=123")
		}
		req.Labels[name] = held
	}
	if opts.ttl != "" {
		span, err := envdb.ParseDuration(opts.ttl)
		if err != nil {
			return req, err
		}
		req.TTL = &span
	}
	if opts.protect != "" {
		span, err := positive(opts.protect)
		if err != nil {
			return req, err
		}
		req.Protect = span
	}
	if opts.from == "" {
		return req, nil
	}
	ref, err := envdb.ParseRef(opts.from, time.Now(), time.Local)
	if err != nil {
		return req, err
	}
	a.echoPoint(ref)
	req.From = &ref
	return req, nil
}

func renderCreated(w io.Writer, r *manager.CreateResult) {
	switch {
	case !r.Created:
		fmt.Fprintf(w, "%s is there: database %s\n", r.Environment, r.Database)
	case r.Build != nil && r.Build.Source != "":
		fmt.Fprintf(w, "created %s: %s as of %s, %s, in database %s; in %s\n", r.Environment, r.Build.Source, console.Time(r.Build.Point), r.Build.Neutrality, r.Database, console.Duration(r.Elapsed))
	default:
		fmt.Fprintf(w, "created %s: database %s; in %s\n", r.Environment, r.Database, console.Duration(r.Elapsed))
	}
	if r.Ref != "" {
		fmt.Fprintf(w, "  seeded with revision %s%s\n", r.Ref, commitText(r.Build))
	}
	if !r.Expires.IsZero() {
		fmt.Fprintf(w, "  until %s\n", console.Time(r.Expires))
	}
	if !r.ProtectedUntil.IsZero() {
		fmt.Fprintf(w, "  protected until %s\n", console.Time(r.ProtectedUntil))
	}
	if r.Build != nil {
		for _, note := range r.Build.Notes {
			fmt.Fprintf(w, "  note: %s\n", note)
		}
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	fmt.Fprintf(w, "Next: psql \"$(envdb env url %s)\"\n", r.Environment)
}

// commitText is the commit that a revision was when a database was seeded.
func commitText(b *manager.BuildResult) string {
	if b == nil || b.Commit == "" {
		return ""
	}
	return fmt.Sprintf(" (commit %.12s)", b.Commit)
}
