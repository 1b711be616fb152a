package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// makeLive ends every pipeline: it leaves a sealed copy of a finished version
// for reset, where the environment wants one, and promotes the version. What
// can wait comes last, after whoever waits for the version was told of it.
func (m *Manager) makeLive(ctx context.Context, x *execution, g *generation.Generations, b building, dark *generation.Dark, completion generation.Completion) (promotion generation.Promotion, notes []string, err error) {
	properties, err := merged(ctx, g, b.env, completion.Carried)
	if err != nil {
		return promotion, nil, err
	}
	options := promoteOptions(b.env)
	options.Properties, options.Completion, options.LeaveSurplus = &properties, completion, true
	if b.baseline {
		options.Baseline, notes = m.seal(ctx, x, g, b, dark)
	}
	x.step("promote")
	if promotion, err = g.Promote(ctx, b.target, dark.Name, options); err != nil {
		return promotion, nil, m.withdraw(ctx, g, b, options.Baseline, err)
	}
	if b.told != nil {
		b.told(promotion, notes)
	}
	m.dropPrevious(ctx, x, g, b, &promotion, options)
	if b.baseline {
		m.keepUp(ctx, x, g, b.target, b.operation, b.env)
	} else {
		m.dropUnneeded(ctx, x, g, b.target, b.operation, b.env)
	}
	return promotion, notes, nil
}

// dropPrevious drops the previous versions that a promote left too many, and
// records the promote.
func (m *Manager) dropPrevious(ctx context.Context, x *execution, g *generation.Generations, b building, p *generation.Promotion, options generation.PromoteOptions) {
	x.step("drop previous")
	if err := g.DropSurplus(ctx, b.target, b.operation, p, options); err != nil {
		x.log.Warn("older versions were not looked for", "env", b.env.Name, "reason", err)
	}
	x.promoted(*p)
}

// seal leaves a sealed copy beside a finished version, if the environment wants
// one, and returns its name. That there is none makes a reset slow and nothing
// else, so it is a note and no error.
func (m *Manager) seal(ctx context.Context, x *execution, g *generation.Generations, b building, dark *generation.Dark) (name string, notes []string) {
	sealed, why, err := m.sealWanted(ctx, x, g, b, dark)
	switch {
	case err != nil:
		x.log.Warn("no baseline was left, so a reset will take as long as this did", "env", b.env.Name, "reason", err)
		return "", []string{"no baseline was left for reset: " + err.Error()}
	case why != "":
		return "", []string{why}
	case sealed.Copied == nil:
		return "", nil
	}
	x.facts("baseline", sealed.Name, "baseline_bytes", sealed.Size, "baseline_strategy", string(sealed.Copied.Strategy), "baseline_ms", sealed.Copied.Took.Milliseconds())
	return sealed.Name, nil
}

// sealWanted seals, or says why that is not wanted.
func (m *Manager) sealWanted(ctx context.Context, x *execution, g *generation.Generations, b building, dark *generation.Dark) (sealed generation.Version, why string, err error) {
	if b.env.Baseline == config.BaselineOff {
		return sealed, "", nil
	}
	built, err := g.Find(ctx, dark.Name)
	if err != nil {
		return sealed, "", err
	}
	if !b.env.Baseline.Wanted(built.Size) {
		return sealed, tooLarge, nil
	}
	if err := x.recording.WillCreate(ctx, g.BaselineName(built.ID)); err != nil {
		return sealed, "", err
	}
	x.step("baseline")
	x.report.Send(envdb.Progress{Step: "baseline", Total: built.Size, Unit: "bytes"})
	if sealed, err = g.Seal(ctx, b.target, b.operation, built); err != nil {
		return sealed, "", err
	}
	x.report.Send(envdb.Progress{Step: "baseline", Done: built.Size, Total: built.Size, Unit: "bytes"})
	return sealed, "", nil
}

// tooLarge is why a database of 10 GB has no baseline.
const tooLarge = "baseline: auto keeps no copy of databases of 10 GB and more"

// withdraw drops the sealed copy of a version that did not become live.
func (m *Manager) withdraw(ctx context.Context, g *generation.Generations, b building, baseline string, cause error) error {
	if baseline == "" {
		return cause
	}
	return joinCleanup(cause, ctx, func(ctx context.Context) error {
		return g.Discard(ctx, b.target, b.operation, baseline, nil)
	})
}

// keepUp does what can wait until a version is live: it drops what dead runs
// left, and baselines and spares that no reset will use, and makes the spares
// that are missing. The work is done, so what fails here is a warning.
func (m *Manager) keepUp(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation, env config.Environment) {
	x.step("keep up")
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"what interrupted runs left was not dropped", func() error { return m.sweepUp(ctx, x, g, w, op) }},
		{notDropped, func() error {
			obsolete, err := g.Obsolete(ctx, env.Spares)
			return errors.Join(err, discardAll(ctx, x, g, w, op, obsolete))
		}},
		{"there are fewer spares than the configuration says; the next reset takes longer", func() error { return m.makeSpares(ctx, x, g, w, op, env) }},
	} {
		if err := step.do(); err != nil {
			x.log.Warn(step.what, "env", env.Name, "reason", err)
		}
	}
}

// sweepUp cleans the server if anything there may be a leftover: to tell for
// certain, the records of many runs are read.
func (m *Manager) sweepUp(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation) error {
	maybe, err := g.Leftovers(ctx, func(string) bool { return false }, func(string) bool { return true })
	if err != nil || len(maybe) == 0 {
		return err
	}
	return m.cleanServer(ctx, x, g, w, op)
}

// notDropped warns of what takes up space and does no harm.
const notDropped = "a baseline or a spare that is of no use was not dropped"

// dropUnneeded drops the baselines and spares that became obsolete by a swap
// which made no new one, but for those that a rollback would make use of again.
// The swap was done, so what fails here is a warning.
func (m *Manager) dropUnneeded(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation, env config.Environment) {
	obsolete, err := unneeded(ctx, g, env)
	if err = errors.Join(err, discardAll(ctx, x, g, w, op, obsolete)); err != nil {
		x.log.Warn(notDropped, "env", env.Name, "reason", err)
	}
}

// unneeded returns the baselines and spares that no reset uses, without those
// that one would use again after a rollback.
func unneeded(ctx context.Context, g *generation.Generations, env config.Environment) ([]generation.Version, error) {
	obsolete, err := g.Obsolete(ctx, env.Spares)
	if err != nil || len(obsolete) == 0 {
		return nil, err
	}
	versions, err := g.List(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(obsolete, func(v generation.Version) bool { return v.Unsealed == "" && afterRollback(v, versions) }), nil
}

// discardAll drops baselines and spares that are of no use.
func discardAll(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation, obsolete []generation.Version) error {
	var errs []error
	for _, v := range obsolete {
		if err := g.Discard(ctx, w, op, v.Name, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		what := "removed the baseline before this one"
		switch {
		case v.State == envdb.Spare:
			what = "removed a spare that no reset would use"
		case v.Unsealed != "":
			what = "removed a baseline that no reset would use"
		}
		x.log.Info(what, "database", v.Name)
	}
	return errors.Join(errs...)
}

// makeSpares makes as many spares as are missing.
func (m *Manager) makeSpares(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation, env config.Environment) error {
	if env.Spares == 0 {
		return nil
	}
	versions, err := g.List(ctx)
	if err != nil {
		return err
	}
	baseline, err := usable(env, versions)
	if isNotFound(err) {
		return nil // there is nothing to copy, and whoever wanted a baseline was told why
	}
	if err != nil {
		return err
	}
	for n := len(generation.SparesOf(baseline, versions)) + 1; n <= env.Spares; n++ {
		id := fmt.Sprintf("%s-s%d", x.id(), n)
		x.log.Info("making a spare for the next reset", "database", g.SpareName(id), "bytes", baseline.Size, "strategy", generation.StrategyFor(baseline.Size))
		if err := x.recording.WillCreate(ctx, g.SpareName(id)); err != nil {
			return err
		}
		if _, err := g.Spare(ctx, w, op, baseline, id); err != nil {
			return err
		}
	}
	return nil
}
