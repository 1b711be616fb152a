package logical_test

import (
	"bytes"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// A table that is small in blocks and large in TOAST is read in ranges, every
// row once, and a second backup has the same chunks but for what changed.
func TestTableOfManyRangesIsReadOnce(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db,
		"CREATE TABLE wide (id bigint, pad text, body text); ALTER TABLE wide ALTER body SET STORAGE EXTERNAL; ALTER TABLE wide ALTER pad SET STORAGE PLAIN",
		"INSERT INTO wide SELECT n, repeat('p', 900), repeat(md5(n::text), 32768) FROM generate_series(1, 160) n")
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 3}, m)
	if err != nil {
		t.Fatal(err)
	}
	wide := table(t, c, "public.wide")
	ranges := make(map[uint64]bool)
	known := make(map[[32]byte]bool)
	for _, ref := range m.Chunks(wide.Part) {
		ranges[ref.Ordinal>>32] = true
		known[ref.SHA256] = true
	}
	if len(ranges) < 3 {
		t.Errorf("the table was read in %d ranges", len(ranges))
	}
	if sum := sumOfColumn(t, m, wide, 0); wide.Rows != 160 || sum != 160*161/2 {
		t.Errorf("%d rows, the ids add up to %d", wide.Rows, sum)
	}
	checkChunks(t, m, c)

	s.Exec(t, db, "INSERT INTO wide VALUES (161, '', '')")
	m = newMemory()
	if c, err = logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 2}, m); err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for _, ref := range m.Chunks(table(t, c, "public.wide").Part) {
		if !known[ref.SHA256] {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d of %d chunks are new after one row was added", fresh, len(known))
	}
}

// An unchanged database reads the same, whatever the number of jobs, but for
// the times in the catalogue and the archive.
func TestUnchangedDatabaseHasTheSameChunks(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := everythingIn(t, s, "unchanged")
	one, two := newMemory(), newMemory()
	for jobs, m := range map[int]*memory{1: one, 4: two} {
		if _, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: jobs}, m); err != nil {
			t.Fatal(err)
		}
	}
	for part := range one.chunks {
		if part != logical.PartArchive && part != logical.PartCatalogue && !bytes.Equal(one.content(t, part), two.content(t, part)) {
			t.Errorf("part %s differs", part)
		}
	}
	if len(one.chunks) != len(two.chunks) || len(one.chunks) < 50 {
		t.Errorf("%d parts, and %d", len(one.chunks), len(two.chunks))
	}
}
