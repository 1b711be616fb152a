package logical_test

import (
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
)

// inside is what a load restores; the rest is set when a database is promoted.
var inside = []equal.Part{equal.Definitions, equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Locale}

func TestLoadEverything(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	t.Cleanup(func() { s.Exec(t, "postgres", everything.DropRolesSQL("ldev")) })
	from := loadSource(t, s, everything.SQL("ldev"))
	m, cat := takenFrom(t, s, from)
	to, loaded := loadInto(t, s, m, cat, logical.Loading{Jobs: 3})
	if len(loaded.Left) > 0 || len(loaded.MappedRoles) > 0 {
		t.Errorf("left out %v, mapped %v; want a whole copy", loaded.Left, loaded.MappedRoles)
	}
	equal.Check(t, s.URL(from), s.URL(to), equal.Options{Parts: inside})
}
