package seed_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed"
)

// everyType has a column of most types, and rows that are hard to write down.
const everyType = `
CREATE TYPE mood AS ENUM ('sad', 'null', 'very happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN raw AS bytea;
CREATE TABLE kinds (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (n * 2) STORED, n int,
    i2 smallint, i8 bigint, num numeric, num2 numeric(40, 20), r real, d double precision, m money, p percent,
    b bool, t text, v varchar(20), c char(5), nm name, "quoted ""col""" text, "null" text, by bytea, rw raw,
    dt date, tm time, tmz timetz, ts timestamp, tsz timestamptz, iv interval,
    j json, jb jsonb, x xml, u uuid, ip inet, cd cidr, mac macaddr, bits bit(4), vb bit varying,
    ia int[], ta text[], ja jsonb[], ba bytea[], mo mood, moa mood[], pa pair, paa pair[],
    ir int4range, tr tstzrange, mr int4multirange, pt point, bx box, tv tsvector, tq tsquery, l pg_lsn, oi oid);
INSERT INTO kinds (n) VALUES (NULL);
INSERT INTO kinds (n, i2, i8, num, num2, r, d, m, p, b, t, v, c, nm, "quoted ""col""", "null", by, rw, dt, tm, tmz, ts, tsz, iv, j, jb, x, u, ip, cd, mac, bits, vb,
    ia, ta, ja, ba, mo, moa, pa, paa, ir, tr, mr, pt, bx, tv, tq, l, oi) VALUES
(1, -32768, 9223372036854775807, 123456789012345678901234567890.123456789012345678901234567890, 0.1, 0.1, 0.1::float8 + 0.2, '$1,234.50', 12.50, true,
 'plain', '0123', 'ab', 'name', ' leading and trailing ', 'null', '\x00ff', '\x', '2024-02-29', '23:59:59.999999', '12:00+02', '2024-01-01 00:00:00.000001', '1999-12-31 23:59:59.5+05:30', '1 year -3 days 04:05:06.7',
 '{"b": 1,   "a": [1.0, 1e2]}', '"just text"', '<a b="c">d</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.1.2.3/8', '10.0.0.0/8', '08:00:2b:01:02:03', '1010', '1',
 '{{1,2},{3,NULL}}', '{"",NULL,"NULL","a,b","q\"q","b\\s"," "}', '{"{\"a\": 1}","null"}', '{"\\x00ff","\\x"}', 'null', '{sad,"very happy"}', '(1,"a ""b"", c")', '{"(1,x)","(,)"}',
 '[1,5)', '(2020-01-01 00:00+00,]', '{[1,3),[5,6)}', '(1.5,-2)', '(1,1),(0,0)', $$'a':1 'b c':2$$, 'a & !b', '16/B374D848', 42),
(2, 0, 0, 'NaN', -0.00000000000000000001, 'Infinity', '-Infinity', '$0', 0, false,
 E'RAW=now()', 'true', '', '', '$LABEL {{now}} {{{', '~', 'RAW=', '0x12', 'infinity', '24:00', '00:00-15', '-infinity', '0044-03-15 00:00 BC', '00:00:00',
 'null', 'null', '', '00000000-0000-0000-0000-000000000000', '::1', '::/0', 'ff:ff:ff:ff:ff:ff', '0000', '',
 '{}', '{}', '{}', '{}', 'sad', '{}', '(,)', '{}', 'empty', 'empty', '{}', '(0,0)', '(1,1),(1,1)', '', '', '0/0', 0),
(3, NULL, NULL, 1e-20, 100, 1e-45, 5e-324, NULL, NULL, NULL,
 E'line one\nline two\n\n  indented\ttab\r\n# no comment: - "q" ''s'' \\ \u0001\u0085\u2028\ufeff\U0001F600 é', 'yes', '1', 'x', '- a', 'a: b', 'no escapes', E'\\x5c', '10000-01-01', NULL, NULL, NULL, '9999-12-31 00:00+00', '-1 mons',
 '[]', '{"quote": "\"", "nul": "\\u0000"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
 NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '(,)', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
(4, 1, 1, 1, 1, 1, 1, NULL, NULL, NULL, '2024-01-01', '1e3', '0x1', '.5', '{a}', '[a]', 'bytes', 'x', '2024-01-01', NULL, NULL, NULL, NULL, NULL,
 '1', '1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE "Ünï ""q"" t" (id text PRIMARY KEY, "Ü" int);
INSERT INTO "Ünï ""q"" t" VALUES ('b', 1), ('B', 2), ('a/b', 3);
CREATE SCHEMA "o.ther";
CREATE TABLE "o.ther"."sl/ash" (a int, b text);
INSERT INTO "o.ther"."sl/ash" VALUES (2, 'x'), (1, NULL), (2, 'x');
CREATE TABLE "o.ther".kinds (id int);
CREATE TABLE "do.t" (id serial PRIMARY KEY, up int REFERENCES "do.t");
INSERT INTO "do.t" (up) VALUES (NULL), (1), (2);
CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parts VALUES (1, '2024-05-05');
CREATE TABLE family (id int); CREATE TABLE child (more int) INHERITS (family);
INSERT INTO family VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE TABLE "defaults" (); INSERT INTO "defaults" DEFAULT VALUES; INSERT INTO "defaults" DEFAULT VALUES;`

func TestDumpGivesTheSameRows(t *testing.T) {
	t.Parallel()
	from, to := newDatabase(t), newDatabase(t)
	from.exec(t, everyType)
	dir := t.TempDir()
	written, err := seed.Dump(t.Context(), from.connect(t), seed.DumpSpec{Dir: dir})
	if err != nil {
		fatal(t, err)
	}
	if len(written) != 9 {
		t.Errorf("wrote %q", written)
	}
	to.exec(t, everyType)
	to.exec(t, `TRUNCATE kinds, "Ünï ""q"" t", "o.ther"."sl/ash", "do.t", parts, family, child, "defaults" RESTART IDENTITY`)
	set, err := seed.Read(seed.Spec{Fixtures: fixtures(t, os.DirFS(dir))})
	if err != nil {
		fatal(t, err)
	}
	loaded, err := set.Load(t.Context(), to.connect(t), nil)
	if err != nil {
		fatal(t, err)
	}
	if len(loaded.Volatile) != 0 {
		t.Errorf("volatile: %q", loaded.Volatile)
	}
	if got, want := to.allRows(t), from.allRows(t); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	to.want(t, "INSERT INTO kinds DEFAULT VALUES RETURNING id", "6")

	again := t.TempDir()
	if _, err := seed.Dump(t.Context(), from.connect(t), seed.DumpSpec{Dir: again, Tables: []string{"kinds", `Ünï "q" t`, "kinds"}}); err != nil {
		fatal(t, err)
	}
	for _, name := range []string{"kinds.yml", `Ünï "q" t.yml`} {
		one, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(one) != string(two) {
			t.Errorf("%s is not the same twice", name)
		}
	}
}

func TestDumpRefuses(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(t, "CREATE TABLE a (id int)")
	dir := t.TempDir()
	_, err := seed.Dump(t.Context(), d.connect(t), seed.DumpSpec{Dir: dir, Tables: []string{"b"}})
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrNotFound) || next != `did you mean "a"?` {
		t.Errorf("an unknown table: %v, %s", err, next)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yml"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = seed.Dump(t.Context(), d.connect(t), seed.DumpSpec{Dir: dir})
	if !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("a file that is there: %v", err)
	}
	text, _ := os.ReadFile(filepath.Join(dir, "a.yml"))
	if string(text) != "mine" {
		t.Errorf("the file was changed: %s", text)
	}
	if _, err := seed.Dump(t.Context(), d.connect(t), seed.DumpSpec{Dir: dir, Overwrite: true}); err != nil {
		t.Errorf("overwriting: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || strings.HasPrefix(entries[0].Name(), ".") {
		t.Errorf("left in the directory: %v", entries)
	}
}
