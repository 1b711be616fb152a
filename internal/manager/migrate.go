package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed"
)

// MigrateRequest asks to bring the schema of a live version up or down.
type MigrateRequest struct {
	Environment string
	// To is the version to go to; nil is the newest.
	To *int64
	// Confirm is the environment's name, if it is protected.
	Confirm string
}

// MigrateResult is what a migration did.
type MigrateResult struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	// Backup was taken before, and is pinned; Back is the command that goes
	// back to it.
	Backup  envdb.BackupID `json:"backup"`
	Back    string         `json:"back"`
	From    int64          `json:"from,omitempty"`
	Version int64          `json:"version,omitempty"`
	Applied int            `json:"applied"`
	Tool    string         `json:"tool"`
	Notes   []string       `json:"notes,omitempty"`
	Elapsed time.Duration  `json:"elapsed_ns"`
}

// migrating is a migration that was checked.
type migrating struct {
	MigrateRequest
	env    config.Environment
	target envdb.Writable
}

// Migrate brings the schema of a live version up or down, after a backup that
// is pinned, and checks it afterwards. A failure says which backup that is and
// how to go back to it.
func (m *Manager) Migrate(ctx context.Context, req MigrateRequest) (*MigrateResult, error) {
	started := m.now()
	r, err := m.migratable(ctx, req, req.Confirm)
	if err != nil {
		return nil, err
	}
	before, err := m.schemaOf(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.nothingToDo(before) {
		return &MigrateResult{
			Environment: r.env.Name, From: before.Current, Version: before.Current, Tool: "goose",
			Notes: []string{"the schema is at that version already; no backup was taken"}, Elapsed: m.now().Sub(started),
		}, nil
	}
	taken, err := m.Backup(ctx, BackupRequest{Environment: r.env.Name, Note: "before migrate", Pin: true})
	if err != nil {
		return nil, notFilled(r.env, err)
	}
	result := &MigrateResult{Environment: r.env.Name, Backup: taken.ID, Back: r.back(taken.ID), From: before.Current}
	if stays := r.backStays(); stays != "" {
		result.Notes = append(result.Notes, "the way back "+stays)
	}
	err = m.run(ctx, job{operation: envdb.OpMigrate, environment: r.env.Name, backup: taken.ID}, func(ctx context.Context, x *execution) error {
		result.Run = x.id()
		return m.migrate(ctx, x, r, result)
	})
	result.Elapsed = m.now().Sub(started)
	if err != nil {
		return nil, r.failed(err, taken.ID)
	}
	return result, nil
}

// migratable finds the environment, its migrations and the permission.
func (m *Manager) migratable(ctx context.Context, req MigrateRequest, confirm string) (r migrating, err error) {
	r.MigrateRequest = req
	if r.env, r.target, err = m.sanctioned(ctx, req.Environment, envdb.OpMigrate, confirm); err != nil {
		return r, err
	}
	migrations := r.env.Migrations()
	switch {
	case migrations.Directory == "" && migrations.Command == "":
		return r, envdb.Fail(envdb.ErrMisuse, "the configuration does not say where the migrations of %s are", r.env.Name).
			WithState("nothing was changed").WithNext("write migrations: db/migrations below it")
	case migrations.Command != "" && req.To != nil:
		return r, envdb.Fail(envdb.ErrMisuse, "%s is migrated by a command, which decides by itself how far", r.env.Name).
			WithState("nothing was changed").WithNext("leave out --to, or use the tool itself")
	}
	if _, err := config.ReadScripts(migrations.Checks); err != nil {
		return r, err
	}
	if err := migrationsThere(r.env); err != nil || req.To == nil {
		return r, err
	}
	return r, seed.CheckVersion(os.DirFS(migrations.Directory), migrations.Directory, *req.To)
}

// schemaOf asks how far the live version's schema is. A command's is not known.
func (m *Manager) schemaOf(ctx context.Context, r migrating) (*seed.Schema, error) {
	migrations := r.env.Migrations()
	if migrations.Directory == "" {
		return &seed.Schema{}, nil
	}
	conn, err := postgres.Connect(ctx, r.env.Direct(), postgres.Options{App: "envdb/migrate", Pin: true})
	if err != nil {
		return nil, notFilled(r.env, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "RESET search_path"); err != nil {
		return nil, postgres.Explain(err, "set up the session")
	}
	return seed.ReadSchema(ctx, conn, os.DirFS(migrations.Directory), migrations.Directory)
}

// invalidCatalogName is PostgreSQL's SQLSTATE for a database that is not there.
const invalidCatalogName = "3D000"

// notFilled says of an environment whose database is not there yet what makes
// it. Production's is never made by envdb.
func notFilled(env config.Environment, err error) error {
	if env.Protected() || postgres.SQLState(err) != invalidCatalogName {
		return err
	}
	p := envdb.Fail(envdb.ErrNotFound, "%s has no database yet: %w", env.Name, err).WithState("nothing was changed")
	switch {
	case env.Seed.Declared():
		return p.WithNext("envdb seed %s, which runs the migrations too", env.Name)
	case env.Mirror.From != "":
		return p.WithNext("envdb mirror %s %s", env.Mirror.From, env.Name)
	}
	return p.WithNext("create it, or fill it: envdb mirror SRC %s", env.Name)
}

// migrationsThere fails if the directory of the migrations is not there.
func migrationsThere(env config.Environment) error {
	dir := env.Migrations().Directory
	if dir == "" {
		return nil
	}
	if _, err := os.Stat(dir); err != nil {
		return envdb.Fail(envdb.ErrPreflight, "read the migrations of %s: %w", env.Name, err).
			WithState("nothing was changed").WithNext("correct migrations; paths are relative to the configuration's directory")
	}
	return nil
}

// nothingToDo reports whether the schema is where it should be.
func (r migrating) nothingToDo(now *seed.Schema) bool {
	if r.env.Migrations().Directory == "" {
		return false
	}
	if r.To != nil {
		return *r.To == now.Current
	}
	return len(now.Pending) == 0
}

// migrate runs the migrations in the live version, and the checks.
func (m *Manager) migrate(ctx context.Context, x *execution, r migrating, result *MigrateResult) error {
	_, ctx, closeAll, err := m.openGenerations(ctx, x, r.env)
	if err != nil {
		return err
	}
	defer closeAll()
	if err := m.guardSwap(ctx, x, r.env); err != nil {
		return err
	}
	if err := r.target.Allows(envdb.OpMigrate); err != nil {
		return err
	}
	x.step("migrate")
	done, err := m.applyMigrations(ctx, x, r.env, r.env.Direct(), r.To)
	if err != nil {
		return err
	}
	result.Applied, result.Version, result.Tool = done.Applied, done.Version, done.Tool
	x.step("check")
	conn, err := postgres.Connect(ctx, r.env.Direct(), postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	scripts, err := config.ReadScripts(r.env.Migrations().Checks)
	if err != nil {
		return err
	}
	return m.userChecks(ctx, x, r.env, scripts, conn, `"$user", public`, "run its statements in "+r.env.Name+" to see the rows")
}

// applyMigrations runs the environment's migrations in a database of its server,
// up to a version or the newest. Its sessions have ended when it returns.
func (m *Manager) applyMigrations(ctx context.Context, x *execution, env config.Environment, url envdb.ConnString, to *int64) (*seed.Migrated, error) {
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	done, err := runMigrations(ctx, env, migratingAs(conn, x.app()), to)
	if err != nil {
		return nil, err
	}
	x.facts("migrations", done.Applied, "migration_version", done.Version)
	return done, nil
}

// runMigrations runs the directory or the command.
func runMigrations(ctx context.Context, env config.Environment, cfg *pgx.ConnConfig, to *int64) (*seed.Migrated, error) {
	migrations := env.Migrations()
	if migrations.Command != "" {
		set, err := seed.Read(seed.Spec{Command: migrations.Command, CommandDir: migrations.Dir, CommandTimeout: migrations.Timeout, Environment: env.Name})
		if err != nil {
			return nil, err
		}
		return set.Migrate(ctx, cfg)
	}
	version := int64(seed.Latest)
	if to != nil {
		version = *to
	}
	return seed.MigrateTo(ctx, cfg, os.DirFS(migrations.Directory), migrations.Directory, version)
}

// back is the command that goes back to the backup.
func (r migrating) back(id envdb.BackupID) string {
	command := fmt.Sprintf("envdb restore %s@%s", r.env.Name, id)
	if !r.env.Protected() && r.env.KeepPrevious == 0 {
		command += " --confirm " + r.env.Name
	}
	return command
}

// backStays says that going back does not end with that command where what it
// makes stays dark; else it is empty.
func (r migrating) backStays() string {
	if !r.env.Protected() {
		return ""
	}
	return "builds it beside what is live; then envdb promote " + r.env.Name + " VERSION" + confirming(r.env)
}

// failed says what a failed or interrupted migration left, and how to go back.
func (r migrating) failed(err error, id envdb.BackupID) error {
	next := r.back(id)
	if stays := r.backStays(); stays != "" {
		next += " " + stays
	}
	p := envdb.Fail(kindOf(err), "%w", err)
	if p.Kind == envdb.ErrInterrupted {
		p = envdb.Fail(envdb.ErrInterrupted, "the migration of %s was interrupted", r.env.Name)
	}
	left := "each migration that failed was taken back, unless it says NO TRANSACTION, and those before it stand"
	if r.env.Migrations().Command != "" {
		left = "what the command did before it ended stands"
	}
	return p.WithState("%s is live as the migration left it: %s; backup %s holds it as it was before, and is pinned", r.env.Name, left, id).
		WithNext("to go on: envdb migrate %s --dry-run says what is still to do; to go back: %s", r.env.Name, next)
}

// kindOf returns the kind of a failure that callers branch on, or nil.
func kindOf(err error) error {
	if errors.Is(err, context.Canceled) {
		return envdb.ErrInterrupted
	}
	for _, kind := range []error{
		envdb.ErrInterrupted, envdb.ErrBusy, envdb.ErrUnreachable, envdb.ErrVerification, envdb.ErrRefused, envdb.ErrPreflight, envdb.ErrNotFound,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

// PlanMigrate returns what Migrate would do.
func (m *Manager) PlanMigrate(ctx context.Context, req MigrateRequest) (*Plan, error) {
	r, err := m.migratable(ctx, req, req.Environment)
	if err != nil {
		return nil, err
	}
	now, err := m.schemaOf(ctx, r)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpMigrate, Environment: r.env.Name, Live: r.env.URL.String()}
	migrations := r.env.Migrations()
	switch {
	case r.nothingToDo(now):
		return p.add(fmt.Sprintf("nothing: the schema is at version %d already", now.Current)), nil
	case migrations.Command != "":
		p.add("take a backup and pin it", "run "+migrations.Command)
	default:
		p.add("take a backup and pin it")
		r.describe(p, now)
	}
	for _, check := range migrations.Checks {
		p.add("check " + check)
	}
	return p, nil
}

// describe lists the migrations that would be run.
func (r migrating) describe(p *Plan, now *seed.Schema) {
	if r.To != nil && *r.To < now.Current {
		p.add(fmt.Sprintf("take migrations back from version %d to %d", now.Current, *r.To))
		return
	}
	for _, migration := range now.Pending {
		if r.To == nil || migration.Version <= *r.To {
			p.add(fmt.Sprintf("run %s", migration.Path))
		}
	}
}
