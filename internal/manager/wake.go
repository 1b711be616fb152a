package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// WakeResult is what a wake-up made.
type WakeResult struct {
	Run         string `json:"run,omitempty"`
	Environment string `json:"environment"`
	// Woken is false if it did not hibernate.
	Woken  bool           `json:"woken"`
	Backup envdb.BackupID `json:"backup,omitempty"`
	// Slept is how long it hibernated.
	Slept time.Duration `json:"slept_ns,omitempty"`
	// Build is nil if its database was still there.
	Build   *BuildResult  `json:"build,omitempty"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// PlanWake returns what Wake would do.
func (m *Manager) PlanWake(ctx context.Context, name string) (*Plan, error) {
	env, _, err := m.target(ctx, name)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpWake, Environment: env.Name}
	record, err := m.ledger.Environment(ctx, name)
	switch {
	case err != nil && !isNotFound(err):
		return nil, err
	case err != nil || record.Hibernation == nil:
		return p.add(name + " is awake: nothing is done"), nil
	case record.Hibernation.Backup == "":
		return p.add("make its database live again: no backup was finished"), nil
	}
	p.Backup, p.Bytes = record.Hibernation.Backup, record.Hibernation.Bytes
	return p.add("restore backup "+string(p.Backup)+" and make it live", "unpin the backup"), nil
}

// Wake brings an environment that hibernates back: exactly as the backup holds
// it, or its database itself where that was not dropped.
func (m *Manager) Wake(ctx context.Context, name string) (*WakeResult, error) {
	started := m.now()
	env, target, err := m.target(ctx, name)
	if err != nil {
		return nil, err
	}
	record, err := m.ledger.Environment(ctx, name)
	if isNotFound(err) || err == nil && record.Hibernation == nil {
		return &WakeResult{Environment: name}, nil
	}
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	var result *WakeResult
	j := job{operation: envdb.OpWake, environment: name, source: name, backup: record.Hibernation.Backup}
	err = m.run(ctx, j, func(ctx context.Context, x *execution) error {
		result, err = m.wake(ctx, x, repository, env, target)
		return err
	})
	if result != nil {
		result.Elapsed = m.now().Sub(started)
	}
	return result, err
}

// wake is the work of a wake-up, inside a run.
func (m *Manager) wake(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, target envdb.Target) (*WakeResult, error) {
	record, err := m.ledger.Environment(ctx, env.Name)
	if err != nil {
		return nil, err
	}
	h := record.Hibernation
	if h == nil {
		return &WakeResult{Run: x.id(), Environment: env.Name}, nil
	}
	result := &WakeResult{Run: x.id(), Environment: env.Name, Woken: true, Backup: h.Backup, Slept: m.now().Sub(h.Since)}
	if h.Backup == "" {
		err = m.wakeDatabase(ctx, x, env, target, h.Version)
	} else {
		result.Build, err = m.wakeBackup(ctx, x, repository, env, target, h)
	}
	if err != nil {
		return nil, err
	}
	x.step("unpin")
	if h.Backup != "" {
		if err := repository.Unpin(ctx, env.Name, h.Backup); err != nil {
			return nil, awakeBut(env, err)
		}
	}
	if err := m.endHibernation(ctx, env.Name); err != nil {
		return nil, awakeBut(env, err)
	}
	return result, nil
}

// awakeBut is the error of what comes after the environment is live again.
func awakeBut(env config.Environment, err error) error {
	return envdb.Fail(nil, "%s is awake, but its record does not say so: %w", env.Name, err).
		WithState("%s is live", env.Name).WithNext("envdb wake %s once more", env.Name)
}

// wakeDatabase makes live again what was taken out of service.
func (m *Manager) wakeDatabase(ctx context.Context, x *execution, env config.Environment, target envdb.Target, version string) error {
	x.step("rollback")
	g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
	if err != nil {
		return err
	}
	defer closeAll()
	return m.reinstate(ctx, g, target, version)
}

// wakeBackup restores the backup, unless an earlier wake-up has done so.
func (m *Manager) wakeBackup(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, target envdb.Target, h *ledger.Hibernation) (*BuildResult, error) {
	live, err := m.liveOf(ctx, env)
	if err != nil {
		return nil, err
	}
	if live != nil && live.Marker != nil && live.Marker.Backup == string(h.Backup) && live.Marker.Source == env.Name {
		return nil, nil
	}
	found, err := repository.Find(ctx, env.Name, h.Backup)
	if err != nil {
		return nil, err
	}
	return m.build(ctx, x, repository, building{
		operation: envdb.OpWake, env: env, target: target, source: env.Name, backup: found, promote: true,
	})
}

// liveOf returns the live version of an environment, or nil.
func (m *Manager) liveOf(ctx context.Context, env config.Environment) (*generation.Version, error) {
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.State == envdb.Live {
			return &v, nil
		}
	}
	return nil, nil
}
