package logical_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// shop has, in each kind of object that can hold an expression, some that
// PostgreSQL writes differently once it has read what it wrote.
const shop = `
CREATE TABLE orders (id int, n int, amount numeric(10,2), status varchar(20) CONSTRAINT known CHECK (status IN ('new', 'paid')),
  open bool GENERATED ALWAYS AS (status IN ('new', 'held')) STORED,
  wanted bool DEFAULT ('a'::varchar IN ('a', 'b')));
CREATE DOMAIN state AS varchar(9) CONSTRAINT one CHECK (VALUE IN ('on', 'off'));
CREATE INDEX by_open ON orders ((status IN ('new', 'held')));
CREATE INDEX partial ON orders (id) WHERE status IN ('new', 'held') AND NOT (n - (id - 1) > 3);
CREATE TABLE parts (status varchar) PARTITION BY LIST ((status IN ('a', 'b')));
CREATE STATISTICS stat ON (status IN ('new', 'held')), id FROM orders;
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON orders USING (status IN ('new', 'held')) WITH CHECK (status NOT IN ('x', 'y'));
CREATE VIEW v AS SELECT id, 'lit' AS text, status IN ('new', 'held') AS open FROM orders WHERE status NOT IN ('x', 'y');
CREATE MATERIALIZED VIEW m AS SELECT id, 'q' FROM orders WHERE status IN ('new', 'held');
CREATE RULE r AS ON UPDATE TO orders WHERE NEW.status IN ('new', 'held') DO ALSO SELECT 'x', 1.5, now();
CREATE FUNCTION atomic(s varchar DEFAULT 'd') RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 1 WHERE s IN ('a', 'b'); SELECT 'x;y'; END;
CREATE FUNCTION column_names() RETURNS text LANGUAGE sql BEGIN ATOMIC
  SELECT -1, '2020-01-01 00:00'::timestamptz, NULL::varchar(3), (SELECT 'deep'), 'c' COLLATE "C", 1.5; SELECT 'last'; END;
CREATE FUNCTION defaulted(a bool DEFAULT 'a'::varchar IN ('a', 'b')) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW WHEN (NEW.status IN ('new', 'held')) EXECUTE FUNCTION touch();
CREATE PUBLICATION p FOR TABLE orders WHERE (status = 'new');`

func TestCheckKnowsPostgresOwnWording(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, shop))
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	report, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded})
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, d := range objectsOf(report).Explained {
		explained = append(explained, d.Class+" "+d.Identity)
		if !strings.Contains(d.Why, "words it differently") && (s == target || !betweenVersions(d)) {
			t.Errorf("%s is explained by %q", d, d.Why)
		}
	}
	want := []string{
		"constraint public.orders.known", "constraint public.state.one", "column public.orders.open", "column public.orders.wanted",
		"index public.by_open", "index public.partial", "partitioned table public.parts", "statistics public.stat",
		"policy public.orders.seen", "view public.v", "materialized view public.m", "rule public.orders.r",
		"function public.atomic(s character varying)", "function public.column_names()", "function public.defaulted(a boolean)",
		"trigger public.orders.t",
	}
	for _, w := range want {
		if !slices.Contains(explained, w) {
			t.Errorf("%s is not explained as reworded: the example no longer shows anything", w)
		}
	}
	t.Log(explained)
}

func objectsOf(r logical.CheckReport) logical.CheckResult {
	i := slices.IndexFunc(r.Checks, func(c logical.CheckResult) bool { return c.Name == "objects" })
	return r.Checks[i]
}

// Each statement changes the meaning of one object of a copy.
func TestCheckSeesThroughWording(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, loadSource(t, s, shop))
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	conn := pinned(t, target.URL(to))
	const known, partial = "ALTER TABLE orders DROP CONSTRAINT known; ALTER TABLE orders ADD CONSTRAINT known CHECK ", "DROP INDEX partial; CREATE INDEX partial ON orders (id) WHERE "
	const atomic = "CREATE OR REPLACE FUNCTION atomic(s varchar DEFAULT 'd') RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT 1 WHERE s IN ('a', 'b'); "
	tests := []struct{ name, change, object string }{
		{"another literal", known + "(status IN ('new', 'payed'))", "constraint public.orders.known"},
		{"one literal less", known + "(status IN ('new'))", "constraint public.orders.known"},
		{"another order", known + "(status IN ('paid', 'new'))", "constraint public.orders.known"},
		{"not", known + "(status NOT IN ('new', 'paid'))", "constraint public.orders.known"},
		{"another column", known + "(status IN ('new', 'paid') OR open)", "constraint public.orders.known"},
		{"not valid", known + "(status IN ('new', 'paid')) NOT VALID", "constraint public.orders.known"},
		{"no inherit", known + "(status IN ('new', 'paid')) NO INHERIT", "constraint public.orders.known"},
		{"another cast", known + "(status::bpchar IN ('new', 'paid'))", "constraint public.orders.known"},
		{"without not", partial + "status IN ('new', 'held') AND (n - (id - 1) > 3)", "index public.partial"},
		{"another operator", partial + "status IN ('new', 'held') AND NOT (n - (id - 1) >= 3)", "index public.partial"},
		{"another grouping", partial + "status IN ('new', 'held') AND NOT ((n - id) - 1 > 3)", "index public.partial"},
		{"swapped operands", partial + "status IN ('new', 'held') AND NOT (id - (n - 1) > 3)", "index public.partial"},
		{"not of more", partial + "NOT (status IN ('new', 'held') AND n - (id - 1) > 3)", "index public.partial"},
		{"or", partial + "status IN ('new', 'held') OR NOT (n - (id - 1) > 3)", "index public.partial"},
		{"index column", "DROP INDEX partial; CREATE INDEX partial ON orders (n) WHERE status IN ('new', 'held') AND NOT (n - (id - 1) > 3)", "index public.partial"},
		{"unique", "DROP INDEX by_open; CREATE UNIQUE INDEX by_open ON orders ((status IN ('new', 'held')))", "index public.by_open"},
		{"generated", "ALTER TABLE orders DROP COLUMN open CASCADE; ALTER TABLE orders ADD open bool GENERATED ALWAYS AS (status IN ('new', 'hold')) STORED", "column public.orders.open"},
		{"default", "ALTER TABLE orders ALTER wanted SET DEFAULT ('b'::varchar IN ('a', 'b'))", "column public.orders.wanted"},
		{"type", "ALTER TABLE orders ALTER wanted SET NOT NULL", "column public.orders.wanted"},
		{"policy", "ALTER POLICY seen ON orders USING (status IN ('new', 'held')) WITH CHECK (status NOT IN ('x', 'z'))", "policy public.orders.seen"},
		{"view column's name", "ALTER VIEW v RENAME COLUMN text TO txt", "view public.v"},
		{"view", "CREATE OR REPLACE VIEW v AS SELECT id, 'lit' AS text, status NOT IN ('new', 'held') AS open FROM orders WHERE status NOT IN ('x', 'y')", "view public.v"},
		{"view's option", "ALTER VIEW v SET (security_barrier)", "view public.v"},
		{"rule", "CREATE OR REPLACE RULE r AS ON UPDATE TO orders WHERE NEW.status IN ('new', 'held') DO ALSO SELECT 'x', 1.5, clock_timestamp()", "rule public.orders.r"},
		{"body", atomic + "SELECT 'x;z'; END", "function public.atomic(s character varying)"},
		{"one statement more", atomic + "SELECT 'x'; SELECT 'x;y'; END", "function public.atomic(s character varying)"},
		{"function's option", "ALTER FUNCTION atomic STRICT", "function public.atomic(s character varying)"},
		{"text body", "CREATE OR REPLACE FUNCTION defaulted(a bool DEFAULT 'a'::varchar IN ('a', 'b')) RETURNS int LANGUAGE sql AS 'SELECT  1'", "function public.defaulted(a boolean)"},
		{"domain", "ALTER DOMAIN state DROP CONSTRAINT one; ALTER DOMAIN state ADD CONSTRAINT one CHECK (VALUE IN ('on', 'of'))", "constraint public.state.one"},
		{"trigger", "CREATE OR REPLACE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW WHEN (OLD.status IN ('new', 'held')) EXECUTE FUNCTION touch()", "trigger public.orders.t"},
		{"disabled trigger", "ALTER TABLE orders DISABLE TRIGGER t", "trigger public.orders.t"},
		{"statistics", "DROP STATISTICS stat; CREATE STATISTICS stat ON (status NOT IN ('new', 'held')), id FROM orders", "statistics public.stat"},
		{"row filter", "ALTER PUBLICATION p SET TABLE orders WHERE (status <> 'new')", "publication table public.orders in p"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, sql := range []string{"BEGIN", "SET LOCAL search_path = public", test.change, "SET LOCAL search_path = ''"} {
				if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
					t.Fatalf("%s: %v", sql, err)
				}
			}
			defer func() {
				if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
					t.Fatal(err)
				}
			}()
			result, err := logical.CheckObjects(t.Context(), conn, cat, logical.Expect{Loaded: loaded})
			if err != nil {
				t.Fatal(err)
			}
			found := slices.ContainsFunc(result.Differences, func(d logical.Difference) bool { return d.Class+" "+d.Identity == test.object })
			if !found {
				t.Errorf("%s is not among %v", test.object, result.Differences)
			}
		})
	}
}

// A database may have a setting of its own for what a backslash means.
func TestLoadOfADatabaseWithBackslashEscapes(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := loadSource(t, s, `CREATE TABLE t (id int, body text DEFAULT 'a\b''c\\');
COMMENT ON TABLE t IS 'back\slash ''quoted\\';
CREATE VIEW v AS SELECT E'x\\y\n' AS c, '\x00ff'::bytea AS b, timestamptz '2020-01-01 00:00+00' AS at;
CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''\n''';`)
	for _, setting := range []string{
		"standard_conforming_strings = off", "quote_all_identifiers = on", "bytea_output = escape",
		"TimeZone = 'Asia/Kolkata'", "DateStyle = 'SQL, DMY'", "IntervalStyle = sql_standard",
	} {
		s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(from)+" SET "+setting)
	}
	m, cat := takenFrom(t, s, from)
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	report, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded})
	if err != nil {
		t.Fatal(err)
	}
	if explained := objectsOf(report).Explained; len(explained) > 0 {
		t.Errorf("differences are explained away: %v", explained)
	}
	const comment = "SELECT pg_catalog.obj_description('public.t'::regclass)"
	if got, want := target.QueryText(t, to, comment), `back\slash 'quoted\\`; got != want {
		t.Errorf("the comment is %q, want %q", got, want)
	}
}

// Archives of before pg_dump was told what a backslash means say it themselves.
func TestLoadOfAnArchiveWithBackslashEscapes(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := loadSource(t, s, `CREATE TABLE t (id int, body text DEFAULT 'a\b''c\\'); COMMENT ON TABLE t IS 'back\slash ''quoted\\';`)
	m, cat := takenFrom(t, s, from)
	tools, err := postgres.FindTools(t.Context(), s.Major())
	if err != nil {
		t.Fatal(err)
	}
	env, err := postgres.ToolEnv(s.URL(from))
	if err != nil {
		t.Fatal(err)
	}
	env = slices.DeleteFunc(env, func(pair string) bool { return strings.HasPrefix(pair, "PGOPTIONS=") })
	dump := exec.CommandContext(t.Context(), tools.Dump, "--format=custom", "--compress=0", "--schema-only")
	dump.Env = append(env, "PGOPTIONS=-c standard_conforming_strings=off")
	data, err := dump.Output()
	if err != nil {
		t.Fatal(err)
	}
	m.chunks[logical.PartArchive] = map[uint64]backup.Chunk{0: {Part: logical.PartArchive, Data: data}}
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	if _, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded}); err != nil {
		t.Fatal(err)
	}
}
