package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/seed"
)

// migrates reports whether the mirror runs the environment's own migrations.
func (b building) migrates() bool { return b.operation == envdb.OpMirror && b.env.Mirror.Migrate }

// migrateNext runs the environment's own migrations in a copy of another one,
// whose schema may be behind its code, and gathers statistics anew: those of
// the load know nothing of what a migration changed.
func (m *Manager) migrateNext(ctx context.Context, x *execution, b building, dark *generation.Dark, catalogue *logical.Catalogue) (string, error) {
	x.step("migrate")
	done, err := m.applyMigrations(ctx, x, b.env, dark.URL, nil)
	if err != nil {
		return "", envdb.Fail(nil, "migrate the copy of %s: %w", b.source, err)
	}
	if done.Version != 0 && done.Applied == 0 {
		return migratedTo(done), nil
	}
	return migratedTo(done), logical.Analyze(ctx, logical.Loading{URL: dark.URL, App: x.app(), Jobs: m.jobs(b.env), Log: x.log, Report: x.report}, catalogue)
}

// migratedTo says for people what migrations did.
func migratedTo(done *seed.Migrated) string {
	switch {
	case done.Version == 0:
		return "migrated with " + done.Tool
	case done.Applied == 0:
		return fmt.Sprintf("migrated: nothing to do, it is at version %d", done.Version)
	}
	return fmt.Sprintf("migrated to version %d with %s (%d applied)", done.Version, done.Tool, done.Applied)
}
