package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// environment returns the environment of that name, as config.Environment does.
// One of a pattern is there only once it was created, which the store knows.
// While the store does not answer it is taken for created: what needs
// PostgreSQL only goes on, and a marker tells whose a database is.
func (m *Manager) environment(ctx context.Context, name string) (config.Environment, error) {
	env, err := m.config.Environment(name)
	if env.Pattern == "" {
		return env, err
	}
	instance, unknown := m.instance(ctx, name)
	switch {
	case isNotFound(unknown):
		return env, unknown
	case unknown != nil:
		m.log.Debug("the store does not say whether the environment was created", "env", name, "reason", unknown)
		return env, err
	case err != nil:
		return env, err
	}
	return env, sameInstance(env, instance)
}

// instance returns the record of an environment that was created.
func (m *Manager) instance(ctx context.Context, name string) (*ledger.Instance, error) {
	record, err := m.ledger.Environment(ctx, name)
	if err == nil && record.Instance != nil {
		return record.Instance, nil
	}
	if err == nil || isNotFound(err) {
		return nil, envdb.Fail(envdb.ErrNotFound, "there is no environment %q yet", name).
			WithState("nothing was changed").WithNext("envdb create %s", name)
	}
	return nil, err
}

// sameInstance refuses an instance whose name the configuration meanwhile gives
// another database.
func sameInstance(env config.Environment, i *ledger.Instance) error {
	database, err := generation.LiveName(env.Environment)
	if err != nil || database == i.Database && env.Pattern == i.Pattern {
		return err
	}
	return envdb.Fail(envdb.ErrRefused, "%s was created by pattern %s as database %q; by the configuration it is now of pattern %s and database %q",
		env.Name, i.Pattern, i.Database, env.Pattern, database).
		WithState("nothing was changed").
		WithNext("correct the patterns; or destroy %s with the configuration that it was created with", env.Name)
}

// awake refuses what cannot be done to an environment that hibernates. A
// protected one never does.
func (m *Manager) awake(ctx context.Context, name string, op envdb.Operation) error {
	switch op {
	case envdb.OpCreate, envdb.OpDestroy, envdb.OpHibernate, envdb.OpWake, envdb.OpVerify, envdb.OpIdentity,
		envdb.OpExpire, envdb.OpDelete, envdb.OpUndelete:
		return nil
	}
	if env, _ := m.config.Environment(name); env.Protected() {
		return nil
	}
	record, err := m.ledger.Environment(ctx, name)
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return envdb.Fail(nil, "is %s awake? %w", name, err).WithState("nothing was changed").WithNext("envdb doctor")
	}
	if record.Hibernation == nil {
		return nil
	}
	return hibernating(record)
}

// hibernating is the error of what an environment has to be awake for.
func hibernating(record *ledger.Environment) error {
	return envdb.Fail(envdb.ErrPreflight, "%s hibernates since %s", record.Name, record.Hibernation.Since.UTC().Format(time.DateTime+" UTC")).
		WithState("nothing was changed").WithNext("envdb wake %s", record.Name)
}

// recordsPatience is how long a list waits for a store, which it can do without.
const recordsPatience = 10 * time.Second

// known are the environments to look at: those of the configuration in its
// order, then those that were created, with their records. The error says why
// the latter are not known; the former are returned all the same.
func (m *Manager) known(ctx context.Context) ([]config.Environment, map[string]*ledger.Environment, error) {
	all := m.config.Environments()
	brief, cancel := context.WithTimeout(ctx, recordsPatience)
	defer cancel()
	records, err := m.ledger.Environments(brief)
	if len(m.config.Patterns()) == 0 {
		err = nil // none was created
	}
	byName := map[string]*ledger.Environment{}
	for i, record := range records {
		byName[record.Name] = &records[i]
		if record.Instance == nil {
			continue
		}
		env, _ := m.config.Environment(record.Name) // its pattern may be gone, or a reference unset
		env.Name = record.Name
		all = append(all, env)
	}
	return all, byName, err
}
