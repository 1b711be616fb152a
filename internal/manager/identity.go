package manager

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/postgres"
)

// Identity compares the recorded identity of an environment with the one that
// its server gives now.
func (m *Manager) Identity(ctx context.Context, name string) (*IdentityReport, error) {
	env, err := m.environment(ctx, name)
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	report := &IdentityReport{Environment: name}
	if report.Recorded, err = recordedIdentity(ctx, repository, name); err != nil {
		return nil, err
	}
	now, err := generation.Identify(ctx, env.Environment)
	if err != nil {
		report.Unreachable = err.Error()
		return report, nil
	}
	report.Now = &now
	return report, nil
}

// AcceptIdentity records the identity that the server of an environment gives
// now, in place of the one that was recorded.
func (m *Manager) AcceptIdentity(ctx context.Context, name string) (*IdentityReport, error) {
	env, err := m.environment(ctx, name)
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	err = m.run(ctx, job{operation: envdb.OpIdentity, environment: name}, func(ctx context.Context, x *execution) error {
		now, err := generation.Identify(ctx, env.Environment)
		if err != nil {
			return err
		}
		if now.DatabaseOID == 0 {
			return envdb.Fail(envdb.ErrNotFound, "the server of %s has no database %q", name, now.Database).
				WithState("nothing was recorded").WithNext("correct the url of %s", name)
		}
		x.facts("system_identifier", now.SystemIdentifier, "database_oid", now.DatabaseOID)
		return repository.RecordIdentity(ctx, name, now)
	})
	if err != nil {
		return nil, err
	}
	return m.Identity(ctx, name)
}

// recordIdentity remembers who a protected database is, the first time that it
// is backed up. A backup from another cluster or database than the recorded one
// is kept, since that is how a move begins, but it says so.
func (m *Manager) recordIdentity(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, source backup.Source) error {
	if !env.Protected() {
		return nil
	}
	recorded, err := recordedIdentity(ctx, repository, env.Name)
	if err != nil {
		return err
	}
	now := envdb.Identity{
		SystemIdentifier: source.SystemIdentifier, PostmasterStart: source.PostmasterStart, DatabaseOID: source.DatabaseOID, Database: source.Database,
	}
	switch {
	case recorded == nil:
		return repository.RecordIdentity(ctx, env.Name, now)
	case !recorded.MayBe(now):
		x.log.Warn("this is not the database that was recorded for the environment; if it was moved on purpose, run envdb identity accept", "env", env.Name,
			"recorded", describeIdentity(*recorded), "now", describeIdentity(now))
	}
	return nil
}

func describeIdentity(i envdb.Identity) string {
	return fmt.Sprintf("%s, oid %d of cluster %s", i.Database, i.DatabaseOID, i.SystemIdentifier)
}

// followIdentity records the database that a protected environment has after a
// sanctioned swap: it has another oid now. The swap is done, so what does not
// work here is a warning.
func (m *Manager) followIdentity(ctx context.Context, x *execution, env config.Environment) {
	if !env.Protected() {
		return
	}
	now, err := generation.Identify(ctx, env.Environment)
	if err == nil {
		var repository *backup.Repository
		if repository, err = m.open(ctx); err == nil {
			err = repository.RecordIdentity(ctx, env.Name, now)
		}
	}
	if err != nil {
		x.log.Warn("the new identity of the environment is not recorded; run envdb identity accept", "env", env.Name, "reason", err)
	}
}

// recordedIdentity returns what was recorded, or nil.
func recordedIdentity(ctx context.Context, repository *backup.Repository, env string) (*envdb.Identity, error) {
	recorded, err := repository.Identity(ctx, env)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, envdb.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &recorded, nil
}

// protected returns every protected environment with what is known of it, for
// the guard that no URL leads a writer into one. Without a repository nothing
// recorded is known.
func (m *Manager) protected(ctx context.Context, repository *backup.Repository) ([]generation.Protected, error) {
	var all []generation.Protected
	for _, declared := range m.config.Environments() {
		if !declared.Protected() {
			continue
		}
		var recorded *envdb.Identity
		if repository != nil {
			var err error
			if recorded, err = recordedIdentity(ctx, repository, declared.Name); err != nil {
				return nil, err
			}
		}
		env, unset := m.config.Environment(declared.Name)
		if unset != nil && !errors.Is(unset, config.ErrUnset) {
			return nil, unset
		}
		all = append(all, generation.Protected{
			Name: declared.Name, Recorded: recorded,
			Identify: func(ctx context.Context) (envdb.Identity, error) {
				if unset != nil {
					return envdb.Identity{}, unset
				}
				return generation.Identify(ctx, env.Environment)
			},
		})
	}
	return all, nil
}

// swapPatience is how long a swap waits for a protected environment to say who
// it is. A rollback is urgent, and production may be what is down.
const swapPatience = 3 * time.Second

// guardSwap refuses to swap the versions of an environment whose live name has
// come to be a protected database: a copy that took production's place, say.
// Unlike the guard of a build it does not refuse what it cannot know, because
// a rollback works while the store and production are down, and swaps only
// what envdb itself built for the environment.
func (m *Manager) guardSwap(ctx context.Context, x *execution, env config.Environment) error {
	if env.Protected() {
		return nil // a person confirmed it
	}
	repository, err := m.open(ctx)
	if err != nil {
		x.log.Debug("the store does not say who is protected", "reason", err)
		repository = nil
	}
	protected, err := m.protected(ctx, repository)
	if err != nil && repository != nil {
		x.log.Debug("the store does not say who is protected", "reason", err)
		protected, err = m.protected(ctx, nil)
	}
	if err != nil {
		return err
	}
	// All are asked at once: several that do not answer are one wait.
	var asking sync.WaitGroup
	for i, p := range protected {
		asking.Go(func() {
			now, unanswered := askBriefly(ctx, p)
			if unanswered != nil && p.Recorded == nil {
				x.log.Debug("a protected environment is unknown", "env", p.Name, "reason", unanswered)
				now, unanswered = envdb.Identity{}, nil // which is nobody
			}
			protected[i].Identify = func(context.Context) (envdb.Identity, error) { return now, unanswered }
		})
	}
	live, err := m.liveIdentity(ctx, x, env)
	asking.Wait()
	if err != nil {
		return err
	}
	return generation.Guard(ctx, env.Name, live, protected)
}

func askBriefly(ctx context.Context, p generation.Protected) (envdb.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, swapPatience)
	defer cancel()
	return p.Identify(ctx)
}

// liveIdentity asks the server around the live version, which may be broken.
func (m *Manager) liveIdentity(ctx context.Context, x *execution, env config.Environment) (envdb.Identity, error) {
	base, err := postgres.DatabaseName(env.Direct())
	if err != nil {
		return envdb.Identity{}, fmt.Errorf("environment %s: %w", env.Name, err)
	}
	conn, err := postgres.Connect(ctx, env.Direct(), postgres.Options{App: x.app(), Database: env.Maintenance(), Pin: true})
	if err != nil {
		return envdb.Identity{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return postgres.ReadIdentity(ctx, conn, base)
}
