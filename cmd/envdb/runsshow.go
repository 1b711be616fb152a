package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
)

func newRunsShowCommand(a *app) *cobra.Command {
	follow := false
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show one run: its steps, their times, its log",
		Long: `Show one run: its steps, their times, its log. The beginning of an id is
enough; "latest" is the newest run.

--follow goes on until the run has ended, on whatever machine it is: it stores
where it is every ten seconds. Then the exit code is 0 if it succeeded, and 1 if
not. With -o json there is one document for every change.`,
		Args: arguments("ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if follow {
				return a.runFollow(c.Context(), args[0])
			}
			return look(c.Context(), a, renderRun, func(ctx context.Context, m *manager.Manager) (*manager.RunReport, error) {
				return m.Run(ctx, args[0])
			})
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended")
	return c
}

func (a *app) runFollow(ctx context.Context, id string) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	f := &follower{w: a.stdout}
	each := f.show
	if a.output == "json" {
		each = func(r *manager.RunReport) error { return console.JSON(a.stdout, r) }
	}
	last, err := s.manager.Follow(ctx, id, each)
	if err != nil {
		return err
	}
	if last.Run.Outcome != ledger.Succeeded {
		next := last.Run.Next
		if next == "" {
			next = "envdb runs show " + last.Run.ID
		}
		return envdb.Fail(nil, "the %s of %s %s: %s", last.Run.Operation, last.Run.Environment, last.Run.Outcome, last.Run.Error).WithNext("%s", next)
	}
	return nil
}

// follower prints what is new of a run.
type follower struct {
	w     io.Writer
	begun bool
	ended map[string]bool // steps by name and beginning
	log   int             // bytes that were printed
}

func (f *follower) show(r *manager.RunReport) error {
	if !f.begun {
		f.begun, f.ended = true, map[string]bool{}
		fmt.Fprintf(f.w, "%s of %s, began %s, by %s@%s\n", r.Run.Operation, r.Run.Environment, console.Time(r.Run.Started), r.Run.User, r.Run.Host)
	}
	for _, s := range r.Run.Steps {
		key := s.Name + s.Started.String()
		switch {
		case f.ended[key]:
		case s.Took > 0:
			f.ended[key] = true
			fmt.Fprintln(f.w, strings.TrimRight(fmt.Sprintf("  %s: done in %s %s", s.Name, console.Duration(s.Took), stepQuantity(s)), " "))
		default:
			fmt.Fprintln(f.w, strings.TrimRight(fmt.Sprintf("  %s … %s", s.Name, progress(s)), " "))
		}
	}
	if len(r.Log) > f.log {
		if _, err := io.WriteString(f.w, r.Log[f.log:]); err != nil {
			return err
		}
		f.log = len(r.Log)
	}
	if r.Run.Outcome != ledger.Running {
		_, err := fmt.Fprintf(f.w, "%s after %s\n", r.Run.Outcome, console.Duration(r.Run.Took(r.At)))
		return err
	}
	return nil
}

// progress says how far a step is.
func progress(s ledger.Step) string {
	if s.Total <= 0 {
		return stepQuantity(s)
	}
	return fmt.Sprintf("%s, %d %%", stepQuantity(s), 100*s.Done/s.Total)
}
