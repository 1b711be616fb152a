package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
)

// Migrator brings the schema of a database up to date with the migrations of an
// environment's seed. The database is being built, and nobody else can connect
// to it; the URL leads to it around any pooler. When a Migrator returns, its
// sessions have ended. If it fails, the database is dropped.
type Migrator func(ctx context.Context, env config.Environment, url envdb.ConnString) (Migrated, error)

// Migrated says what a Migrator did.
type Migrated struct {
	// Tool is what applied the migrations.
	Tool string `json:"tool"`
	// Version is the newest one, Applied how many were missing; a command of
	// the user's tells neither.
	Version int64 `json:"version,omitempty"`
	Applied int   `json:"applied,omitempty"`
}

// String returns it for people.
func (m Migrated) String() string {
	switch {
	case m.Version == 0:
		return "migrated with " + m.Tool
	case m.Applied == 0:
		return fmt.Sprintf("migrated: nothing to do, it is at version %d", m.Version)
	}
	return fmt.Sprintf("migrated to version %d with %s (%d applied)", m.Version, m.Tool, m.Applied)
}

// migrates reports whether the mirror runs the environment's own migrations.
func (b building) migrates() bool { return b.operation == envdb.OpMirror && b.env.Mirror.Migrate }

// preflightMigrate refuses a mirror whose migrations nothing here can run.
func (m *Manager) preflightMigrate(b building) error {
	if b.migrates() && m.migrate == nil {
		return envdb.Fail(envdb.ErrPreflight, "mirror.migrate of %s: this build of envdb runs no migrations", b.env.Name).
			WithState("nothing was changed").WithNext("remove migrate from the configuration, or use a build that has it")
	}
	return nil
}

// migrateNext runs the environment's own migrations in a copy of another one,
// whose schema may be behind its code, and gathers statistics anew: those of
// the load know nothing of what a migration changed.
func (m *Manager) migrateNext(ctx context.Context, x *execution, b building, dark *generation.Dark, catalogue *logical.Catalogue) (string, error) {
	x.step("migrate")
	done, err := m.migrate(ctx, b.env, dark.URL)
	if err != nil {
		return "", envdb.Fail(nil, "migrate the copy of %s: %w", b.source, err)
	}
	x.facts("migrated_to", done.Version, "migrations", done.Applied)
	if done.Version != 0 && done.Applied == 0 {
		return done.String(), nil
	}
	return done.String(), logical.Analyze(ctx, logical.Loading{URL: dark.URL, App: x.app(), Jobs: m.jobs(b.env), Log: x.log, Report: x.report}, catalogue)
}
