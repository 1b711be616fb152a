package logical_test

import (
	"bytes"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

func TestTakeReadsRowsSchemaAndCatalogue(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db := server.CreateDatabase(t)
	server.Exec(t, db,
		"CREATE TABLE plain (id int PRIMARY KEY, label text)",
		"INSERT INTO plain SELECT n, 'row ' || n FROM generate_series(1, 1000) n",
		"CREATE TABLE vacant (id int)")

	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: server.URL(db)}, m)
	if err != nil {
		t.Fatal(err)
	}
	if got := table(t, c, "public.plain"); got.Rows != 1000 || got.Format != "binary" {
		t.Errorf("plain has %d rows in %s format, want 1000 in binary", got.Rows, got.Format)
	}
	if got := table(t, c, "public.vacant"); got.Rows != 0 {
		t.Errorf("vacant has %d rows, want 0", got.Rows)
	}
	if !bytes.HasPrefix(m.content(t, logical.PartArchive), []byte("PGDMP")) {
		t.Error("the archive is no archive of pg_dump")
	}
	read, err := logical.ReadCatalogue(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(read.Tables) != 2 || !read.Point.Equal(c.Point) || read.Database.Name != db {
		t.Errorf("the stored catalogue differs: %d tables, point %s, database %s", len(read.Tables), read.Point, read.Database.Name)
	}
}
