package logical

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// migrationTool says how a migration tool keeps the version of the schema.
type migrationTool struct {
	name  string
	table string
	// has are the columns by which the table is known to be the tool's.
	has []string
	// sql yields the newest applied version; %s is the table.
	sql string
}

// migrationTools lists the tools, the more particular one first where several
// use one name.
func migrationTools() []migrationTool {
	return []migrationTool{
		{"goose", "goose_db_version", []string{"id", "version_id", "is_applied"},
			"SELECT max(version_id)::text FROM (SELECT DISTINCT ON (version_id) version_id, is_applied FROM %s ORDER BY version_id, id DESC) v WHERE is_applied"},
		{"golang-migrate", "schema_migrations", []string{"version", "dirty"},
			"SELECT version::text || CASE WHEN dirty THEN ' (dirty)' ELSE '' END FROM %s ORDER BY version DESC LIMIT 1"},
		{"ecto", "schema_migrations", []string{"version", "inserted_at"}, "SELECT max(version)::text FROM %s"},
		{"rails", "schema_migrations", []string{"version"}, "SELECT max(version)::text FROM %s"},
		{"flyway", "flyway_schema_history", []string{"installed_rank", "version", "success"},
			"SELECT version::text FROM %s WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1"},
		{"prisma", "_prisma_migrations", []string{"migration_name", "finished_at", "rolled_back_at"},
			"SELECT migration_name::text FROM %s WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY finished_at DESC, migration_name DESC LIMIT 1"},
		{"alembic", "alembic_version", []string{"version_num"}, "SELECT string_agg(version_num::text, ', ' ORDER BY version_num) FROM %s"},
		{"django", "django_migrations", []string{"id", "app", "name"}, "SELECT app || '.' || name FROM %s ORDER BY id DESC LIMIT 1"},
		{"liquibase", "databasechangelog", []string{"id", "orderexecuted"}, "SELECT id::text FROM %s ORDER BY orderexecuted DESC LIMIT 1"},
		{"sqlx", "_sqlx_migrations", []string{"version", "success"}, "SELECT max(version)::text FROM %s WHERE success"},
		{"knex", "knex_migrations", []string{"id", "name"}, "SELECT name::text FROM %s ORDER BY id DESC LIMIT 1"},
		{"entity framework", "__EFMigrationsHistory", []string{"MigrationId"}, `SELECT max("MigrationId")::text FROM %s`},
	}
}

// readMigration reads which version of the schema this is, from the table of
// the first tool that has one: in the schema public if it is there.
func (a *attempt) readMigration(ctx context.Context) error {
	for _, tool := range migrationTools() {
		for _, s := range a.named(tool) {
			version, err := queryValue(ctx, a.sessions.leader, fmt.Sprintf(tool.sql, s.sql()))
			if err != nil {
				return explain(err, "read the version in "+s.sql())
			}
			if version != "" {
				a.catalogue.Migration = &backup.Migration{Tool: tool.name, Version: version}
				return nil
			}
		}
	}
	return nil
}

// named returns the tables that look like the tool's, those in public first.
func (a *attempt) named(tool migrationTool) []*source {
	var found []*source
	for _, s := range a.sources {
		if s.Name != tool.table || s.table.SchemaOnly || !s.hasColumns(tool.has) {
			continue
		}
		if s.Schema == "public" {
			found = slices.Insert(found, 0, s)
		} else {
			found = append(found, s)
		}
	}
	return found
}

func (s *source) hasColumns(names []string) bool {
	for _, name := range names {
		if !slices.ContainsFunc(s.table.Columns, func(c Column) bool { return c.Name == name }) {
			return false
		}
	}
	return true
}

// readRelease asks the database which release of the code it serves. The
// user's query runs with his own search path, in the snapshot, and cannot
// write.
func (a *attempt) readRelease(ctx context.Context) error {
	if a.src.ReleaseQuery == "" {
		return nil
	}
	var release string
	err := a.lead(ctx, "SAVEPOINT release; SET LOCAL search_path TO DEFAULT; SET LOCAL statement_timeout = "+postgres.Literal("30s"))
	if err == nil {
		release, err = queryValue(ctx, a.sessions.leader, a.src.ReleaseQuery)
	}
	if err != nil {
		err = explain(err, "run the release query")
		if errors.Is(err, envdb.ErrUnreachable) || errors.Is(err, envdb.ErrInterrupted) {
			return err // which is not the query's fault
		}
		return envdb.Fail(envdb.ErrPreflight, "%w", err).
			WithNext("correct release_query in the configuration")
	}
	a.catalogue.Release = release
	return a.lead(ctx, "ROLLBACK TO SAVEPOINT release")
}
