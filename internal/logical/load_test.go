package logical_test

import (
	"context"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres"
)

// inside is what a load restores; the rest is set when a database is promoted.
var inside = append([]equal.Part{equal.Definitions}, contents...)

// contents is what a load restores besides definitions.
var contents = []equal.Part{equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Locale}

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

// everythingOn makes a database with every kind of object, and its roles on
// both servers.
func everythingOn(t *testing.T, s, target *pgtest.Server, prefix string) (database string) {
	t.Helper()
	t.Cleanup(func() { s.Exec(t, "postgres", everything.DropRolesSQL(prefix)) })
	if target != s {
		t.Cleanup(func() { target.Exec(t, "postgres", everything.DropRolesSQL(prefix)) })
		target.Exec(t, "postgres", everything.RolesSQL(prefix))
	}
	return loadSource(t, s, everything.SQL(prefix))
}

func TestLoadEverything(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := everythingOn(t, s, target, "ldev")
	m, cat := takenFrom(t, s, from)
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 3})
	if len(loaded.Left) > 0 || len(loaded.MappedRoles) > 0 {
		t.Errorf("left out %v, mapped %v; want a whole copy", loaded.Left, loaded.MappedRoles)
	}
	// Another version writes definitions in other words: there they are held
	// against those of a copy that pg_dump and pg_restore made.
	equal.Check(t, target.URL(s.DumpTo(t, from, target)), target.URL(to), equal.Options{Parts: inside[:1]})
	equal.Check(t, s.URL(from), target.URL(to), equal.Options{Parts: contents})
	if s == target {
		equal.Check(t, s.URL(from), s.URL(to), equal.Options{Parts: inside[:1]})
	}

	report, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded, Jobs: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		for _, d := range c.Explained {
			if s == target || !betweenVersions(d) {
				t.Errorf("check of %s explains %s (%s); want nothing to explain in a raw copy", c.Name, d, d.Why)
			}
		}
	}
	if report.Objects < 300 || report.Rows == 0 {
		t.Errorf("checked %d objects and %d rows", report.Objects, report.Rows)
	}
}

// betweenVersions reports whether a difference is one of those that a raw copy
// on a newer server has, and nothing else explains.
func betweenVersions(d logical.Difference) bool {
	return strings.Contains(d.Class, "view") && strings.Contains(d.Why, "leaves out the names of relations") ||
		d.Class == "extension" && strings.Contains(d.Why, "another version of the extension")
}

func TestLoadNeutralised(t *testing.T) {
	t.Parallel()
	s, target := pgtest.Start(t), pgtest.StartTarget(t)
	from := everythingOn(t, s, target, "ldne")
	m, cat := takenFrom(t, s, from)
	to, loaded := loadInto(t, target, m, cat, logical.Loading{Jobs: 3, Neutralise: &logical.Neutralisation{}})
	report, err := checkCopy(t, target, to, cat, logical.Expect{Loaded: loaded, Neutralised: true})
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
