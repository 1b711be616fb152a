package logical_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// dangerous is a database that acts on the world, with a stand-in for the table
// of pg_cron, whose extension can be created in one database of a cluster only.
const dangerous = `
CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE);
INSERT INTO users SELECT i, i || '@example.com' FROM generate_series(1, 50) i;
CREATE FUNCTION alarm() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''a mail was sent''; END';
CREATE TRIGGER alarm BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION alarm();
CREATE MATERIALIZED VIEW domains AS SELECT DISTINCT split_part(email, '@', 2) AS domain FROM users;
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint PRIMARY KEY, command text, active boolean NOT NULL DEFAULT true);
INSERT INTO cron.job VALUES (1, 'SELECT charge_cards()', true), (2, 'SELECT 1', false);
CREATE EXTENSION postgres_fdw;
CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
CREATE USER MAPPING FOR PUBLIC SERVER other OPTIONS (user 'u', password 'hunter2');
CREATE FOREIGN TABLE remote (id int) SERVER other;
CREATE VIEW through AS SELECT * FROM remote;
CREATE MATERIALIZED VIEW cached AS SELECT * FROM through WITH NO DATA;
CREATE MATERIALIZED VIEW recached AS SELECT * FROM cached WITH NO DATA;
CREATE PUBLICATION everything FOR ALL TABLES;
COMMENT ON PUBLICATION everything IS 'all';
CREATE SUBSCRIPTION feed CONNECTION 'host=production.example password=hunter2 dbname=it''s' PUBLICATION p WITH (connect = false);
COMMENT ON SUBSCRIPTION feed IS 'from production';
CREATE TABLE seen (what text);
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (tg_tag); END';
CREATE EVENT TRIGGER seen ON ddl_command_end EXECUTE FUNCTION on_ddl();
COMMENT ON EVENT TRIGGER seen IS 'sees';`

func TestNeutralise(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, dangerous))
	for i := range cat.MaterializedViews {
		cat.MaterializedViews[i].Populated = true // they were when production could reach the server
	}
	cat.Objects = slices.DeleteFunc(cat.Objects, func(o logical.Object) bool { return o.Class == "materialized view" })
	neutralise := &logical.Neutralisation{SQLFiles: []logical.SQLFile{
		{Name: "mask.sql", SQL: "UPDATE users SET email = id || '@invalid';\nDELETE FROM users WHERE id > 40"},
		{Name: "two.sql", SQL: "-- nothing\nINSERT INTO users VALUES (1000, 'tester@invalid')"},
	}}
	database, loaded := loadInto(t, target, m, cat, logical.Loading{Neutralise: neutralise})
	for query, want := range map[string]string{
		"SELECT count(*), count(*) FILTER (WHERE email LIKE '%@invalid') FROM users": "41|41",
		"SELECT string_agg(domain, ',') FROM domains":                                "invalid",
		"SELECT count(*) FROM cron.job WHERE active":                                 "0",
		"SELECT count(*) FROM pg_publication":                                        "0",
		"SELECT count(*) FROM pg_user_mappings":                                      "0",
		"SELECT subenabled, subslotname IS NULL, subconninfo LIKE '%hunter2%' FROM pg_subscription, pg_database d WHERE d.oid = subdbid AND datname = current_database()": "f|t|f",
		"SELECT evtenabled FROM pg_event_trigger":                                "D",
		"SELECT string_agg(matviewname, ',') FROM pg_matviews WHERE ispopulated": "domains",
	} {
		if got := target.QueryText(t, database, query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	facts := strings.Join(loaded.Neutralised, "\n")
	for _, want := range []string{"publication everything", "user mapping public", "subscription feed", "event trigger seen", "1 jobs of pg_cron", "mask.sql", "two.sql", "cached", "recached"} {
		if !strings.Contains(facts, want) {
			t.Errorf("the facts do not mention %q:\n%s", want, facts)
		}
	}
	x := logical.Expect{Loaded: loaded, Neutralised: true}
	if _, err := checkCopy(t, target, database, cat, x); err != nil && !strings.Contains(err.Error(), "extra materialized view") {
		t.Error(err)
	}

	target.Exec(t, database, "UPDATE cron.job SET active = true WHERE jobid = 2", "ALTER EVENT TRIGGER seen ENABLE")
	_, err := checkCopy(t, target, database, cat, x)
	for _, want := range []string{"extra active job of pg_cron 2", "extra enabled event trigger seen"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("check says %v, want %q", err, want)
		}
	}
}

// TestRawKeepsWhatActs holds a raw copy against its source: an event trigger
// sees nothing of the load, and a subscription is there and disabled.
func TestRawKeepsWhatActs(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, dangerous))
	database, loaded := loadInto(t, target, m, cat, logical.Loading{})
	if len(loaded.Neutralised) > 0 {
		t.Errorf("neutralised %q", loaded.Neutralised)
	}
	if got := target.QueryText(t, database, "SELECT subenabled, subslotname, (SELECT count(*) FROM seen) FROM pg_subscription, pg_database d WHERE d.oid = subdbid AND datname = current_database()"); got != "f|feed|0" {
		t.Errorf("the subscription and what the event trigger saw are %s", got)
	}
	if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded}); err != nil {
		t.Error(err)
	}
}

// TestWithoutSuperuser neutralises into a database of an ordinary role.
func TestWithoutSuperuser(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	sql := strings.NewReplacer("CREATE EXTENSION postgres_fdw;\n", "", "'hunter2');", "'hunter2');").Replace(dangerous)
	for _, cut := range []string{"CREATE SERVER", "CREATE USER MAPPING", "CREATE FOREIGN TABLE", "CREATE VIEW through", "CREATE MATERIALIZED VIEW cached", "CREATE MATERIALIZED VIEW recached"} {
		i := strings.Index(sql, cut)
		sql = sql[:i] + sql[i+strings.Index(sql[i:], "\n")+1:]
	}
	m, cat := takenFrom(t, s, loadSource(t, s, sql))
	role, password := target.CreateRole(t, "")
	_, _, err := loadAs(t, target, role, password, m, cat, logical.Loading{})
	if err == nil || !strings.Contains(err.Error(), "event trigger seen needs a superuser") || !strings.Contains(err.Error(), "subscription feed") {
		t.Errorf("a raw copy: %v", err)
	}
	database, loaded, err := loadAs(t, target, role, password, m, cat, logical.Loading{Neutralise: &logical.Neutralisation{}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"EVENT TRIGGER seen", "SUBSCRIPTION feed"}; !containsAll(loaded.Left, want) {
		t.Errorf("left out %q, want %q among them", loaded.Left, want)
	}
	if _, err := checkCopy(t, target, database, cat, logical.Expect{Loaded: loaded, Neutralised: true}); err != nil {
		// The superuser checks what the role loaded: its name is not the owner's.
		for part := range strings.SplitSeq(err.Error(), ", ") {
			if !strings.Contains(part, "different owner") {
				t.Error(part)
			}
		}
	}
}

func containsAll(have, want []string) bool {
	return !slices.ContainsFunc(want, func(w string) bool { return !slices.Contains(have, w) })
}

func TestNeutraliseFileErrors(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, "CREATE TABLE t (é text); INSERT INTO t VALUES ('secret')"))
	tests := []struct{ name, sql, want, next string }{
		{"syntax", "SELECT 'é';\n  UPDAT t;", "f.sql:2:3: syntax error", "correct f.sql"},
		{"psql", "\\set x 1\nSELECT 1", "f.sql:1:1: syntax error", "commands of psql"},
		{"missing", "UPDATE t SET é = 'x';\nUPDATE nosuch SET a = 1", "f.sql:2:8: relation \"nosuch\" does not exist (SQLSTATE 42P01)", "correct"},
		{"commit", "UPDATE t SET é = 'x';\n  commit;", "f.sql:2:3: COMMIT", "remove"},
		{"runtime", "SELECT 1/0", "f.sql: division by zero", "correct"},
		{"deferred", "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'; CREATE CONSTRAINT TRIGGER no AFTER UPDATE ON t INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no(); UPDATE t SET é = 'y'", "f.sql: no", "correct"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := logical.Loading{URL: s.URL(s.CreateDatabase(t)), Neutralise: &logical.Neutralisation{SQLFiles: []logical.SQLFile{{Name: "f.sql", SQL: test.sql}}}}
			_, err := logical.Load(t.Context(), l, m, cat)
			_, next := envdb.Advice(err)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(next, test.next) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, next %q; want %q, next %q", err, next, test.want, test.next)
			}
		})
	}
}

func TestCarriedSettings(t *testing.T) {
	t.Parallel()
	cat := &logical.Catalogue{Database: logical.Database{Settings: []logical.Setting{
		{Name: "work_mem", Value: "1MB"}, {Name: "App.Api", Value: "https://production"}, {Name: "app.tz", Value: "x"}, {Role: "r", Name: "app.key", Value: "k"}, {Role: "r", Name: "search_path", Value: "a"},
	}}}
	tests := []struct {
		keep       []string
		neutralise bool
		want       string
	}{
		{nil, false, "work_mem App.Api app.tz app.key search_path"},
		{nil, true, "work_mem search_path"},
		{[]string{"app.api"}, true, "work_mem App.Api search_path"},
	}
	for _, test := range tests {
		var names []string
		for _, s := range logical.CarriedSettings(cat, test.keep, test.neutralise) {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("keep %v, neutralise %t: got %q, want %q", test.keep, test.neutralise, got, test.want)
		}
	}
}
