package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newResetCommand(a *app) *cobra.Command {
	var req manager.ResetRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "reset ENV",
		Short: "Undo whatever was done to an environment since it was filled",
		Long: `Undo whatever was done to an environment since it was filled.

Each mirror and each seed leaves a sealed copy beside the live version, the
baseline. A reset copies it and swaps the copy in, with one transaction; with
"spares: 1" a copy is ready and waits, and the next one is made afterwards.
Until the swap ENV is not touched; afterwards "envdb rollback ENV" undoes it.

It needs PostgreSQL only: it works while the store is down. A baseline that
somebody dropped, or may have connected to, is not used: then the backup is
restored again that ENV was filled from, or the same migrations and fixtures run
again, of the same commit and under the same clock; and that leaves a new one.
What has changed since a seed is not taken instead: envdb seed ENV does that.`,
		Example: `  envdb reset qa
  envdb reset qa --no-cache                    from the backup or the fixtures, not the baseline`,
		Args: arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			return a.runReset(c.Context(), req, dryRun)
		},
	}
	c.Flags().BoolVar(&req.NoCache, "no-cache", false, "use neither baseline nor spare")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again, where keep_previous is 0 and nothing would bring it back")
	return c
}

// runReset prints the result when the environment is reset. What comes after
// that, the dropping of old versions and the next spare, is told on stderr.
func (a *app) runReset(ctx context.Context, req manager.ResetRequest, dryRun bool) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if dryRun {
		plan, err := s.manager.PlanReset(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	var printed error
	req.Done = func(r *manager.ResetResult) {
		s.finish()
		printed = print(a, r, renderReset)
	}
	_, err = s.manager.Reset(ctx, req)
	return errors.Join(err, printed)
}

func renderReset(w io.Writer, r *manager.ResetResult) {
	fmt.Fprintf(w, "%s is reset", r.Environment)
	if r.Source != "" {
		fmt.Fprintf(w, " to %s as of %s", r.Source, console.Time(r.Point))
	}
	fmt.Fprintf(w, ": live, %s, %s\n  %s %s, in %s; logins waited %s\n",
		dataState(r.Neutrality, r.Masked), r.Database, console.Bytes(r.Bytes), madeFrom(r), console.Duration(r.Elapsed), console.Duration(r.Held))
	if r.Why != "" {
		fmt.Fprintf(w, "  not from a baseline: %s\n", r.Why)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	if r.Previous != "" {
		fmt.Fprintf(w, "  what was live is now %s\nUndo: envdb rollback %s\n", r.Previous, r.Environment)
	}
}

// madeFrom says where the version came from.
func madeFrom(r *manager.ResetResult) string {
	switch r.Way {
	case manager.BySpare:
		return "from the spare"
	case manager.ByBaseline:
		return "copied from the baseline (" + string(r.Strategy) + ")"
	case manager.ByBackup:
		return "restored from backup " + string(r.Backup)
	}
	return "seeded anew"
}
