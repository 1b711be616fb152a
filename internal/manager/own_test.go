package manager_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// outward returns statements that make a database which points at third
// parties.
func outward() []string {
	return append(small("prod"),
		"CREATE EXTENSION postgres_fdw",
		"CREATE SERVER legacy FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'legacy.example.com', dbname 'live', fetch_size '7')",
		"CREATE FOREIGN DATA WRAPPER plain", `CREATE SERVER "Other One" FOREIGN DATA WRAPPER plain OPTIONS (host 'other.example.com', password 'live')`,
		"CREATE USER MAPPING FOR CURRENT_USER SERVER legacy OPTIONS (user 'live', password 'live')",
		"CREATE FOREIGN TABLE remote (id int) SERVER legacy",
		"CREATE TABLE settings (key text PRIMARY KEY, value text, more jsonb)",
		`INSERT INTO settings VALUES ('payments_url', 'https://API.stripe.com/live', '{}'), ('colour', 'blue', '{"a": 1}')`,
		"CREATE MATERIALIZED VIEW urls AS SELECT value FROM settings WHERE value LIKE 'https:%'")
}

// What points at third parties points somewhere else before anyone can connect,
// and before a materialised view has read it.
func TestRemap(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, outward()...)
	remap := func(lines ...string) []string {
		return append([]string{"mirror:", "  from: prod", "  neutralise: [n.sql]", "  remap:"}, lines...)
	}
	good := remap(`    servers: {legacy: {host: sandbox.example.com, port: "6543", user_mapping: {user: tester, password: 'file:secret'}}, '"Other One"': {host: 'file:host', password: 'file:host'}}`,
		`    rows:`,
		`      - {table: settings, set: {value: "'https://sandbox.' || 'example.com'", more: file:secret}, where: "key = 'payments_url'"}`,
		`      - {table: settings, set: {value: "value"}, where: "key = 'none'", at_least: 0}`,
		`    must_not_contain: [api.stripe.com/live, legacy.example.com]`)
	qa := on(t, s, "qa", envdb.QA, good...)
	w := newWorld(t, prod, qa)
	w.write("n.sql", "UPDATE settings SET value = value || '/neutralised'")
	w.write("host", "sandbox.example.org")
	w.write("secret", `{"token": "hunter2"}`)
	r := w.mirror("prod", "qa")
	same(t, "servers", qa.query(t, "SELECT srvname, string_agg(o, ' ' ORDER BY o) FROM pg_foreign_server, unnest(srvoptions) AS o GROUP BY 1 ORDER BY 1"),
		"Other One|host=sandbox.example.org password=sandbox.example.org\nlegacy|dbname=live fetch_size=7 host=sandbox.example.com port=6543")
	same(t, "mappings", qa.query(t, "SELECT usename, srvname, umoptions[1], umoptions[2] LIKE '%hunter2%' FROM pg_user_mappings"), "public|legacy|user=tester|t")
	same(t, "settings", qa.query(t, "SELECT key, value, more FROM settings ORDER BY 1"), `colour|blue/neutralised|{"a": 1}`+"\n"+`payments_url|https://sandbox.example.com|{"token": "hunter2"}`)
	same(t, "the view", qa.query(t, "SELECT value FROM urls"), "https://sandbox.example.com")
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "server legacy was remapped: host, port, user, password") || !strings.Contains(notes, "public.settings was remapped: 1 row") || strings.Contains(notes, "hunter2") {
		t.Errorf("notes: %s", notes)
	}
	before := qa.state(t)

	for name, c := range map[string]struct {
		lines []string
		kind  error
		says  []string
	}{
		"no such server":  {remap("    servers: {legcy: {host: x}}"), envdb.ErrPreflight, []string{"the backup has no foreign server legcy"}},
		"no such option":  {remap("    servers: {legacy: {hostname: x}}"), envdb.ErrPreflight, []string{"remap server legacy", "hostname", "mirror.remap.servers"}},
		"no such table":   {remap("    rows: [{table: setings, set: {value: '1'}}]"), envdb.ErrPreflight, []string{"environments.qa.mirror.remap.rows[0]", "no table setings"}},
		"no such column":  {remap("    rows: [{table: settings, set: {valu: file:secret}}]"), envdb.ErrPreflight, []string{"envdb.yaml:", "environments.qa.mirror.remap.rows[0]", `column "valu"`}},
		"no row":          {remap(`    rows: [{table: settings, set: {value: "'x'"}}, {table: settings, set: {value: "'x'"}, where: "key = 'pay'"}]`), envdb.ErrVerification, []string{"rows[1]", "hit 0 rows", "at_least: 0"}},
		"too few":         {remap(`    rows: [{table: settings, set: {value: "'x'"}, at_least: 9}]`), envdb.ErrVerification, []string{"hit 2 rows, and must hit 9"}},
		"a secret":        {remap("    rows: [{table: t, set: {id: file:secret}}]"), envdb.ErrPreflight, []string{"rows[0]", "the server refused the update of public.t (SQLSTATE 22P02)"}},
		"text left":       {remap(`    rows: [{table: settings, set: {more: "'{}'"}}]`, "    must_not_contain: [stripe.com/LIVE]"), envdb.ErrVerification, []string{"column value of public.settings still holds", "in 1 row"}},
		"text in options": {remap("    must_not_contain: [OTHER.example]"), envdb.ErrVerification, []string{"server Other One still holds"}},
	} {
		t.Run(name, func(t *testing.T) {
			other := newWorldOf(t, w, prod, withLines(qa, c.lines...))
			other.write("n.sql", "SELECT 1")
			other.write("secret", "hunter2")
			_, err := other.Mirror(t.Context(), mirrorRequest("prod", "qa"))
			wants(t, err, c.kind, c.says...)
			same(t, "the target", qa.state(t), before)
			if strings.Contains(problem(err)+other.log.String(), "hunter2") {
				t.Errorf("a secret is shown: %s", problem(err))
			}
		})
	}
}

// granted returns statements that make a database with grants to a role, and
// to everyone.
func granted(role string) []string {
	return append(small("prod"),
		"CREATE SCHEMA app", "CREATE TABLE app.orders (id serial PRIMARY KEY, v text)", "CREATE TABLE app.log (id int, secret text)",
		"CREATE VIEW app.seen AS SELECT * FROM app.orders", "CREATE MATERIALIZED VIEW app.cached AS SELECT 1 AS one",
		"CREATE TABLE parts (id int) PARTITION BY RANGE (id)", "CREATE TABLE parts_0 PARTITION OF parts DEFAULT",
		"GRANT ALL ON SCHEMA public, app TO "+role, "GRANT ALL ON ALL TABLES IN SCHEMA public, app TO "+role, "GRANT UPDATE (secret) ON app.log TO "+role,
		"GRANT ALL ON ALL SEQUENCES IN SCHEMA public, app TO "+role, "GRANT INSERT, SELECT ON t TO PUBLIC", "GRANT CREATE ON SCHEMA public TO PUBLIC",
		"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO "+role, "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO "+role, "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC")
}

// may returns what a role can do, of a list of statements.
func may(t *testing.T, s *pgtest.Server, p place, role, password string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URLAs(role, password, p.base).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var can []string
	for _, c := range []struct{ name, sql string }{
		{"read", "SELECT (SELECT count(*) FROM app.orders), (SELECT count(*) FROM parts), (SELECT count(*) FROM app.seen), (SELECT count(*) FROM app.cached)"},
		{"write", "INSERT INTO app.orders (v) VALUES ('x')"},
		{"insert", "INSERT INTO app.orders (v) VALUES ('x'); INSERT INTO parts VALUES (1)"},
		{"insert for everyone", "INSERT INTO t VALUES (99, 'x')"},
		{"update", "UPDATE app.orders SET v = 'y'"},
		{"update a column", "UPDATE app.log SET secret = 'y'"},
		{"delete", "DELETE FROM app.orders"},
		{"truncate", "TRUNCATE app.log"},
		{"create", "CREATE TABLE app.mine (id int)"},
		{"create in public", "CREATE TABLE public.mine (id int)"},
	} {
		if c.name == "insert" { // by now the default has been looked at
			if _, err := conn.Exec(t.Context(), "SET default_transaction_read_only = off"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := conn.PgConn().Exec(t.Context(), "BEGIN; "+c.sql).ReadAll(); err == nil {
			can = append(can, c.name)
		}
		if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(can, ", ")
}

// The application's role may do what the configuration says, whatever grants
// were copied, on what is there and on what is made later; with a mirror as
// with a restore.
func TestAccess(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "")
	prod := on(t, s, "prod", envdb.Production).have(t, granted(role)...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	const all = "read, write, insert, insert for everyone, update, update a column, delete, truncate, create, create in public"
	same(t, "as copied", may(t, s, qa, role, password), all)

	for _, c := range []struct{ mode, can, later string }{
		{"read", "read", "t|f|f"},
		{"append", "read, write, insert, insert for everyone", "t|t|f"},
		{"read-write", all, "t|t|t"},
		{"read", "read", "t|f|f"},
	} {
		other := newWorldOf(t, w, prod, withLines(qa, "access: {role: "+role+", mode: "+c.mode+"}"))
		other.mirror("prod", "qa")
		same(t, c.mode, may(t, s, qa, role, password), c.can)
		qa.exec(t, "DROP TABLE IF EXISTS app.later", "CREATE TABLE app.later (id int)")
		same(t, c.mode+" of what is made later", qa.query(t, "SELECT has_table_privilege('"+role+"', 'app.later', 'SELECT'), has_table_privilege('"+role+"', 'app.later', 'INSERT'), has_table_privilege('"+role+"', 'app.later', 'DELETE')"), c.later)
	}

	// What the configuration does not say any more is over with the next swap: a
	// baseline of other rights is not used.
	later := newWorldOf(t, w, prod, qa)
	same(t, "status", strings.Join(later.status("qa").Notes, "; "), "baseline "+later.of("qa", envdb.Baseline)+" was made with access read for role "+role+"; the configuration says nothing of it")
	if r := later.reset("qa", manager.ByBackup); !strings.Contains(r.Why, "was made with access read") {
		t.Errorf("why: %q", r.Why)
	}
	same(t, "without access", may(t, s, qa, role, password), all)
	same(t, "its settings", qa.query(t, "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()"), "0")
	later.reset("qa", manager.ByBaseline)

	other := newWorldOf(t, w, prod, withLines(qa, "access: {role: "+role+", mode: append}"))
	taken := other.backup("qa")
	if _, err := other.Restore(t.Context(), manager.RestoreRequest{Environment: "qa", Point: envdb.AtBackup(taken.ID)}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "restored", may(t, s, qa, role, password), "read, write, insert, insert for everyone")
}

// A role that no grant can limit is refused before anything is made, and one
// that has more by another way before the swap.
func TestAccessRefuses(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, _ := s.CreateRole(t, "")
	owner, _ := s.CreateRole(t, "")
	writers, _ := s.CreateRole(t, "")
	super, _ := s.CreateRole(t, "SUPERUSER")
	prod := on(t, s, "prod", envdb.Production).have(t, append(granted(role), "ALTER TABLE app.log OWNER TO "+owner, "GRANT INSERT ON app.orders TO "+writers)...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	before := qa.state(t)
	for name, c := range map[string]struct {
		access  string
		prepare string
		undo    string
		kind    error
		says    []string
	}{
		"no such role":  {"{role: nobody_at_all, mode: read}", "", "", envdb.ErrPreflight, []string{"access: the server has no role nobody_at_all", "CREATE ROLE"}},
		"a superuser":   {"{role: " + super + ", mode: append}", "", "", envdb.ErrPreflight, []string{"is a superuser, whom no grant limits", "a role of its own"}},
		"envdb's own":   {"read", "", "", envdb.ErrPreflight, []string{"a superuser"}},
		"an owner":      {"{role: " + owner + ", mode: read}", "", "", envdb.ErrPreflight, []string{"role " + owner + " owns tables"}},
		"of an owner":   {"{role: " + role + ", mode: read}", "GRANT " + owner + " TO " + role, "REVOKE " + owner + " FROM " + role, envdb.ErrPreflight, []string{"has the rights of " + owner, "REVOKE"}},
		"another way":   {"{role: " + role + ", mode: read}", "GRANT " + writers + " TO " + role, "REVOKE " + writers + " FROM " + role, envdb.ErrVerification, []string{"access: read: role " + role + " still has INSERT on app.orders", "member of another role"}},
		"writes anyway": {"{role: " + role + ", mode: append}", "GRANT pg_write_all_data TO " + role, "REVOKE pg_write_all_data FROM " + role, envdb.ErrPreflight, []string{"has the rights of pg_write_all_data"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.prepare != "" {
				s.Exec(t, "postgres", c.prepare)
				defer s.Exec(t, "postgres", c.undo)
			}
			other := newWorldOf(t, w, prod, withLines(qa, "access: "+c.access))
			_, err := other.Mirror(t.Context(), mirrorRequest("prod", "qa"))
			wants(t, err, c.kind, c.says...)
			same(t, "the target", qa.state(t), before)
		})
	}
}

// A mirror does not undo the migrations that an environment is ahead by.
func TestMirrorMigrates(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, _ := s.CreateRole(t, "")
	prod := on(t, s, "prod", envdb.Production).have(t, granted(role)...)
	staging := on(t, s, "staging", envdb.Staging, "access: {role: "+role+", mode: append}", "mirror: {from: prod, migrate: true, checks: [c.sql]}", "seed: {migrations: db}")
	w := newWorld(t, prod, staging)
	w.write("c.sql", "SELECT 1 WHERE to_regclass('app.ahead') IS NULL")

	w.file("db/00001_ahead.sql", "-- +goose Up\nCREATE TABLE app.ahead AS SELECT i FROM generate_series(1, 3000) AS i;\nALTER TABLE public.t ADD COLUMN later int DEFAULT 7;\nUPDATE public.many SET v = 'migrated';\n")

	r := w.mirror("prod", "staging")
	same(t, "rows", staging.query(t, "SELECT (SELECT later FROM t), (SELECT count(*) FROM app.ahead)"), "7|3000")
	same(t, "statistics", staging.query(t, "SELECT (SELECT reltuples FROM pg_class WHERE relname = 'ahead'), (SELECT n_distinct FROM pg_stats WHERE tablename = 'many' AND attname = 'v')"), "3000|1")
	same(t, "access to what it made", staging.query(t, "SELECT has_table_privilege('"+role+"', 'app.ahead', 'INSERT')"), "t")
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "migrated to version 1 with goose (1 applied)") {
		t.Errorf("notes: %s", notes)
	}
	before := staging.state(t)
	w.file("db/00002_wrong.sql", "-- +goose Up\nCREATE TABLE app.more ();\nSELECT 1 / 0;\n")
	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "staging"))
	if err == nil || !strings.Contains(problem(err), "division by zero") || !strings.Contains(problem(err), "staging is as it was") {
		t.Errorf("got %s", problem(err))
	}
	same(t, "the target", staging.state(t), before)
}

// A dry run says what is the environment's own.
func TestPlanOfWhatIsOwn(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, _ := s.CreateRole(t, "")
	prod := on(t, s, "prod", envdb.Production).have(t, append(flagged("prod"), "CREATE TABLE settings (v int)", "CREATE FOREIGN DATA WRAPPER plain", "CREATE SERVER legacy FOREIGN DATA WRAPPER plain")...)
	qa := on(t, s, "qa", envdb.QA, "access: {role: "+role+", mode: read}", "seed: {migrations: db}", "mirror:", "  from: prod", "  migrate: true",
		`  preserve: [feature_flags, {table: api.clients, where: "kind = 'internal'"}]`, "  remap: {servers: {legacy: {host: x}}, rows: [{table: settings, set: {v: '1'}}]}")
	w := newWorld(t, prod, qa)
	w.backup("prod")
	_, err := w.PlanMirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrPreflight, "read the migrations of qa", "nothing was changed")
	w.file("db/00001_ahead.sql", "-- +goose Up\nSELECT 1;\n")
	p, err := w.PlanMirror(t.Context(), mirrorRequest("prod", "qa"))
	if err != nil {
		t.Fatal(problem(err))
	}
	steps := strings.Join(p.Steps, "\n")
	at := 0
	for _, step := range []string{
		"load the schema", "preserve the rows of feature_flags, as", "preserve the rows of api.clients where kind = 'internal'", "neutralise:", "remap the foreign server legacy", "remap rows of settings",
		"check every object", "run the migrations of qa", "grant role " + role + " read access", "promote",
	} {
		i := strings.Index(steps[at:], step)
		if i < 0 {
			t.Fatalf("the plan lacks %q, or has it earlier:\n%s", step, steps)
		}
		at += i
	}
}
