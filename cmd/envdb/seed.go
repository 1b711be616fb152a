package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

type seedOptions struct {
	req    manager.SeedRequest
	labels []string
	dryRun bool
}

func newSeedCommand(a *app) *cobra.Command {
	var opts seedOptions
	c := &cobra.Command{
		Use:   "seed ENV",
		Short: "Fill an environment from its migrations and fixtures",
		Long: `Fill an environment from its migrations and fixtures: those that the section
seed of the configuration names.

The version is built beside what serves now, checked, and swapped in with one
transaction; "envdb rollback ENV" undoes it. A sealed copy stays as the baseline
to which "envdb reset ENV" returns. When nothing that the rows depend on has
changed since, the baseline is cloned and nothing is replayed: --no-cache
replays all the same.

With --ref the files are those of a git revision; the work tree is not touched.`,
		Example: `  envdb seed qa
  envdb seed qa --ref feature/checkout           a branch, deployed
  envdb seed qa --ref "$SHA" --label build=123   what CI runs on a green build
  envdb seed qa --dry-run`,
		Args: arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			opts.req.Environment = args[0]
			if c.Flags().Changed("ref") && opts.req.Ref == "" {
				return envdb.Fail(envdb.ErrMisuse, "--ref is empty").WithState("nothing was changed").
					WithNext("name a revision; in a script, see that its variable is set")
			}
			return a.runSeed(c.Context(), opts)
		},
	}
	c.Flags().BoolVar(&opts.req.NoCache, "no-cache", false, "replay everything, although the baseline is of the same inputs")
	c.Flags().BoolVar(&opts.req.Dark, "dark", false, "build and check the version, but do not promote it")
	c.Flags().StringVar(&opts.req.Ref, "ref", "", "take migrations and fixtures as they are at a git `revision`")
	c.Flags().StringArrayVar(&opts.labels, "label", nil, "keep `NAME=VALUE` with the version; may be given again")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	c.Flags().StringVar(&opts.req.Confirm, "confirm", "", "`ENV` again, where keep_previous is 0 and nothing would bring it back")
	return c
}

// runSeed prints the result when the environment is seeded. What comes after
// that, the dropping of old versions and the next spare, is told on stderr.
func (a *app) runSeed(ctx context.Context, opts seedOptions) (err error) {
	if opts.req.Labels, err = parseLabels(opts.labels); err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if opts.dryRun {
		plan, err := s.manager.PlanSeed(ctx, opts.req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	var printed error
	opts.req.Done = func(r *manager.SeedResult) {
		s.finish()
		printed = print(a, r, renderSeeded)
	}
	_, err = s.manager.Seed(ctx, opts.req)
	return errors.Join(err, printed)
}

// parseLabels reads NAME=VALUE.
func parseLabels(texts []string) (map[string]string, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	labels := map[string]string{}
	for _, text := range texts {
		name, value, found := strings.Cut(text, "=")
		if !found || strings.TrimSpace(name) == "" {
			return nil, envdb.Fail(envdb.ErrMisuse, "--label %q is not NAME=VALUE", text).WithNext("write --label build=123")
		}
		labels[name] = value
	}
	return labels, nil
}

// renderSeeded shows what a seed made.
func renderSeeded(w io.Writer, r *manager.SeedResult) {
	what := "live"
	if r.Dark {
		what = "dark (not serving)"
	}
	fmt.Fprintf(w, "%s is seeded: %s, %s, digest %.12s\n", r.Environment, what, r.Database, r.Digest)
	if r.Way == manager.Cloned {
		fmt.Fprintf(w, "  nothing has changed: the baseline of the same inputs was cloned, in %s\n", console.Duration(r.Elapsed))
	} else {
		fmt.Fprintf(w, "  %s, %s in %s; in %s\n", counted(int64(r.Migrations), "migration"), counted(r.Rows, "row"), counted(int64(r.Tables), "table"), console.Duration(r.Elapsed))
	}
	if r.Version != 0 {
		fmt.Fprintf(w, "  migration %d\n", r.Version)
	}
	if r.Commit != "" {
		fmt.Fprintf(w, "  commit %s\n", r.Commit)
	}
	if !r.Clock.IsZero() {
		fmt.Fprintf(w, "  for the fixtures it is %s\n", r.Clock.Format(time.RFC3339))
	}
	if len(r.Volatile) > 0 {
		fmt.Fprintf(w, "  differ with every replay: %s\n", strings.Join(r.Volatile, ", "))
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
