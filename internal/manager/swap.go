package manager

import (
	"context"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// PromoteRequest asks to make a dark version live.
type PromoteRequest struct {
	Environment string
	Version     string
	Confirm     string // the environment's name, if it is protected
}

// RollbackRequest asks to make the previous version live again.
type RollbackRequest struct {
	Environment string
	Confirm     string // the environment's name, if it is protected
}

// PlanPromote returns what Promote would do.
func (m *Manager) PlanPromote(ctx context.Context, req PromoteRequest) (*Plan, error) {
	env, _, err := m.sanctioned(ctx, req.Environment, envdb.OpPromote, req.Environment)
	if err != nil {
		return nil, err
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Name == req.Version || v.ID == req.Version && v.State == envdb.Dark {
			return m.planSwap(envdb.OpPromote, env, v), nil
		}
	}
	return nil, envdb.Fail(envdb.ErrNotFound, "%s has no version %q", env.Name, req.Version).WithState("nothing was changed").WithNext("envdb versions %s", env.Name)
}

// PlanRollback returns what Rollback would do.
func (m *Manager) PlanRollback(ctx context.Context, req RollbackRequest) (*Plan, error) {
	env, _, err := m.sanctioned(ctx, req.Environment, envdb.OpRollback, req.Environment)
	if err != nil {
		return nil, err
	}
	g, err := m.look(ctx, env)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	back, err := g.LastLive(ctx)
	if err != nil {
		return nil, err
	}
	return m.planSwap(envdb.OpRollback, env, back), nil
}

func (m *Manager) planSwap(op envdb.Operation, env config.Environment, next generation.Version) *Plan {
	p := &Plan{Operation: op, Environment: env.Name, Live: next.Name}
	if next.Marker != nil && !next.Marker.Point.IsZero() {
		p.Source, p.Point, p.Neutrality = next.Marker.Source, &next.Marker.Point, next.Marker.Neutrality
	}
	p.add(fmt.Sprintf("in one transaction: what is live becomes previous, and %s becomes live", next.Name), "end the sessions of what was live")
	if env.Pooler.Admin != "" {
		p.add("with the pooler paused meanwhile, so that no client sees an error")
	}
	return p
}

// Promote makes a dark version live. It needs PostgreSQL only. A dark version has
// no baseline, so that of what was live goes, unless a rollback would bring it
// back into force.
func (m *Manager) Promote(ctx context.Context, req PromoteRequest) (_ *SwapResult, err error) {
	env, w, err := m.sanctioned(ctx, req.Environment, envdb.OpPromote, req.Confirm)
	if err != nil {
		return nil, err
	}
	defer func() {
		err = withRights(env, err, fmt.Sprintf("envdb promote %s '%s'%s", env.Name, req.Version, confirming(env)))
	}()
	return m.swap(ctx, env, envdb.OpPromote, func(ctx context.Context, x *execution, g *generation.Generations) (p generation.Promotion, err error) {
		next, err := g.Find(ctx, req.Version)
		if err != nil {
			return generation.Promotion{}, err
		}
		properties, err := merged(ctx, g, env, carriedBy(next))
		if err != nil {
			return generation.Promotion{}, err
		}
		options := promoteOptions(env)
		options.Properties = &properties
		if p, err = g.Promote(ctx, w, req.Version, options); err == nil {
			m.dropUnneeded(ctx, x, g, w, envdb.OpPromote, env)
		}
		return p, err
	})
}

// Rollback makes the previous version live again. It needs PostgreSQL only.
func (m *Manager) Rollback(ctx context.Context, req RollbackRequest) (_ *SwapResult, err error) {
	env, w, err := m.sanctioned(ctx, req.Environment, envdb.OpRollback, req.Confirm)
	if err != nil {
		return nil, err
	}
	defer func() { err = withRights(env, err, undo(env)) }()
	return m.swap(ctx, env, envdb.OpRollback, func(ctx context.Context, _ *execution, g *generation.Generations) (generation.Promotion, error) {
		options, err := rollbackOptions(ctx, g, env)
		if err != nil {
			return generation.Promotion{}, err
		}
		return g.Rollback(ctx, w, options)
	})
}

// sanctioned returns the environment and the permission to swap its versions:
// for a protected one a person must have typed its name.
func (m *Manager) sanctioned(ctx context.Context, name string, op envdb.Operation, confirm string) (config.Environment, envdb.Writable, error) {
	env, err := m.environment(ctx, name)
	if err != nil {
		return env, nil, err
	}
	if !env.Protected() {
		w, err := env.Target()
		return env, w, err
	}
	w, err := env.Sanction(envdb.Confirmation{Environment: confirm, Operation: op})
	return env, w, err
}

func (m *Manager) swap(ctx context.Context, env config.Environment, op envdb.Operation, act func(context.Context, *execution, *generation.Generations) (generation.Promotion, error)) (*SwapResult, error) {
	var result *SwapResult
	err := m.run(ctx, job{operation: op, environment: env.Name, offline: true}, func(ctx context.Context, x *execution) error {
		g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
		if err != nil {
			return err
		}
		defer closeAll()
		if err := m.guardSwap(ctx, x, env); err != nil {
			return err
		}
		x.step(string(op))
		promotion, err := act(ctx, x, g)
		if err != nil {
			return err
		}
		result = swapResult(x, env, promotion)
		x.promoted(promotion)
		m.followIdentity(ctx, x, env)
		return nil
	})
	return result, err
}

func swapResult(x *execution, env config.Environment, p generation.Promotion) *SwapResult {
	r := &SwapResult{Run: x.id(), Environment: env.Name, Was: p.Was, Held: p.Held}
	if p.Displaced != nil && !slices.Contains(p.Dropped, p.Displaced.Name) {
		r.Previous, r.Undo = p.Displaced.Name, undo(env)
	}
	if marker := p.Live.Marker; marker != nil {
		r.Source, r.Point, r.Neutrality, r.Masked = marker.Source, marker.Point, marker.Neutrality, marker.Masked
	}
	return r
}

// carriedBy returns what a version brought along, or nil.
func carriedBy(v generation.Version) *generation.Properties {
	if v.Marker == nil {
		return nil
	}
	return v.Marker.Carried
}

// rollbackOptions give the version that was live last what the environment has
// now. If somebody dropped the live version, it keeps what it had.
func rollbackOptions(ctx context.Context, g *generation.Generations, env config.Environment) (generation.RollbackOptions, error) {
	back, err := g.LastLive(ctx)
	if err != nil {
		return generation.RollbackOptions{}, err
	}
	options := generation.RollbackOptions{To: back.Name}
	if _, err := g.Live(ctx); err != nil {
		if isNotFound(err) {
			err = nil
		}
		return options, err
	}
	properties, err := merged(ctx, g, env, carriedBy(back))
	options.Properties = &properties
	return options, err
}
