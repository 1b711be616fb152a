package logical_test

import (
	"context"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres"
)

// inside is what a load restores; the rest is set when a database is promoted.
var inside = []equal.Part{equal.Definitions, equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Locale}

// checkCopy compares a copy with its catalogue, as the superuser.
func checkCopy(t *testing.T, s *pgtest.Server, database string, cat *logical.Catalogue, x logical.Expect) (logical.CheckReport, error) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), s.URL(database), postgres.Options{App: "envdb/test", Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	return logical.Check(t.Context(), conn, cat, x)
}

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

	report, err := checkCopy(t, s, to, cat, logical.Expect{Loaded: loaded, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		if len(c.Explained) > 0 {
			t.Errorf("check of %s explains %v; want nothing to explain in a raw copy", c.Name, c.Explained)
		}
	}
	if report.Objects < 300 || report.Rows == 0 {
		t.Errorf("checked %d objects and %d rows", report.Objects, report.Rows)
	}
}

func TestLoadNeutralised(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	t.Cleanup(func() { s.Exec(t, "postgres", everything.DropRolesSQL("ldne")) })
	from := loadSource(t, s, everything.SQL("ldne"))
	m, cat := takenFrom(t, s, from)
	to, loaded := loadInto(t, s, m, cat, logical.Loading{Jobs: 3, Neutralise: &logical.Neutralisation{}})
	report, err := checkCopy(t, s, to, cat, logical.Expect{Loaded: loaded, Neutralised: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		t.Log(c.Name, c.Outcome, c.Reason, c.Explained)
	}
	for _, fact := range loaded.Neutralised {
		t.Log(fact)
	}
	for _, fact := range loaded.Notes {
		t.Log(fact)
	}
}
