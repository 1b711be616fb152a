package seed

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
)

// Migrated is what migrations did.
type Migrated struct {
	// Version is the schema's version afterwards; 0 if a command migrated.
	Version int64
	// Applied counts the migrations that were run, up or down.
	Applied int
	// Tool is what migrated: "goose", "command", or "" for nothing.
	Tool string
}

// The tools that migrate.
const (
	toolGoose   = "goose"
	toolCommand = "command"
)

// Latest is the version of the newest migration, for [MigrateTo].
const Latest = math.MaxInt64

// readMigrations hashes the migrations, or what a command reads.
func (s *Set) readMigrations() error {
	for _, f := range s.spec.CommandFiles {
		sum, err := hashOf(f)
		if err != nil {
			return err
		}
		s.migrations = append(s.migrations, namedHash{f.Name, sum})
	}
	if s.spec.Migrations == nil {
		return nil
	}
	files, err := migrationFiles(s.spec.Migrations, s.spec.MigrationsName)
	if err != nil {
		return err
	}
	if err := checkMigrations(s.spec.Migrations, s.spec.MigrationsName, files); err != nil {
		return err
	}
	for _, m := range files {
		sum, err := hashOf(File{FS: s.spec.Migrations, Path: m.Path, Name: path.Join(s.spec.MigrationsName, m.Path)})
		if err != nil {
			return err
		}
		s.migrations = append(s.migrations, namedHash{m.Path, sum})
	}
	return nil
}

// Migration is one file of migrations.
type Migration struct {
	Version int64
	Path    string
}

// migrationFiles lists the migrations of a directory, oldest first.
func migrationFiles(fsys fs.FS, name string) ([]Migration, error) {
	if err := refuseGo(fsys, name); err != nil {
		return nil, err
	}
	paths, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, p := range paths {
		version, err := goose.NumericComponent(p)
		if err != nil {
			return nil, fixture.Position{File: path.Join(name, p)}.Fail("has no version: %w", err).
				WithNext("call it like 00001_%s", p)
		}
		list = append(list, Migration{version, p})
	}
	if len(list) == 0 {
		return nil, envdb.Fail(envdb.ErrPreflight, "%s has no migrations", shown(name)).
			WithNext("migrations are files such as 00001_tables.sql, with -- +goose Up")
	}
	slices.SortStableFunc(list, func(a, b Migration) int { return compare(a.Version, b.Version) })
	for i := range list[1:] {
		if list[i].Version == list[i+1].Version {
			return nil, envdb.Fail(envdb.ErrPreflight, "%s and %s have the same version %d",
				path.Join(name, list[i].Path), path.Join(name, list[i+1].Path), list[i].Version).WithNext("give one of them the next version")
		}
	}
	return list, nil
}

func compare(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func shown(name string) string {
	if name == "" {
		return "the directory of migrations"
	}
	return name
}

// Migrate makes the extensions and then the schema, in the database that the
// configuration names. It connects by itself, with the search path that the
// configuration says or that the database has.
func (s *Set) Migrate(ctx context.Context, cfg *pgx.ConnConfig) (*Migrated, error) {
	if err := s.makeExtensions(ctx, cfg); err != nil {
		return nil, err
	}
	switch {
	case s.spec.Command != "":
		if err := s.runCommand(ctx, cfg); err != nil {
			return nil, err
		}
		return &Migrated{Tool: toolCommand}, nil
	case s.spec.Migrations != nil:
		return migrate(ctx, cfg, s.spec.Migrations, s.spec.MigrationsName, Latest)
	}
	return &Migrated{}, nil
}

// makeExtensions creates what the migrations expect to be there.
func (s *Set) makeExtensions(ctx context.Context, cfg *pgx.ConnConfig) error {
	if len(s.spec.Extensions) == 0 {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect for the extensions: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range s.spec.Extensions {
		if _, err := conn.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS "+quote(name)+" CASCADE"); err != nil {
			return envdb.Fail(envdb.ErrPreflight, "create the extension %s: %w", name, err).
				WithNext("install the extension's package on the server, or take it out of seed.extensions")
		}
	}
	return nil
}

// MigrateTo brings a database to a version of the migrations in fsys: up, or
// down by their Down parts. [Latest] is the newest; 0 takes all of them back.
// Name is the directory's name for people.
func MigrateTo(ctx context.Context, cfg *pgx.ConnConfig, fsys fs.FS, name string, version int64) (*Migrated, error) {
	if err := CheckVersion(fsys, name, version); err != nil {
		return nil, err
	}
	return migrate(ctx, cfg, fsys, name, version)
}

// CheckVersion fails with ErrNotFound if a database cannot be brought to a
// version, because the directory has no migration of that number.
func CheckVersion(fsys fs.FS, name string, version int64) error {
	files, err := migrationFiles(fsys, name)
	if err != nil || version == Latest || version == 0 {
		return err
	}
	var versions []string
	for _, m := range files {
		if m.Version == version {
			return nil
		}
		versions = append(versions, fmt.Sprint(m.Version))
	}
	return envdb.Fail(envdb.ErrNotFound, "%s has no migration %d", shown(name), version).
		WithState("nothing was changed").WithNext("there are %s", strings.Join(versions, ", "))
}

func migrate(ctx context.Context, cfg *pgx.ConnConfig, fsys fs.FS, name string, version int64) (*Migrated, error) {
	failing := new(statementTracer)
	traced := cfg.Copy()
	traced.Tracer = failing
	db := stdlib.OpenDB(*traced)
	defer db.Close() // its connections are idle by now
	provider, err := newProvider(db, fsys)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "%s: %w", shown(name), err)
	}
	before, err := provider.GetDBVersion(ctx)
	if err != nil {
		return nil, envdb.Fail(nil, "read the schema's version: %w", err)
	}
	var results []*goose.MigrationResult
	if version < before {
		results, err = provider.DownTo(ctx, version)
	} else if version > 0 {
		results, err = provider.UpTo(ctx, version)
	}
	if err != nil {
		return nil, migrationFault(err, fsys, name, failing.sql)
	}
	after, err := provider.GetDBVersion(ctx)
	if err != nil {
		return nil, envdb.Fail(nil, "read the schema's version: %w", err)
	}
	return &Migrated{Version: after, Applied: len(results), Tool: toolGoose}, nil
}

func newProvider(db *sql.DB, fsys fs.FS, options ...goose.ProviderOption) (*goose.Provider, error) {
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	return goose.NewProvider(goose.DialectPostgres, db, fsys, options...)
}

// statementTracer remembers the statement that failed, which goose does not
// tell.
type statementTracer struct{ now, sql string }

// TraceQueryStart implements pgx.QueryTracer.
func (t *statementTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t.now = data.SQL
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t *statementTracer) TraceQueryEnd(_ context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if data.Err != nil && t.sql == "" {
		t.sql = t.now
	}
}

// migrationFault names the file, and the line where the statement stands.
func migrationFault(err error, fsys fs.FS, name, sql string) error {
	partial := new(goose.PartialError)
	if !errors.As(err, &partial) {
		return envdb.Fail(nil, "%s: %w", shown(name), err)
	}
	at := fixture.Position{File: path.Join(name, partial.Failed.Source.Path)}
	if text, unreadable := (File{FS: fsys, Path: partial.Failed.Source.Path, Name: at.File}).Text(); unreadable == nil {
		at.Line = statementLine(text, sql, err)
	}
	p := at.Fail("the migration failed (%s): %w", partial.Failed.Direction, partial.Err)
	p.Kind = nil
	if errors.Is(err, context.Canceled) {
		p.Kind = envdb.ErrInterrupted
	}
	p.State = fmt.Sprintf("%d migrations before it were applied", len(partial.Applied))
	if len(partial.Applied) == 1 {
		p.State = "one migration before it was applied"
	}
	return p.WithNext("correct the migration")
}

// statementLine is the line of the text at which a statement failed: where the
// server pointed at, or else where the statement begins; 0 if it is not there.
func statementLine(text, sql string, err error) int {
	begin := strings.Index(text, sql)
	if sql == "" || begin < 0 {
		return 0
	}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Position > 0 {
		before := []rune(sql)
		before = before[:min(len(before), int(pgErr.Position)-1)]
		begin += len(string(before))
	}
	return 1 + strings.Count(text[:begin], "\n")
}

// Schema is how far a database's schema is.
type Schema struct {
	Current int64
	// Applied are the versions that the database has, in their order.
	Applied []int64
	Pending []Migration
}

// ReadSchema tells a database's version and which migrations of fsys it does
// not have. It changes nothing. A migration that goose could not read is
// ErrPreflight.
func ReadSchema(ctx context.Context, conn *pgx.Conn, fsys fs.FS, name string) (*Schema, error) {
	files, err := migrationFiles(fsys, name)
	if err != nil {
		return nil, err
	}
	applied, err := appliedVersions(ctx, conn)
	if err != nil {
		return nil, envdb.Fail(nil, "read the schema's version: %w", err)
	}
	s := new(Schema)
	for v := range applied {
		s.Current = max(s.Current, v)
		if v > 0 {
			s.Applied = append(s.Applied, v)
		}
	}
	slices.Sort(s.Applied)
	for _, m := range files {
		if !applied[m.Version] {
			s.Pending = append(s.Pending, m)
		}
	}
	if err := checkMigrations(fsys, name, s.Pending); err != nil {
		return nil, err
	}
	return s, nil
}

// appliedVersions reads goose's table: of several rows of a version the last
// one counts.
func appliedVersions(ctx context.Context, conn *pgx.Conn) (map[int64]bool, error) {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", goose.DefaultTablename).Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := conn.Query(ctx, "SELECT version_id FROM (SELECT DISTINCT ON (version_id) version_id, is_applied FROM "+
		goose.DefaultTablename+" ORDER BY version_id, id DESC) AS v WHERE is_applied")
	if err != nil {
		return nil, err
	}
	versions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	applied := map[int64]bool{}
	for _, v := range versions {
		applied[v] = true
	}
	return applied, err
}
