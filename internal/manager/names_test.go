package manager_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// Databases of any name that PostgreSQL takes go all the way: backed up,
// mirrored twice, rolled back, restored, cleaned up.
func TestOddDatabaseNames(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for name, base := range map[string]string{
		"quotes, spaces, unicode": `Ünï "q" t's %41 \ 数`,
		"63 bytes":                strings.Repeat("é", 30) + "xyz",
		"slashes and colons":      `a/b:c@d?e#f&g=h`,
		"a keyword":               "select",
		"two underscores":         "shop__dark_x",
	} {
		t.Run(name, func(t *testing.T) {
			prod := at(t, s, "prod", envdb.Production, "p"+string([]rune(base)[1:])).have(t, small("one")...)
			target := at(t, s, "qa", envdb.QA, base)
			w := newWorld(t, prod, target)
			w.mirror("prod", "qa")
			same(t, "live", target.content(t), "1|one")
			prod.exec(t, "UPDATE t SET who = 'two'")
			w.backup("prod")
			w.mirror("prod", "qa")
			same(t, "versions", w.versions("qa"), "live prod, previous prod, baseline prod")
			w.rollback("qa")
			same(t, "live after a rollback", target.content(t), "1|one")
			if name == "quotes, spaces, unicode" { // the tools that compare have their own quoting
				exactly(t, differences(t, target, target), nil)
			}
			if line := w.status("qa"); line.State != "up" || len(line.Versions) != 3 {
				t.Errorf("status: %+v", line)
			}
			u, err := w.URL(t.Context(), "qa", "")
			if err != nil {
				t.Fatal(problem(err))
			}
			if parsed, err := url.Parse(u.URL); err != nil || parsed.Path != "/"+base {
				t.Errorf("url: %s, %v", u.URL, err)
			}
			same(t, "a foreign database of a like name", s.QueryText(t, "postgres", "SELECT count(*) FROM pg_database WHERE datname = "+postgres.Literal(base)), "1")
		})
	}
}

func TestEmptyDatabase(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t)
	target := on(t, s, "qa", envdb.QA).have(t, small("not empty")...)
	w := newWorld(t, prod, target)
	b := w.backup("prod")
	if b.Totals.Tables != 0 || b.Totals.Rows != 0 {
		t.Errorf("backup: %+v", b.Totals)
	}
	r := w.mirror("prod", "qa")
	if r.Tables != 0 || r.Rows != 0 {
		t.Errorf("mirror: %+v", r)
	}
	exactly(t, differences(t, prod, target), nil)
	w.mirror("prod", "qa")
	same(t, "versions", w.versions("qa"), "live prod, previous prod, aside, baseline prod")
}
