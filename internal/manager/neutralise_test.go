package manager_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// dangerous returns statements that make a database which would act on the
// world.
func dangerous() []string {
	return append(small("prod"),
		"CREATE TABLE people (email text)", "INSERT INTO people VALUES ('real@example.com')",
		"CREATE PUBLICATION p FOR ALL TABLES",
		"CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=1 password=secret' PUBLICATION x WITH (connect = false, slot_name = NONE)",
		"CREATE EXTENSION postgres_fdw", "CREATE SERVER f FOREIGN DATA WRAPPER postgres_fdw",
		"CREATE USER MAPPING FOR PUBLIC SERVER f OPTIONS (password 'secret')",
		"CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''x''; END'",
		"CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION e()",
		"CREATE SCHEMA cron", "CREATE TABLE cron.job (jobid int, active boolean)", "INSERT INTO cron.job VALUES (1, true), (2, false)",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.smtp = %L', current_database(), 'smtp://real'); END $$",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET app.colour = %L', current_database(), 'blue'); END $$",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = %L', current_database(), '9MB'); END $$",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '9min'); END $$",
	)
}

func TestCopyOfProductionIsHarmless(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, dangerous()...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy,
		"keep_settings: [app.colour]", "settings: {statement_timeout: 5min, app.where: here}",
		"mirror: {from: prod, neutralise: [mask.sql, more.sql], checks: [check.sql]}")
	w := newWorld(t, prod, target)
	w.write("mask.sql", "UPDATE people SET email = md5(email) || '@invalid';\n")
	w.write("more.sql", "INSERT INTO people VALUES ('from more.sql');\n")
	w.write("check.sql", "SELECT * FROM people WHERE email LIKE '%example.com';\nSELECT 1 WHERE false;\n")

	r := w.mirror("prod", "prod-copy")
	same(t, "publications, subscriptions, mappings, event triggers, jobs", target.query(t, `
		SELECT (SELECT count(*) FROM pg_publication),
		       (SELECT string_agg(subname || subenabled || (subslotname IS NULL) || (subconninfo LIKE '%secret%'), ' ') FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
		       (SELECT count(*) FROM pg_user_mapping), (SELECT evtenabled FROM pg_event_trigger), (SELECT count(*) FROM cron.job WHERE active)`),
		"0|sfalsetruefalse|0|D|0")
	same(t, "settings", target.query(t, `
		SELECT current_setting('app.smtp', true), current_setting('app.colour', true), current_setting('app.where'), current_setting('work_mem'), current_setting('statement_timeout')`),
		"|blue|here|9MB|5min")
	same(t, "people", target.query(t, "SELECT string_agg(right(email, 8), ',' ORDER BY email DESC) FROM people"), "more.sql,@invalid")
	notes := strings.Join(r.Notes, "\n")
	for _, said := range []string{"publication p", "subscription s", "event trigger et", "pg_cron", "mask.sql", "more.sql"} {
		if !strings.Contains(notes, said) {
			t.Errorf("the notes do not mention %s:\n%s", said, notes)
		}
	}
	if line := w.status("prod-copy"); line.Neutrality != envdb.Neutralised {
		t.Errorf("status: %+v", line)
	}
	_, marker := generation.SplitComment(target.query(t, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"))
	if marker == nil || marker.Neutrality != envdb.Neutralised || marker.Source != "prod" || marker.Backup != string(r.Backup) {
		t.Errorf("marker: %+v", marker)
	}
	// What was taken from the copy is still there at the source.
	same(t, "the source", prod.query(t, `SELECT (SELECT count(*) FROM pg_publication), (SELECT evtenabled FROM pg_event_trigger), (SELECT email FROM people)`), "1|O|real@example.com")
}

func TestNeutralisingFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, dangerous()...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy, "mirror: {from: prod, neutralise: [fine.sql, bad.sql], checks: [check.sql]}")
	w := newWorld(t, prod, target)
	w.write("fine.sql", "SELECT 1;")
	w.write("bad.sql", "SELECT 1;")
	w.write("check.sql", "SELECT 1 WHERE false;")
	w.mirror("prod", "prod-copy")
	before := target.state(t)

	for name, c := range map[string]struct {
		file, text string
		kind       error
		says       []string
	}{
		"an error":           {"bad.sql", "-- a comment\n\nUPDATE people\n  SET emial = 'x';", nil, []string{"bad.sql:4:7", "emial", "correct"}},
		"a syntax error":     {"bad.sql", "SELECT 1;\nSELEKT 2;", nil, []string{"bad.sql:2:1", "SELEKT"}},
		"a command of psql":  {"bad.sql", "\\set x 1\nSELECT 1;", nil, []string{"bad.sql", "psql"}},
		"a transaction":      {"bad.sql", "SELECT 1;\nCOMMIT;", envdb.ErrMisuse, []string{"bad.sql:2:1", "COMMIT"}},
		"a check finds rows": {"check.sql", "SELECT * FROM people;", envdb.ErrVerification, []string{"check.sql", "found 1 row,"}},
		"a check fails":      {"check.sql", "SELECT * FROM nothing;", envdb.ErrVerification, []string{"check.sql", "nothing"}},
		"an empty file":      {"bad.sql", " \n", envdb.ErrPreflight, []string{"bad.sql", "empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.write(c.file, c.text)
			defer w.write(c.file, "SELECT 1 WHERE false;")
			_, err := w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
			if err == nil {
				t.Fatal("the mirror worked")
			}
			if c.kind == nil {
				c.kind = err
			}
			wants(t, err, c.kind, c.says...)
			same(t, "the databases", target.state(t), before)
			if strings.Contains(problem(err), "discard it") {
				t.Errorf("the error says that a database is left: %s", problem(err))
			}
		})
	}
	w.mirror("prod", "prod-copy")
}

// Until the promote nobody but envdb's role and superusers can connect to
// what is built: a role that may log in tries as fast as it can.
func TestNobodyCanConnectWhileItIsBuilt(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, dangerous()...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy, "mirror: {from: prod, neutralise: [slow.sql]}")
	w := newWorld(t, prod, target)
	w.write("slow.sql", "SELECT pg_sleep(0.5); UPDATE people SET email = 'x';")
	w.backup("prod")

	role, password := s.CreateRole(t, "")
	look := s.Connect(t, "postgres")
	ctx, stop := context.WithCancel(t.Context())
	var refused, entered int
	var snoops errgroup.Group
	snoops.Go(func() error {
		for ctx.Err() == nil {
			var dark string
			err := look.QueryRow(t.Context(), "SELECT coalesce(min(datname), '') FROM pg_database WHERE starts_with(datname, $1)", target.base+"__").Scan(&dark)
			if err != nil {
				return err
			}
			if dark == "" {
				continue
			}
			attempt, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			conn, err := pgx.Connect(attempt, s.URLAs(role, password, dark).Reveal())
			cancel()
			if err != nil {
				refused++
				continue
			}
			entered++
			conn.Close(t.Context())
		}
		return nil
	})
	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "prod-copy", Dark: true})
	stop()
	if err := snoops.Wait(); err != nil {
		t.Fatal(err)
	}
	if entered > 0 || refused < 10 {
		t.Errorf("a role without rights entered %d times and was refused %d times", entered, refused)
	}
	list, err := w.Versions(t.Context(), "prod-copy")
	if err != nil || len(list.Versions) != 1 {
		t.Fatal(list, err)
	}
	if _, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod-copy", Version: list.Versions[0].Name}); err != nil {
		t.Fatal(problem(err))
	}
	conn, err := pgx.Connect(t.Context(), s.URLAs(role, password, target.base).Reveal())
	if err != nil {
		t.Fatalf("after the promote: %v", err)
	}
	conn.Close(t.Context())
}
