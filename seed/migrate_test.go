package seed_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed"
)

var threeMigrations = map[string]string{
	"00001_first.sql": "-- +goose Up\nCREATE TABLE first (id int);\n-- +goose Down\nDROP TABLE first;\n",
	"00002_second.sql": "-- +goose Up\n-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;\n-- +goose StatementEnd\n" +
		"CREATE TABLE second (id int DEFAULT f());\n-- +goose Down\nDROP TABLE second;\nDROP FUNCTION f;\n",
	"00003_third.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON second (id);\n-- +goose Down\nDROP INDEX i;\n",
	"README.md":       "no migration",
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	fsys := files(threeMigrations)
	set, err := seed.Read(seed.Spec{Migrations: fsys, MigrationsName: "db/migrations", Extensions: []string{"pg_trgm", "pg_trgm"}})
	if err != nil {
		fatal(t, err)
	}
	for _, want := range []seed.Migrated{{Version: 3, Applied: 3, Tool: "goose"}, {Version: 3, Tool: "goose"}} {
		got, err := set.Migrate(t.Context(), d.cfg)
		if err != nil {
			fatal(t, err)
		}
		if *got != want {
			t.Errorf("migrated %+v, want %+v", *got, want)
		}
	}
	d.want(t, "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'", "1")
	d.want(t, "INSERT INTO second DEFAULT VALUES RETURNING id", "1")
}

func TestMigrateTo(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	fsys := files(threeMigrations)
	schema := func() string {
		s, err := seed.ReadSchema(t.Context(), d.connect(t), fsys, "db")
		if err != nil {
			fatal(t, err)
		}
		var pending []string
		for _, m := range s.Pending {
			pending = append(pending, m.Path)
		}
		return strings.Join(pending, " ")
	}
	if got := schema(); got != "00001_first.sql 00002_second.sql 00003_third.sql" {
		t.Errorf("pending: %s", got)
	}
	d.want(t, "SELECT to_regclass('goose_db_version') IS NULL", "t")
	for _, step := range []struct {
		to      int64
		applied int
		pending string
	}{{2, 2, "00003_third.sql"}, {seed.Latest, 1, ""}, {1, 2, "00002_second.sql 00003_third.sql"}, {0, 1, "00001_first.sql 00002_second.sql 00003_third.sql"}} {
		got, err := seed.MigrateTo(t.Context(), d.cfg, fsys, "db", step.to)
		if err != nil {
			fatal(t, err)
		}
		if got.Applied != step.applied || schema() != step.pending {
			t.Errorf("to %d: applied %d, pending %s", step.to, got.Applied, schema())
		}
	}
	_, err := seed.MigrateTo(t.Context(), d.cfg, fsys, "db", 7)
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrNotFound) || next != "there are 1, 2, 3" {
		t.Errorf("to an unknown version: %v, next %s", err, next)
	}
}

func TestMigrationThatFails(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	texts := map[string]string{"00002_second.sql": "-- +goose Up\nCREATE TABLE x (id int);\n\nCREATE TABLE y (\n  id int,\n  other no_such_type\n);\nCREATE TABLE z (id int);\n"}
	texts["00001_first.sql"] = threeMigrations["00001_first.sql"]
	set, err := seed.Read(seed.Spec{Migrations: files(texts), MigrationsName: "db"})
	if err != nil {
		fatal(t, err)
	}
	_, err = set.Migrate(t.Context(), d.cfg)
	if err == nil || !strings.HasPrefix(err.Error(), "db/00002_second.sql:6: the migration failed (up): ") || !strings.Contains(err.Error(), "no_such_type") {
		t.Errorf("error: %v", err)
	}
	if state, _ := envdb.Advice(err); state != "one migration before it was applied" {
		t.Errorf("state: %s", state)
	}
	d.want(t, "SELECT to_regclass('first') IS NOT NULL, to_regclass('x') IS NULL", "t|t")
}

func TestMigrationsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		texts map[string]string
		want  string
	}{
		"empty":                   {map[string]string{"README": ""}, "db has no migrations"},
		"no name":                 {map[string]string{"first.sql": ""}, "db/first.sql: has no version"},
		"twice":                   {map[string]string{"1_a.sql": "", "01_b.sql": ""}, "have the same version 1"},
		"without annotations":     {map[string]string{"1_a.sql": "-- +goose Up\nSELECT 1;\n", "2_b.sql": "CREATE TABLE a (id int);\n"}, "db/2_b.sql: has no annotation"},
		"an unfinished statement": {map[string]string{"1_a.sql": "-- +goose Up\n\n-- +goose StatementBegin\nSELECT 1;\n-- +goose Down\nSELECT 2;\n"}, "db/1_a.sql:3: the `-- +goose StatementBegin` here"},
		"no semicolon":            {map[string]string{"1_a.sql": "-- +goose Up\nSELECT 1\n"}, "db/1_a.sql: goose cannot read it: "},
		"a wrong way down":        {map[string]string{"1_a.sql": "-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2\n"}, "db/1_a.sql: goose cannot read it: "},
		"an unknown annotation":   {map[string]string{"1_a.sql": "-- +goose Up\n-- +goose Sideways\nSELECT 1;\n"}, "db/1_a.sql: goose cannot read it: "},
		"Go":                      {map[string]string{"1_a.sql": "-- +goose Up\nSELECT 1;\n", "2_b.go": "package db", "help.go": "", "3_c_test.go": ""}, "db/2_b.go: is a migration in Go"},
	} {
		_, err := seed.Read(seed.Spec{Migrations: files(c.texts), MigrationsName: "db"})
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, envdb.ErrPreflight) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if state, next := envdb.Advice(err); state != "nothing was changed" || next == "" {
			t.Errorf("%s: state %q, next %q", name, state, next)
		}
	}
}

func TestMigrationCommand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	run := func(ctx context.Context, command string, timeout time.Duration) (*seed.Migrated, error) {
		set, err := seed.Read(seed.Spec{Command: command, CommandDir: t.TempDir(), CommandTimeout: timeout})
		if err != nil {
			fatal(t, err)
		}
		if set.Complete() {
			t.Error("the digest claims to cover what a command reads")
		}
		return set.Migrate(ctx, d.cfg)
	}
	const tables = `psql -Xqc 'CREATE TABLE by_variables (id int)' && psql -Xqc 'CREATE TABLE by_url (id int)' "$DATABASE_URL"`
	if got, err := run(t.Context(), tables, time.Minute); err != nil || got.Tool != "command" {
		t.Errorf("%+v, %v", got, err)
	}
	d.want(t, "SELECT count(*) FROM pg_class WHERE relname LIKE 'by_%'", "2")

	_, err := run(t.Context(), "for i in $(seq 2000); do echo line $i; done; echo 'no such column' >&2; exit 3", 0)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "line 2000\n    no such column") ||
		strings.Contains(err.Error(), "line 17\n") {
		t.Errorf("error: %v", err)
	}
}

// TestMigrationCommandThatHangs has a command whose child would outlive it.
func TestMigrationCommandThatHangs(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	dir := t.TempDir()
	command := "echo begun; (trap '' TERM; echo $$ > pid; exec sleep 600) & wait"
	set, err := seed.Read(seed.Spec{Command: command, CommandDir: dir, CommandTimeout: 300 * time.Millisecond})
	if err != nil {
		fatal(t, err)
	}
	_, err = set.Migrate(t.Context(), d.cfg)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "took longer than 300ms") || !strings.Contains(err.Error(), "begun") {
		t.Errorf("error: %v", err)
	}
	if _, next := envdb.Advice(err); !strings.Contains(next, "migrations.timeout") {
		t.Errorf("next: %s", next)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
		t.Errorf("the command's child lives: %s", state)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := set.Migrate(ctx, d.cfg); !errors.Is(err, envdb.ErrInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}
