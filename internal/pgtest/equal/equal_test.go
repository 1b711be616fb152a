package equal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// sample is a small database with something of each part in it.
const sample = `
CREATE TYPE colour AS ENUM ('red', 'green', 'blue');
CREATE TABLE plain (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text, g text GENERATED ALWAYS AS (lower(v)) STORED);
INSERT INTO plain (v) SELECT 'Value ' || i % 50 FROM generate_series(1, 100) AS i;
COMMENT ON TABLE plain IS 'plain';
CREATE TABLE parent (n integer);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (3);
CREATE TABLE parts (n integer) PARTITION BY RANGE (n);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT generate_series(1, 20);
CREATE TABLE hashed (c colour, n integer) PARTITION BY HASH (c);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT c, 1 FROM unnest(enum_range(NULL::colour)) AS c;
CREATE UNLOGGED TABLE unlogged (n integer);
INSERT INTO unlogged VALUES (1);
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 3);
CREATE SEQUENCE free;
CREATE MATERIALIZED VIEW filled AS SELECT count(*) AS n FROM plain;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS n WITH NO DATA;
CREATE VIEW simple AS SELECT v FROM plain;
CREATE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 42';
SELECT lo_from_bytea(4711, 'large object');
GRANT SELECT ON plain TO PUBLIC;
ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);`

// create returns a database that holds the sample.
func create(t *testing.T, s *pgtest.Server) string {
	t.Helper()
	db := s.CreateDatabase(t)
	s.Exec(t, db, sample)
	return db
}

// clone returns a new database with the content of one that has no sessions.
func clone(t *testing.T, s *pgtest.Server, template, name string) string {
	t.Helper()
	s.Exec(t, cluster.Superuser, "CREATE DATABASE "+postgres.Quote(name)+" TEMPLATE "+postgres.Quote(template))
	t.Cleanup(func() { s.DropDatabase(t, name) })
	return name
}

func TestDiffOfEqualDatabases(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	a, b := create(t, s), create(t, s)
	equal.Check(t, s.URL(a), s.URL(b), equal.Options{})
	equal.Schema(t, s.URL(a), s.URL(b))
	equal.Data(t, s.URL(a), s.URL(b))
}

// mutation is a change of a copy, and words that must lead to it.
type mutation struct{ name, sql, want string }

// contents are what a database can hold differently while pg_dump --schema-only
// says the same of it.
var contents = []mutation{
	{"value", "UPDATE plain SET v = 'Other' WHERE id = 7", "table public.plain: 100 rows in a, 100 in b; 1 only in a, 1 only in b\n\t- 7\tValue 7\tvalue 7\n\t+ 7\tOther\tother"},
	{"missing row", "DELETE FROM plain WHERE id = 7", "1 only in a, 0 only in b"},
	{"duplicate row", "INSERT INTO unlogged VALUES (1)", "table public.unlogged: 1 rows in a, 2 in b; 0 only in a, 1 only in b"},
	{"row of a table without columns", "INSERT INTO no_columns DEFAULT VALUES", "3 rows in a, 4 in b"},
	{"row that moved to a child", "DELETE FROM ONLY parent WHERE n = 2; INSERT INTO child VALUES (2)", "table public.child"},
	{"row of a partition", "UPDATE parts SET n = 0 WHERE n = 5", "table public.parts_low"},
	{"row under a hash of an enum", "UPDATE hashed SET n = 2 WHERE c = 'red'", "table public.hashed: 3 rows in a"},
	{"empty text for null", "INSERT INTO plain (v) OVERRIDING USER VALUE VALUES (NULL)", "101 in b"},
	{"sequence called", "SELECT nextval('free')", "sequence public.free differs\n\t- last_value 1, is_called false\n\t+ last_value 1, is_called true"},
	{"identity sequence", "SELECT setval('plain_id_seq', 500)", "sequence public.plain_id_seq differs"},
	{"large object content", "SELECT lo_put(4711, 0, 'L')", "large object 4711 differs"},
	{"large object gone", "SELECT lo_unlink(4711)", "large object 4711: only in a"},
	{"large object rights", "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC", "large object 4711 differs"},
	{"large object comment", "COMMENT ON LARGE OBJECT 4711 IS 'x'", "comment 'x'"},
	{"large object owner", "ALTER LARGE OBJECT 4711 OWNER TO pg_monitor", "owner pg_monitor"},
	{"stale materialised view", "REFRESH MATERIALIZED VIEW unfilled WITH DATA", "materialised view public.unfilled: populated only in b"},
	{"emptied materialised view", "REFRESH MATERIALIZED VIEW filled WITH NO DATA", "materialised view public.filled: populated only in a"},
	{"database setting", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET a.b = ''c''', current_database()); END $$", "setting of everyone: a.b: only in b (c)"},
	{"role setting", "DO $$ BEGIN EXECUTE format('ALTER ROLE postgres IN DATABASE %I SET work_mem = ''5MB''', current_database()); END $$", "setting of postgres: work_mem: only in b (5MB)"},
	{"database comment", "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''c''', current_database()); END $$", "comment on the database differs"},
}

var definitions = []mutation{
	{"new column", "ALTER TABLE parent ADD COLUMN extra text", "+     n integer,"},
	{"dropped index", "ALTER TABLE plain DROP CONSTRAINT plain_pkey", "definition only in a: Name: plain plain_pkey; Type: CONSTRAINT"},
	{"view body", "CREATE OR REPLACE VIEW simple AS SELECT upper(v) AS v FROM plain", "definition differs: Name: simple; Type: VIEW"},
	{"function body", "CREATE OR REPLACE FUNCTION answer() RETURNS integer LANGUAGE sql AS 'SELECT 43'", "+     AS $$SELECT 43$$;"},
	{"table comment", "COMMENT ON TABLE plain IS NULL", "definition only in a: Name: TABLE plain; Type: COMMENT"},
	{"rights", "GRANT SELECT (n) ON parent TO PUBLIC", "definition only in b"},
	{"owner", "ALTER FUNCTION answer() OWNER TO pg_monitor", "Owner: pg_monitor"},
	{"row-level security", "ALTER TABLE plain FORCE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"},
	{"reloption", "ALTER TABLE parent SET (fillfactor = 50)", "fillfactor"},
	{"statistics target", "ALTER TABLE parent ALTER COLUMN n SET STATISTICS 7", "SET STATISTICS 7"},
	{"enum value", "ALTER TYPE colour RENAME VALUE 'blue' TO 'navy'", "'navy'"},
}

func TestDiffFindsEachMutationOfContents(t *testing.T) {
	t.Parallel()
	findEach(t, "contents", contents, equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Settings, equal.Locale, equal.Comment)
}

func TestDiffFindsEachMutationOfDefinitions(t *testing.T) {
	t.Parallel()
	findEach(t, "definitions", definitions, equal.Definitions)
}

// findEach makes each mutation in a copy of its own and compares it.
func findEach(t *testing.T, kind string, mutations []mutation, parts ...equal.Part) {
	t.Helper()
	s := pgtest.Start(t)
	template, original := create(t, s), create(t, s)
	for i, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			copied := clone(t, s, template, fmt.Sprintf("%s_%d", kind, i))
			s.Exec(t, copied, m.sql)
			got, err := equal.Diff(t.Context(), s.URL(original), s.URL(copied), equal.Options{Parts: parts})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(got, "\n"), m.want) {
				t.Errorf("differences %q lack %q", got, m.want)
			}
		})
	}
}

func TestIgnoreIsAskedAboutEveryLine(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	a, b := create(t, s), create(t, s)
	s.Exec(t, b, "ALTER TABLE parent ADD extra text", "CREATE TABLE more ()", "DELETE FROM plain", "ALTER TABLE unlogged SET LOGGED")
	tests := []struct {
		name   string
		ignore []string
		want   []string
	}{
		{"nothing", nil, []string{"Name: child; Type: TABLE", "Name: parent; Type: TABLE", "Name: unlogged; Type: TABLE", "only in b: Name: more; Type: TABLE", "table only in b: public.more", "table public.child", "table public.parent", "table public.plain"}},
		{"lines of one object", []string{"UNLOGGED TABLE", "+ CREATE TABLE public.unlogged"}, []string{"Name: child; Type: TABLE", "Name: parent; Type: TABLE", "only in b: Name: more; Type: TABLE", "table only in b: public.more", "table public.child", "table public.parent", "table public.plain"}},
		{"all", []string{""}, nil},
	}
	for _, test := range tests {
		got, err := equal.Diff(t.Context(), s.URL(a), s.URL(b), equal.Options{Ignore: func(line string) bool {
			return slices.ContainsFunc(test.ignore, func(part string) bool { return strings.Contains(line, part) })
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range test.want {
			got = slices.DeleteFunc(got, func(line string) bool { return strings.Contains(line, want) })
		}
		if len(got) > 0 {
			t.Errorf("%s ignored: unexpected differences %q", test.name, got)
		}
	}
}

func TestDiffComparesLocales(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	a := s.CreateDatabase(t)
	b := fmt.Sprintf("%s_icu", a)
	s.Exec(t, cluster.Superuser, "CREATE DATABASE "+postgres.Quote(b)+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' ENCODING 'UTF8'")
	t.Cleanup(func() { s.DropDatabase(t, b) })

	got, err := equal.Diff(t.Context(), s.URL(a), s.URL(b), equal.Options{Parts: []equal.Part{equal.Locale}})
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(got, "\n")
	if len(got) != 2 || !strings.Contains(all, "locale provider differs") || !strings.Contains(all, "+ de-AT") {
		t.Errorf("differences = %q", got)
	}
}

func TestDiffOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	_, err := equal.Diff(t.Context(), s.URL(cluster.Superuser), s.URL("no_such_database"), equal.Options{})
	if err == nil || !strings.Contains(err.Error(), "no_such_database") {
		t.Errorf("error = %v, want one that names the database", err)
	}
}
