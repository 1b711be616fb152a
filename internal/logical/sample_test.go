package logical_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// oddKeys are tables whose rows are found by keys of all sorts, in both formats
// of COPY.
const oddKeys = `
CREATE TYPE mood AS ENUM ('sad', 'so-so', 'happy');
CREATE DOMAIN code AS text CHECK (value <> '');
CREATE TABLE "Ünï ""q"" t" ("Id "" x" bigint PRIMARY KEY, v float8, j jsonb, big text);
INSERT INTO "Ünï ""q"" t" SELECT n, n / 3.0, jsonb_build_object('n', n), CASE n % 7 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE repeat(md5(n::text), 30) END FROM generate_series(1, 5000) AS n;
CREATE TABLE fixed (k char(12), at timestamptz(3), u uuid, n numeric(8,3), PRIMARY KEY (k, at, n));
INSERT INTO fixed SELECT 'k' || n, '2026-01-01'::timestamptz + n * interval '1 hour', gen_random_uuid(), n / 7.0 FROM generate_series(1, 3000) AS n;
CREATE TABLE said (m mood, c code, q text, extra mood[], PRIMARY KEY (c, m));
INSERT INTO said SELECT (ARRAY['sad', 'so-so', 'happy'])[1 + n % 3]::mood, 'a' || chr(9) || n || E'\\\n\r\b\f\v\\N', CASE WHEN n % 3 = 0 THEN NULL ELSE E'\\.' || chr(10) || n END, ARRAY['sad']::mood[] FROM generate_series(1, 3000) AS n;
CREATE TABLE spread (m mood, id int, v text, PRIMARY KEY (id, m)) PARTITION BY HASH (m);
CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO spread SELECT (ARRAY['sad', 'so-so', 'happy'])[1 + n % 3]::mood, n, md5(n::text) FROM generate_series(1, 3000) AS n;
CREATE TABLE parent (id int PRIMARY KEY, v text);
CREATE TABLE child (more text, UNIQUE (id)) INHERITS (parent);
INSERT INTO parent SELECT n, 'p' FROM generate_series(1, 100) AS n;
INSERT INTO child SELECT n, 'c', 'm' FROM generate_series(50, 150) AS n;
CREATE TABLE doubled (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, twice int GENERATED ALWAYS AS (v * 2) STORED, v int);
INSERT INTO doubled (v) SELECT n FROM generate_series(1, 1000) AS n;
CREATE TABLE keyless (v text, w int[]);
INSERT INTO keyless SELECT 'x', ARRAY[n] FROM generate_series(1, 100) AS n;
CREATE TABLE by_array (w int[] PRIMARY KEY);
INSERT INTO by_array SELECT ARRAY[n] FROM generate_series(1, 100) AS n;
CREATE TABLE sometimes (v int);
CREATE UNIQUE INDEX ON sometimes (v) WHERE v > 10;
INSERT INTO sometimes SELECT n FROM generate_series(1, 20) AS n;`

// lookedUp draws a sample that takes no table whole for its size, and looks its
// chunks up.
func lookedUp(t *testing.T, s *pgtest.Server, database string, m logical.ChunkReader, cat *logical.Catalogue, sampling logical.Sampling) (logical.Sample, logical.CheckResult, logical.Compared) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), s.URL(database), postgres.Options{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	sampling.Whole = -1
	sample, err := sampling.Choose(t.Context(), conn, cat, m)
	if err != nil {
		t.Fatal(err)
	}
	result, compared, err := sample.LookUp(t.Context(), conn, cat, m, 2)
	if err != nil {
		t.Fatal(err)
	}
	return sample, result, compared
}

func TestLookUp(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := loadSource(t, s, oddKeys)
	m, cat := takenFrom(t, s, from)
	to, _ := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	sample, result, compared := lookedUp(t, target, to, m, cat, logical.Sampling{Share: 1})
	if result.Outcome != logical.Passed || len(result.Differences) > 0 {
		t.Errorf("an undamaged copy: %s %v", result.Outcome, result.Differences)
	}
	if want := int64(5000 + 3000 + 3000 + 3000 + 100 + 101 + 1000); compared.Rows != want || compared.Tables != 8 {
		t.Errorf("looked up %d rows of %d tables, want %d of 8", compared.Rows, compared.Tables, want)
	}
	if len(sample.Left) > 0 || len(sample.Whole) != 3 {
		t.Errorf("left %v, took %v whole; want those whole that have no key", sample.Left, sample.Whole)
	}
	for name, damage := range map[string]struct{ sql, table, want string }{
		"a value":               {sql: `UPDATE "Ünï ""q"" t" SET v = v + 1 WHERE "Id "" x" = 77`, table: "Ünï", want: "not the same"},
		"a row, and another":    {sql: `DELETE FROM fixed WHERE k = 'k5'; INSERT INTO fixed VALUES ('new', now(), gen_random_uuid(), 1)`, table: "fixed", want: "of 3000 rows of one chunk 2999 are there"},
		"a text":                {sql: `UPDATE said SET q = q || ' ' WHERE c LIKE E'a\t4%' AND q IS NOT NULL`, table: "said", want: "not the same"},
		"NULL for nothing":      {sql: `UPDATE said SET extra = NULL WHERE c LIKE E'a\t3%'`, table: "said", want: "not the same"},
		"a row of a partition":  {sql: `UPDATE spread SET v = 'x' WHERE id = 5`, table: "spread", want: "not the same"},
		"a row below its table": {sql: `UPDATE ONLY parent SET v = 'c' WHERE id = 70`, table: "parent", want: "not the same"},
	} {
		// One after the other: they damage one database.
		target.Exec(t, to, damage.sql)
		_, result, _ := lookedUp(t, target, to, m, cat, logical.Sampling{Share: 1})
		if found := findingsOf(result); result.Outcome != logical.Failed || !strings.Contains(found, damage.table) || !strings.Contains(found, damage.want) {
			t.Errorf("%s: %s %q, want %q of %s", name, result.Outcome, found, damage.want, damage.table)
		}
	}
}

func findingsOf(r logical.CheckResult) string {
	var all []string
	for _, d := range r.Differences {
		all = append(all, d.String())
	}
	return strings.Join(all, "\n")
}

func TestLookUpEverything(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	m, cat := takenFrom(t, s, everythingOn(t, s, target, "lues"))
	to, _ := loadInto(t, target, m, cat, logical.Loading{Jobs: 2})
	sample, result, compared := lookedUp(t, target, to, m, cat, logical.Sampling{Share: 1})
	if result.Outcome != logical.Passed || len(result.Differences) > 0 {
		t.Errorf("an undamaged copy: %s %v", result.Outcome, result.Differences)
	}
	if compared.Rows == 0 || len(sample.Chunks) < 10 {
		t.Errorf("looked up %d rows of %d tables", compared.Rows, len(sample.Chunks))
	}
}

// A share is kept to, every table with a key is seen, and the same seed draws the
// same chunks.
func TestSampling(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := loadSource(t, s, `
CREATE TABLE wide (id int PRIMARY KEY, v text);
INSERT INTO wide SELECT n, (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 60) AS i) FROM generate_series(1, 15000) AS n;
CREATE TABLE small (id int PRIMARY KEY);
INSERT INTO small SELECT generate_series(1, 10);
CREATE TABLE heap (v text);
INSERT INTO heap SELECT v FROM wide`)
	m, cat := takenFrom(t, s, db)
	conn, err := pgx.Connect(t.Context(), s.URL(db).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	draw := func(share float64, seed uint64) logical.Sample {
		sample, err := logical.Sampling{Share: share, Seed: seed, Whole: 1 << 10}.Choose(t.Context(), conn, cat, m)
		if err != nil {
			t.Fatal(err)
		}
		return sample
	}
	few, same, other := draw(0.2, 1), draw(0.2, 1), draw(0.2, 2)
	if !few.Whole[logical.Name{Schema: "public", Name: "small"}] || len(few.Chunks) != 1 || len(few.Left) != 1 || few.Left[0].Name != "heap" {
		t.Fatalf("drew %v whole, chunks of %d tables, and left %v", few.Whole, len(few.Chunks), few.Left)
	}
	refs := few.Chunks[0].Refs
	if all := len(m.Chunks(few.Chunks[0].Table.Part)); len(refs) == 0 || len(refs) > all/2 {
		t.Errorf("drew %d of %d chunks for a share of a fifth", len(refs), all)
	}
	if !equalOrdinals(few, same) {
		t.Error("one seed drew twice")
	}
	differ := !equalOrdinals(few, other)
	for seed := uint64(3); !differ && seed < 30; seed++ {
		differ = !equalOrdinals(few, draw(0.2, seed))
	}
	if !differ {
		t.Error("thirty seeds drew the same chunks")
	}
	if all := draw(1, 1); len(all.Left) > 0 || len(all.Chunks[0].Refs) != len(m.Chunks(all.Chunks[0].Table.Part)) {
		t.Errorf("of everything %v was left", all.Left)
	}
}

func equalOrdinals(a, b logical.Sample) bool {
	return slices.EqualFunc(a.Chunks[0].Refs, b.Chunks[0].Refs, func(x, y backup.Ref) bool { return x.Ordinal == y.Ordinal })
}
