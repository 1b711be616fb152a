package manager

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// ResetRequest asks to undo whatever was done to an environment since it was
// last filled.
type ResetRequest struct {
	Environment string
	// NoCache uses neither baseline nor spare.
	NoCache bool
	// Confirm is the environment's name, where nothing would bring the live
	// version back.
	Confirm string
	// Done, if set, gets the result as soon as the environment is reset. What
	// can wait is done afterwards: old versions are dropped, and the next spare
	// is made.
	Done func(*ResetResult)
}

// ResetResult is what a reset did.
type ResetResult struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	// Way is where the version came from; Why says why not from a baseline.
	Way ResetWay `json:"way"`
	Why string   `json:"why,omitempty"`
	// Database serves now; what served before is Previous.
	Database   string           `json:"database"`
	Previous   string           `json:"previous,omitempty"`
	Source     string           `json:"source,omitempty"`
	Backup     envdb.BackupID   `json:"backup,omitempty"`
	Point      time.Time        `json:"point,omitzero"`
	Neutrality envdb.Neutrality `json:"neutrality,omitempty"`
	// Masked is the digest of the rules with which the data was masked.
	Masked string `json:"masked,omitempty"`
	// Bytes is the size of the version; Strategy says how it was copied.
	Bytes    int64               `json:"bytes,omitempty"`
	Strategy generation.Strategy `json:"strategy,omitempty"`
	Held     time.Duration       `json:"logins_held_ns"`
	Notes    []string            `json:"notes,omitempty"`
	Elapsed  time.Duration       `json:"elapsed_ns"`
}

// resetting is a reset under way.
type resetting struct {
	ResetRequest
	choice
	env     config.Environment
	target  envdb.Target
	started time.Time
	labels  map[string]string // that the version gets
	commit  string            // that the version gets
}

// Reset returns an environment to what it was last filled with, in the time of
// one copy or less. It needs PostgreSQL only, as long as there is a baseline.
func (m *Manager) Reset(ctx context.Context, req ResetRequest) (result *ResetResult, err error) {
	r := resetting{ResetRequest: req, started: m.now()}
	if r.env, r.target, err = m.resettable(ctx, req); err != nil {
		return nil, err
	}
	err = m.run(ctx, job{operation: envdb.OpReset, environment: r.env.Name, offline: true}, func(ctx context.Context, x *execution) error {
		result, err = m.reset(ctx, x, r)
		return err
	})
	return result, err
}

// resettable returns the environment and the permission.
func (m *Manager) resettable(ctx context.Context, req ResetRequest) (config.Environment, envdb.Target, error) {
	env, target, err := m.target(ctx, req.Environment)
	if err != nil {
		return env, target, err
	}
	return env, target, confirmNoWayBack(env, false, req.Confirm)
}

// reset looks for the fastest way, and takes it.
func (m *Manager) reset(ctx context.Context, x *execution, r resetting) (*ResetResult, error) {
	g, bound, closeAll, err := m.openGenerations(ctx, x, r.env)
	if err != nil {
		return nil, err
	}
	closeAll = sync.OnceFunc(closeAll)
	defer closeAll()
	versions, err := g.List(bound)
	if err != nil {
		return nil, err
	}
	if r.choice, err = choose(r.env, versions, r.NoCache); err != nil {
		return nil, err
	}
	x.facts("way", string(r.way))
	if r.way == BySpare || r.way == ByBaseline {
		r.keepNoted()
		return m.resetByCopy(bound, x, g, r)
	}
	if !r.NoCache { // which is no news to who said so
		x.log.Warn("the baseline is not used", "env", r.env.Name, "reason", r.why)
	}
	closeAll() // what builds takes the lock itself; the lease keeps others out
	built, err := m.rebuild(ctx, x, r)
	if err != nil {
		return nil, err
	}
	result := r.result(x, m.now())
	result.Database, result.Previous, result.Notes = built.Database, built.Previous, built.Notes
	result.Source, result.Backup, result.Point, result.Neutrality, result.Masked = built.Source, built.Backup, built.Point, built.Neutrality, built.MaskedWith
	if built.Promotion != nil {
		result.Held, result.Bytes = built.Promotion.Held, built.Promotion.Live.Size
	}
	r.tell(result)
	return result, nil
}

// keepNoted keeps what was noted of the live version where it is a seed of the
// same inputs as the baseline, which may have been made for another one.
func (r *resetting) keepNoted() {
	if from := r.from.Marker; from != nil && from.Digest != "" && from.Digest == r.filled.Digest {
		r.labels, r.commit = r.filled.Labels, r.filled.Commit
	}
}

func (r resetting) result(x *execution, now time.Time) *ResetResult {
	return &ResetResult{Run: x.id(), Environment: r.env.Name, Way: r.way, Why: r.why, Elapsed: now.Sub(r.started)}
}

func (r resetting) tell(result *ResetResult) {
	if r.Done != nil {
		r.Done(result)
	}
}

// resetByCopy makes the spare, or a clone of the baseline, live.
func (m *Manager) resetByCopy(ctx context.Context, x *execution, g *generation.Generations, r resetting) (*ResetResult, error) {
	if err := m.guardSwap(ctx, x, r.env); err != nil {
		return nil, err
	}
	b := building{operation: envdb.OpReset, env: r.env, target: r.target}
	next, undo, err := m.next(ctx, x, g, b, r.choice)
	if err != nil {
		return nil, b.untouched(err)
	}
	properties, err := merged(ctx, g, r.env, carriedBy(next))
	if err != nil {
		return nil, undo(err)
	}
	options := promoteOptions(r.env)
	options.Properties, options.LeaveSurplus = &properties, true
	options.Completion.Labels, options.Completion.Commit = r.labels, r.commit
	x.step("promote")
	promotion, err := g.Promote(ctx, r.target, next.Name, options)
	if err != nil {
		return nil, undo(err)
	}
	result := r.result(x, m.now())
	result.describe(r.env, next, promotion)
	r.tell(result)
	m.dropPrevious(ctx, x, g, b, &promotion, options)
	m.keepUp(ctx, x, g, r.target, envdb.OpReset, r.env)
	return result, nil
}

// next returns the version to promote, and what undoes its making.
func (m *Manager) next(ctx context.Context, x *execution, g *generation.Generations, b building, c choice) (next generation.Version, undo func(error) error, err error) {
	if c.way == BySpare {
		return c.from, b.untouched, nil
	}
	if err := x.recording.WillCreate(ctx, g.DarkName(x.id())); err != nil {
		return next, nil, err
	}
	x.step("clone")
	x.report.Send(envdb.Progress{Step: "clone", Total: c.from.Size, Unit: "bytes"})
	dark, err := g.Clone(ctx, b.target, b.operation, c.from, x.id())
	if err != nil {
		return next, nil, err
	}
	x.report.Send(envdb.Progress{Step: "clone", Done: c.from.Size, Total: c.from.Size, Unit: "bytes"})
	return dark.Version, func(err error) error { return m.abandon(ctx, g, b, dark, whyStopped(ctx, err)) }, nil
}

// describe says what became live.
func (r *ResetResult) describe(env config.Environment, next generation.Version, p generation.Promotion) {
	r.Previous = kept(p, env)
	r.Database, r.Held, r.Bytes, r.Notes = p.Live.Name, p.Held, next.Size, p.Warnings
	if next.Copied != nil {
		r.Strategy = next.Copied.Strategy
	}
	if marker := p.Live.Marker; marker != nil {
		r.Source, r.Backup, r.Point, r.Neutrality, r.Masked = marker.Source, envdb.BackupID(marker.Backup), marker.Point, marker.Neutrality, marker.Masked
	}
}

// rebuild goes the long way: what the environment was filled with is filled
// in again.
func (m *Manager) rebuild(ctx context.Context, x *execution, r resetting) (*BuildResult, error) {
	if r.way == BySeed {
		return m.seedAgain(ctx, x, r)
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, noWay(r.env, r.choice, err)
	}
	p, b, err := m.planRebuild(ctx, repository, r.env, r.choice, r.Confirm)
	if err != nil {
		return nil, noWay(r.env, r.choice, err)
	}
	m.warn(p)
	err = x.recording.Update(ctx, func(run *ledger.Run) {
		run.Source, run.Point, run.Backup = b.source, b.backup.Manifest.Point, b.backup.ID()
	})
	if err != nil {
		return nil, err
	}
	return m.build(ctx, x, repository, b)
}

// noWay says that both ways are barred.
func noWay(env config.Environment, c choice, err error) error {
	return fmt.Errorf("the baseline is not used (%s), and the backup that %s was filled from cannot be restored: %w", c.why, env.Name, err)
}
