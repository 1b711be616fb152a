package manager

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// ResetWay is where a reset takes the version from.
type ResetWay string

// The ways, from the fastest to the slowest: a spare is only swapped in, a
// baseline is copied, and without an intact one the environment is filled anew.
const (
	BySpare    ResetWay = "spare"
	ByBaseline ResetWay = "baseline"
	ByBackup   ResetWay = "backup"
	BySeed     ResetWay = "seed"
)

// choice is the way that a reset goes.
type choice struct {
	way ResetWay
	// why says why it is none of the fast ones.
	why string
	// from is the spare or the baseline.
	from generation.Version
	// filled is what the live version says it was filled from.
	filled generation.Marker
}

// choose returns the fastest way that there is.
func choose(env config.Environment, versions []generation.Version, noCache bool) (c choice, err error) {
	if live := liveOf(versions); live != nil && live.Marker != nil {
		c.filled = *live.Marker
	}
	baseline, err := usable(env, versions)
	switch {
	case noCache:
		c.why = "--no-cache"
	case isNotFound(err):
		c.why = whyNoBaseline(env, versions, err)
	case err != nil:
		return c, err
	default:
		c.way, c.from = ByBaseline, baseline
		if spares := generation.SparesOf(baseline, versions); len(spares) > 0 {
			c.way, c.from = BySpare, spares[0]
		}
		return c, nil
	}
	switch {
	case c.filled.Backup != "":
		c.way = ByBackup
	case c.filled.Digest != "" && env.Seed.Declared():
		c.way = BySeed
	default:
		return c, unresettable(env, c)
	}
	return c, nil
}

// usable returns the baseline in force, unless the application's role was granted
// something else in it than the configuration says by now: a copy of it would
// be granted the same. It fails with ErrNotFound.
func usable(env config.Environment, versions []generation.Version) (generation.Version, error) {
	baseline, err := generation.InForce(env.Environment, versions)
	if err != nil {
		return baseline, err
	}
	if was, is := baseline.Marker.Access, accessMark(env); was != is {
		return generation.Version{}, envdb.Fail(envdb.ErrNotFound, "baseline %s was made with access %s; the configuration says %s",
			baseline.Name, cmp.Or(was, "as copied"), cmp.Or(is, "nothing of it")).
			WithState("nothing was changed").WithNext("envdb reset %s builds it anew", env.Name)
	}
	return baseline, nil
}

// liveOf returns the live version, or nil.
func liveOf(versions []generation.Version) *generation.Version {
	i := slices.IndexFunc(versions, func(v generation.Version) bool { return v.State == envdb.Live })
	if i < 0 {
		return nil
	}
	return &versions[i]
}

// whyNoBaseline adds what the configuration has to do with it.
func whyNoBaseline(env config.Environment, versions []generation.Version, err error) string {
	has := slices.ContainsFunc(versions, func(v generation.Version) bool { return v.State == envdb.Baseline })
	live := liveOf(versions)
	switch {
	case has:
	case env.Baseline == config.BaselineOff:
		return "there is no baseline (baseline: off)"
	case live != nil && !env.Baseline.Wanted(live.Size):
		return "there is no baseline (" + tooLarge + ")"
	}
	return err.Error()
}

// unresettable says that nothing is known to return to.
func unresettable(env config.Environment, c choice) error {
	unknown := "its live version does not say what envdb filled it from"
	if c.filled.Digest != "" {
		unknown = "the configuration does not say any more what it is seeded with"
	}
	p := envdb.Fail(envdb.ErrPreflight, "%s cannot be reset: %s, and %s", env.Name, c.why, unknown).
		WithState("nothing was changed")
	switch {
	case env.Seed.Declared():
		return p.WithNext("envdb seed %s, which leaves a baseline", env.Name)
	case env.Mirror.From != "":
		return p.WithNext("envdb mirror %s %s, which leaves a baseline", env.Mirror.From, env.Name)
	}
	return p.WithNext("fill it with envdb mirror, which leaves a baseline")
}

// PlanReset returns what Reset would do.
func (m *Manager) PlanReset(ctx context.Context, req ResetRequest) (*Plan, error) {
	env, _, err := m.resettable(ctx, req)
	if err != nil {
		return nil, err
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return nil, err
	}
	c, err := choose(env, versions, req.NoCache)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpReset, Environment: env.Name}
	switch c.way {
	case BySpare, ByBaseline:
		p.describeCopy(c, env)
		p.peak(versions, copying(c, env, versions)...)
		return p, nil
	case BySeed:
		p.Warnings = []string{c.why}
		if err := m.planSeedAgain(ctx, p, env, c, versions); err != nil {
			return nil, err
		}
		return p, nil
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, noWay(env, c, err)
	}
	p, b, err := m.planRebuild(ctx, repository, env, c, req.Confirm)
	if err != nil {
		return nil, noWay(env, c, err)
	}
	p.Operation = envdb.OpReset
	p.peak(versions, coming(b, versions, p.Bytes)...)
	return p, nil
}

// describeCopy writes the steps of the fast ways into the plan.
func (p *Plan) describeCopy(c choice, env config.Environment) {
	if marker := c.from.Marker; marker != nil {
		p.Source, p.Backup, p.Neutrality = marker.Source, envdb.BackupID(marker.Backup), marker.Neutrality
		if !marker.Point.IsZero() {
			p.Point = &marker.Point
		}
	}
	p.Bytes = c.from.Size
	strategy := generation.StrategyFor(c.from.Size)
	next := "the spare " + c.from.Name
	if c.way == ByBaseline {
		next = "it"
		p.add(fmt.Sprintf("copy the baseline %s (%s), closed to everyone", c.from.Name, strategy))
	}
	p.add(promoting(next, env))
	if env.Spares > 0 {
		p.add(fmt.Sprintf("make a spare for the next reset (%s)", strategy))
	}
}

// promoting is the step that makes a version live.
func promoting(what string, env config.Environment) string {
	if env.KeepPrevious == 0 {
		return "promote " + what + " in one transaction, and drop what was live"
	}
	return fmt.Sprintf("promote %s in one transaction; what was live is kept as previous (%d kept)", what, env.KeepPrevious)
}

// planRebuild plans to fill the environment with the backup that it was filled
// from. Whatever that was, a baseline is left this time.
func (m *Manager) planRebuild(ctx context.Context, repository *backup.Repository, env config.Environment, c choice, confirm string) (*Plan, building, error) {
	at := envdb.AtBackup(envdb.BackupID(c.filled.Backup))
	if c.filled.Source == env.Name {
		p, b, err := m.planRestore(ctx, repository, RestoreRequest{Environment: env.Name, Point: at, Confirm: confirm})
		if err != nil {
			return nil, b, err
		}
		b.baseline = true
		p.Warnings = append(p.Warnings, c.why)
		return p, b, nil
	}
	planned, err := m.planMirror(ctx, repository, MirrorRequest{Source: c.filled.Source, Point: at, Target: env.Name, Confirm: confirm})
	if err != nil {
		return nil, building{}, err
	}
	planned.plan.Warnings = append(planned.plan.Warnings, c.why)
	return planned.plan, planned.building, nil
}
