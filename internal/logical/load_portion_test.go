package logical_test

import (
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
)

// large is a database of tables that are worth being loaded frozen, and of
// some that must not be.
const large = `
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE plain (id int PRIMARY KEY, body text);
INSERT INTO plain SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 8000) i;
CREATE TABLE toasted (id int PRIMARY KEY, body text);
INSERT INTO toasted SELECT i, (SELECT string_agg(md5((i * 1000 + j)::text), '') FROM generate_series(1, 1000) j) FROM generate_series(1, 60) i;
CREATE UNLOGGED TABLE scratch (id int, body text);
INSERT INTO scratch SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 8000) i;
CREATE TABLE empty (id int);
CREATE TABLE tiny (id int PRIMARY KEY);
INSERT INTO tiny VALUES (1);
CREATE TABLE refers (id int PRIMARY KEY, plain int REFERENCES plain, body text);
INSERT INTO refers SELECT i, i, repeat(md5(i::text), 8) FROM generate_series(1, 8000) i;
CREATE TABLE ancestor (id int, body text);
INSERT INTO ancestor SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 8000) i;
CREATE TABLE heir () INHERITS (ancestor);
INSERT INTO heir SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 8000) i;
CREATE TABLE ranged (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE ranged_low PARTITION OF ranged FOR VALUES FROM (0) TO (8000);
CREATE TABLE ranged_high PARTITION OF ranged FOR VALUES FROM (8000) TO (20000);
INSERT INTO ranged SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 16000) i;
CREATE TABLE hashed (feels mood, id int, body text) PARTITION BY HASH (feels);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT (ARRAY['sad', 'glad'])[1 + i % 2]::mood, i, repeat(md5(i::text), 8) FROM generate_series(1, 16000) i;
DO $$ DECLARE t regclass; BEGIN
	FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
		EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', t);
	END LOOP;
END $$;`

// frozenQuery lists the tables of which every page that holds rows is visible
// to everyone, which ANALYZE has counted: nothing has vacuumed them. Since
// PostgreSQL 16 COPY may leave pages behind that hold nothing yet.
const frozenQuery = `SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
	WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relallvisible > 0
	  AND relallvisible = (xpath('//n/text()', query_to_xml(format('SELECT count(DISTINCT (ctid::text::point)[0]) AS n FROM ONLY %I', relname), false, true, '')))[1]::text::int`

// TestLoadFreezesWholeTables loads ordinary tables such that their pages need
// not be written again, and takes nothing away from those whose rows come from
// several sides.
func TestLoadFreezesWholeTables(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := loadSource(t, s, large)
	m, cat := takenFrom(t, s, from)
	file := logical.SQLFile{Name: "harmless.sql", SQL: "UPDATE public.tiny SET id = id"}
	for name, l := range map[string]logical.Loading{
		"raw":         {Jobs: 3},
		"one session": {Jobs: 1},
		"neutralised": {Jobs: 2, Neutralise: &logical.Neutralisation{SQLFiles: []logical.SQLFile{file}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, loaded := loadInto(t, target, m, cat, l)
			const want = "ancestor heir plain ranged_high ranged_low refers scratch toasted"
			if got := target.QueryText(t, to, frozenQuery); got != want {
				t.Errorf("frozen: %s; want %s", got, want)
			}
			equal.Check(t, s.URL(from), target.URL(to), equal.Options{Parts: inside})
			if _, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded, Neutralised: l.Neutralise != nil}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLoadFreezesWithoutSuperuser loads the same as an ordinary role.
func TestLoadFreezesWithoutSuperuser(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := loadSource(t, s, large)
	m, cat := takenFrom(t, s, from)
	role, password := target.CreateRole(t, "")
	to, _, err := loadAs(t, target, role, password, m, cat, logical.Loading{Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	equal.Check(t, s.URL(from), target.URL(to), equal.Options{Parts: []equal.Part{equal.Rows}})
}
