package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

// renderPlan shows a plan for people.
func renderPlan(w io.Writer, p *manager.Plan) {
	fmt.Fprintf(w, "%s of %s", p.Operation, p.Environment)
	if p.Source != "" && p.Source != p.Environment {
		fmt.Fprintf(w, " from %s", p.Source)
	}
	if p.Bytes > 0 {
		fmt.Fprintf(w, ", %s", console.Bytes(p.Bytes))
	}
	if p.Live != "" {
		fmt.Fprintf(w, ", %s", p.Live)
	}
	fmt.Fprintln(w, " (a dry run: nothing is done)")
	if p.Asked != nil && p.Point != nil {
		renderAsked(w, *p.Asked, *p.Point, p.Behind)
	}
	for i, step := range p.Steps {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
	renderPeak(w, p)
	for _, warning := range p.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", warning)
	}
}

// renderAsked says which moment answers the one that was asked for. Rows that
// were written between the two are not there.
func renderAsked(w io.Writer, asked, point time.Time, behind time.Duration) {
	if behind <= 0 {
		fmt.Fprintf(w, "  asked for %s: it is exactly as it was then\n", console.Time(asked))
		return
	}
	fmt.Fprintf(w, "  asked for %s; the newest restore point before it is %s (%s earlier)\n", console.Time(asked), console.Time(point), console.Duration(behind))
}

// renderPeak shows how much disk the environment takes at its peak, and for
// what.
func renderPeak(w io.Writer, p *manager.Plan) {
	if p.PeakBytes == 0 {
		return
	}
	var parts []string
	for _, part := range p.Peak {
		text := part.What + " " + console.Bytes(part.Bytes)
		if part.Strategy != "" {
			text += " (" + string(part.Strategy) + ")"
		}
		parts = append(parts, text)
	}
	fmt.Fprintf(w, "  disk at the peak, about: %s = %s\n", console.Bytes(p.PeakBytes), strings.Join(parts, " + "))
}

// planned runs a command that changes something and prints its result, or with
// --dry-run the plan of it.
func planned[T any](ctx context.Context, a *app, dryRun bool, text func(io.Writer, T), plan func(context.Context, *manager.Manager) (*manager.Plan, error), run func(context.Context, *manager.Manager) (T, error)) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if dryRun {
		p, err := plan(ctx, s.manager)
		if err != nil {
			return err
		}
		return a.printPlan(p)
	}
	result, err := run(ctx, s.manager)
	s.finish()
	if err != nil {
		return err
	}
	return print(a, result, text)
}
