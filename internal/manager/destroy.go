package manager

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// DestroyRequest asks to drop an environment with all its versions.
type DestroyRequest struct {
	Environment string
	Confirm     string // the environment's name: nothing brings it back
}

// DestroyResult is what a destroy dropped.
type DestroyResult struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	generation.Destruction
	// Backups of it that stay in the store.
	Backups int `json:"backups"`
}

// PlanDestroy returns what Destroy would do.
func (m *Manager) PlanDestroy(ctx context.Context, req DestroyRequest) (*Plan, error) {
	env, _, err := m.destroyable(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	if _, err := m.mayGo(ctx, env.Name); err != nil {
		return nil, err
	}
	g, err := m.look(ctx, env)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	recorded, err := m.recordedVersions(ctx, env.Name)
	if err != nil {
		return nil, err
	}
	doomed, left, err := g.Destroyable(ctx, recorded)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpDestroy, Environment: env.Name, Live: g.Base()}
	for _, v := range doomed {
		p.add(fmt.Sprintf("end the sessions in %s (%s), and drop it", v.Name, v.State))
	}
	for name, why := range left {
		p.Warnings = append(p.Warnings, name+" stays: "+why)
	}
	return p.add("forget " + env.Name + "; its backups stay in the store"), nil
}

// Destroy drops every version of an environment that envdb made, and forgets
// it if it was created. It never drops what envdb did not make, and refuses a
// protected environment.
func (m *Manager) Destroy(ctx context.Context, req DestroyRequest) (*DestroyResult, error) {
	env, target, err := m.destroyable(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	if _, err := m.mayGo(ctx, env.Name); err != nil {
		return nil, err
	}
	if err := confirmGone(env, envdb.OpDestroy, req.Confirm); err != nil {
		return nil, err
	}
	return m.destroy(ctx, env, target, nil)
}

// destroyable returns the environment and the permission to destroy it.
func (m *Manager) destroyable(ctx context.Context, name string) (config.Environment, envdb.Target, error) {
	env, target, err := m.target(ctx, name)
	if err != nil && env.Protected() && errors.Is(err, envdb.ErrRefused) {
		return env, target, envdb.Fail(envdb.ErrRefused, "%s is protected (tier %s): it is never destroyed", env.Name, env.Tier).
			WithState("nothing was changed").WithNext("see `envdb env list` for what can be")
	}
	return env, target, err
}

// confirmGone asks for the name of an environment whose databases are dropped.
func confirmGone(env config.Environment, op envdb.Operation, confirm string) error {
	if confirm == env.Name {
		return nil
	}
	why := "nothing brings it back"
	if op == envdb.OpHibernate {
		why = "its databases are dropped"
	}
	return envdb.Fail(envdb.ErrRefused, "%s of %s: %s, so its name must be typed again", op, env.Name, why).
		WithState("nothing was changed").WithNext("repeat with --confirm %s", env.Name)
}

// mayGo returns the record of an environment, or nil if it has none, and
// refuses one that is protected for the time being.
func (m *Manager) mayGo(ctx context.Context, name string) (*ledger.Environment, error) {
	record, err := m.ledger.Environment(ctx, name)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return record, m.unprotected(record)
}

func (m *Manager) unprotected(record *ledger.Environment) error {
	i := record.Instance
	if i == nil || !i.ProtectedUntil.After(m.now()) {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "%s is protected until %s", record.Name, i.ProtectedUntil.UTC().Format(time.DateTime+" UTC")).
		WithState("nothing was changed").WithNext("if it may go all the same: envdb env protect %s off", record.Name)
}

// errStays ends a destroy that is not due any more.
var errStays = errors.New("it stays")

// destroy drops the environment under its lease and lock. due, which may be
// nil, is asked once more when nobody else can change the record.
func (m *Manager) destroy(ctx context.Context, env config.Environment, target envdb.Target, due func(*ledger.Environment) bool) (*DestroyResult, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	var result *DestroyResult
	err = m.run(ctx, job{operation: envdb.OpDestroy, environment: env.Name}, func(ctx context.Context, x *execution) error {
		result, err = m.demolish(ctx, x, repository, env, target, due)
		return err
	})
	return result, err
}

func (m *Manager) demolish(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, target envdb.Target, due func(*ledger.Environment) bool) (*DestroyResult, error) {
	x.step("preflight")
	g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if err := m.guard(ctx, repository, g); err != nil {
		return nil, err
	}
	recorded, err := m.recordedVersions(ctx, env.Name)
	if err != nil {
		return nil, err
	}
	if _, _, err := g.Destroyable(ctx, recorded); err != nil {
		return nil, err
	}
	hibernation, err := m.doom(ctx, env.Name, due)
	if err != nil {
		return nil, err
	}
	x.step("drop")
	gone, err := g.Destroy(ctx, target, envdb.OpDestroy, recorded)
	x.facts("dropped", gone.Dropped)
	if err != nil {
		return nil, partly(env, gone, err)
	}
	return m.forget(ctx, x, repository, env, gone, hibernation)
}

// doom notes that the environment does not come back, before anything of it
// goes: who protects it or asks for it from now on is told.
func (m *Manager) doom(ctx context.Context, name string, due func(*ledger.Environment) bool) (*ledger.Hibernation, error) {
	record, err := m.ledger.ChangeEnvironment(ctx, name, func(e *ledger.Environment) error {
		if err := m.unprotected(e); err != nil {
			return err
		}
		if due != nil && !due(e) {
			return errStays
		}
		if e.Instance != nil && e.Instance.Destroying.IsZero() {
			e.Instance.Destroying = m.now().UTC()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return record.Hibernation, nil
}

// partly says of a destroy that failed what is gone.
func partly(env config.Environment, gone generation.Destruction, err error) error {
	if len(gone.Dropped) == 0 {
		return err
	}
	return envdb.Fail(nil, "%w", err).WithState("%v of %s have been dropped", gone.Dropped, env.Name).
		WithNext("envdb destroy %s --confirm %s carries on", env.Name, env.Name)
}

// forget removes what the store knows of an environment that is gone. Its
// backups stay; one that was kept for its waking up may expire.
func (m *Manager) forget(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, gone generation.Destruction, hibernation *ledger.Hibernation) (*DestroyResult, error) {
	x.step("forget")
	if hibernation != nil && hibernation.Backup != "" {
		if err := repository.Unpin(ctx, env.Name, hibernation.Backup); err != nil && !isNotFound(err) {
			return nil, partly(env, gone, err)
		}
	}
	if err := m.ledger.RemoveEnvironment(ctx, env.Name); err != nil {
		return nil, partly(env, gone, err)
	}
	result := &DestroyResult{Run: x.id(), Environment: env.Name, Destruction: gone}
	found, err := repository.List(ctx, env.Name)
	if err != nil {
		x.log.Warn("how many backups of it are left is not known", "env", env.Name, "reason", err)
	}
	result.Backups = len(found)
	return result, nil
}

// ProtectRequest asks that an environment cannot be destroyed for a time; a
// span of 0 ends that.
type ProtectRequest struct {
	Environment string
	For         time.Duration
}

// Protect keeps an environment of a pattern from being destroyed for a time, or
// no longer.
func (m *Manager) Protect(ctx context.Context, req ProtectRequest) (*EnvironmentLine, error) {
	env, err := m.config.Environment(req.Environment)
	if isNotFound(err) {
		return nil, err
	}
	if env.Pattern == "" {
		return nil, envdb.Fail(envdb.ErrMisuse, "%s is declared by its name: it is protected in the configuration or not at all", env.Name).
			WithState("nothing was changed").WithNext("write protected: true below %s in the configuration", env.Name)
	}
	record, err := m.ledger.ChangeEnvironment(ctx, env.Name, func(e *ledger.Environment) error {
		if e.Instance == nil {
			return envdb.Fail(envdb.ErrNotFound, "there is no environment %q yet", env.Name).WithState("nothing was changed").WithNext("envdb create %s", env.Name)
		}
		if !e.Instance.Destroying.IsZero() {
			return envdb.Fail(envdb.ErrPreflight, "%s is being destroyed", env.Name).
				WithState("nothing was changed").WithNext("envdb destroy %s --confirm %s carries on", env.Name, env.Name)
		}
		e.Instance.ProtectedUntil = time.Time{}
		if req.For > 0 {
			e.Instance.ProtectedUntil = m.now().UTC().Add(req.For)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	line := m.environmentLine(env, record)
	return &line, nil
}
