package logical_test

import (
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/everything"
)

func TestTakeOfEverything(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t)
	db := server.CreateDatabase(t)
	server.Exec(t, db, everything.SQL("take"))
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: server.URL(db)}, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range c.Tables {
		t.Log(table.Schema, table.Name, table.Format, table.Rows, table.LoadInto, table.Extension, table.Condition)
	}
	for _, o := range c.Objects {
		t.Log(o.Class, "|", o.Identity, "|", o.Digest)
	}
	t.Log(c.Roles, c.Sequences, c.MaterializedViews, c.Publications, c.Subscriptions, c.EventTriggers, c.LargeObjects, c.Notes, c.Migration)
}
