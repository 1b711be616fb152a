package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
)

// DiscardRequest asks to drop a version that is not live.
type DiscardRequest struct {
	Environment string
	Version     string
	Confirm     string // the version's name: nothing brings it back
}

// DiscardResult is what a discard dropped.
type DiscardResult struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	Version     string `json:"version"`
}

// PlanDiscard returns what Discard would do.
func (m *Manager) PlanDiscard(ctx context.Context, req DiscardRequest) (*Plan, error) {
	url, err := m.URL(ctx, req.Environment, req.Version)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpDiscard, Environment: url.Environment, Live: req.Version}
	return p.add("end the sessions in " + req.Version + ", and drop it if envdb made it and it is not live"), nil
}

// Discard drops a dark, previous, baseline or spare version that envdb made. It never drops the
// live version, nor a database that envdb did not make.
func (m *Manager) Discard(ctx context.Context, req DiscardRequest) (*DiscardResult, error) {
	env, err := m.environment(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	if req.Confirm != req.Version || req.Version == "" {
		return nil, envdb.Fail(envdb.ErrRefused, "discard of %s: nothing brings it back, so its name must be typed again", req.Version).
			WithState("nothing was changed").WithNext("repeat with --confirm '%s'", req.Version)
	}
	run, err := m.discard(ctx, env, req.Version)
	if err != nil {
		return nil, withRights(env, err, fmt.Sprintf("envdb discard %s '%s' --confirm '%s'", env.Name, req.Version, req.Version))
	}
	return &DiscardResult{Run: run, Environment: env.Name, Version: req.Version}, nil
}

// discard drops a version under the environment's lease and lock.
func (m *Manager) discard(ctx context.Context, env config.Environment, version string) (run string, err error) {
	w, err := mayDiscard(env)
	if err != nil {
		return "", err
	}
	err = m.run(ctx, job{operation: envdb.OpDiscard, environment: env.Name}, func(ctx context.Context, x *execution) error {
		g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
		if err != nil {
			return err
		}
		defer closeAll()
		recorded, err := m.recordedVersions(ctx, env.Name)
		if err != nil {
			return err
		}
		run = x.id()
		x.facts("version", version)
		x.step("drop")
		if err := g.Discard(ctx, w, envdb.OpDiscard, version, recorded); err != nil {
			return fmt.Errorf("discard %s: %w", version, err)
		}
		return nil
	})
	return run, err
}

// mayDiscard returns the permission to drop what envdb itself built, also
// beside a protected environment.
func mayDiscard(env config.Environment) (envdb.Writable, error) {
	if env.Protected() {
		return env.Sanction(envdb.Confirmation{Environment: env.Name, Operation: envdb.OpDiscard})
	}
	return env.Target()
}
