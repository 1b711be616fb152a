package logical_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// An index, or statistics, of a function that calls another without its schema
// works for the database's sessions, and must not keep it from being read.
func TestTableWhoseIndexNamesFunctionsBareIsRead(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "SET check_function_bodies = off",
		"CREATE FUNCTION helper(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT 1::bigint'",
		"CREATE FUNCTION bare(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
		"CREATE TABLE small (id bigint, type regclass)",
		"INSERT INTO small VALUES (1, 'small')",
		"CREATE INDEX ON small (bare(id))", "CREATE STATISTICS small_stats ON (bare(id)), id FROM small",
		"CREATE TABLE computed (id bigint GENERATED ALWAYS AS (1) STORED); INSERT INTO computed DEFAULT VALUES",
		"CREATE TABLE parent (id bigint); CREATE TABLE child () INHERITS (parent)",
		"INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)",
		"CREATE INDEX ON parent (bare(id))",
		"CREATE TABLE wide (id bigint, pad text, body text); ALTER TABLE wide ALTER body SET STORAGE EXTERNAL, ALTER pad SET STORAGE PLAIN",
		"INSERT INTO wide SELECT n, repeat('p', 900), repeat(md5(n::text), 32768) FROM generate_series(1, 80) n",
		"CREATE INDEX ON wide (id) WHERE bare(id) > 0",
		// Only now: from 17 on PostgreSQL makes indexes under a search path of its own.
		"CREATE OR REPLACE FUNCTION bare(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT helper($1)'")
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 2}, m)
	if err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string]int64{"small": 1, "computed": 1, "parent": 1, "child": 1, "wide": 80} {
		if got := table(t, c, "public."+name).Rows; got != rows {
			t.Errorf("%s has %d rows, want %d", name, got, rows)
		}
	}
	if got := string(m.content(t, table(t, c, "public.small").Part)); got != "1\tpublic.small\n" {
		t.Errorf("small is %q; want the name with its schema", got)
	}
	if sum := sumOfColumn(t, m, table(t, c, "public.wide"), 0); sum != 80*81/2 {
		t.Errorf("the ids of wide add up to %d", sum)
	}
	checkChunks(t, m, c)
}

// PostgreSQL's advice for a function that is not found is to add casts, which
// does not help anybody here.
func TestFunctionThatIsNotFoundHasAdviceOfItsOwn(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	_, err := pinned(t, s.URL(s.CreateDatabase(t))).Exec(t.Context(), "SELECT helper(1)")
	if _, next := envdb.Advice(postgres.Explain(err, "try")); !strings.Contains(next, "search_path") || strings.Contains(next, "casts") {
		t.Errorf("the next step is %q", next)
	}
}

func TestOptionsThatTheRoleMayNotReadAreNoted(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "BYPASSRLS IN ROLE pg_read_all_data")
	other, _ := s.CreateRole(t, "")
	t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+postgres.Quote(role)+", "+postgres.Quote(other)+" CASCADE") })
	s.Exec(t, db, "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w",
		"CREATE USER MAPPING FOR "+postgres.Quote(other)+" SERVER far OPTIONS (password 'secret')",
		"CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'secret')",
		"CREATE USER MAPPING FOR "+postgres.Quote(role)+" SERVER far",
		"GRANT USAGE ON FOREIGN SERVER far TO "+postgres.Quote(role))
	take := func(url envdb.ConnString) string {
		c, err := logical.Take(t.Context(), logical.Source{URL: url, Jobs: 1}, newMemory())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(c.Notes, "\n")
	}
	notes := take(s.URLAs(role, password, db))
	for _, want := range []string{"mapping " + other + " on server far", "mapping public on server far", "role " + role + " may not read them"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes %q do not say %q", notes, want)
		}
	}
	if strings.Contains(notes, "mapping "+role) {
		t.Errorf("the notes %q are about what the role may read", notes)
	}
	if notes := take(s.URL(db)); strings.Contains(notes, "user mapping") {
		t.Errorf("a superuser's backup has the notes %q", notes)
	}
}

// A database without an encoding is copied and compared byte by byte, but
// names must be UTF-8.
func TestTextsOfADatabaseWithoutEncoding(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := databaseOf(t, s, "SQL_ASCII")
	s.Exec(t, db, "CREATE TABLE t (id int)", `COMMENT ON TABLE t IS E'\xff'`, `CREATE VIEW v AS SELECT E'\xfe'::text AS x`,
		`CREATE FUNCTION f() RETURNS text LANGUAGE sql AS E'SELECT ''\xfd''::text'`)
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(m.content(t, logical.PartCatalogue), []byte(`"comment"`)) {
		t.Error("the catalogue lists no comment")
	}
	to := databaseOf(t, s, "SQL_ASCII")
	loaded, err := logical.Load(t.Context(), logical.Loading{URL: s.URL(to), Jobs: 1}, m, c)
	if err != nil {
		t.Fatal(err)
	}
	conn := pinned(t, s.URL(to))
	if err := logical.TakeBytesAsTheyAre(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if _, err := logical.Check(t.Context(), conn, c, logical.Expect{Loaded: loaded}); err != nil {
		t.Error(err)
	}

	s.Exec(t, db, `COMMENT ON DATABASE `+postgres.Quote(db)+` IS E'\xff'`)
	refusedLate(t, s.URL(db), "comment on database")
	s.Exec(t, db, `COMMENT ON DATABASE `+postgres.Quote(db)+` IS NULL`,
		`DO $$ BEGIN EXECUTE format('CREATE FUNCTION %I() RETURNS int LANGUAGE sql AS ''SELECT 1''', convert_from('\xff', 'SQL_ASCII')); END $$`)
	refusedLate(t, s.URL(db), "name of a function")
}

// refusedLate takes a backup that must fail once the catalogue has been read.
func refusedLate(t *testing.T, url envdb.ConnString, says string) {
	t.Helper()
	_, err := logical.Take(t.Context(), logical.Source{URL: url, Jobs: 1}, newMemory())
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), `\xff`) {
		t.Fatalf("got %v, want it to say %q", err, says)
	}
	if state, next := envdb.Advice(err); state == "" || next == "" {
		t.Errorf("%v: state %q, next %q", err, state, next)
	}
}
