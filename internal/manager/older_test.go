package manager_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// TestBetweenVersions goes from the source's version of PostgreSQL to the
// target's, which `make test-matrix` chooses: all the way to a newer one or the
// same, nowhere to an older one.
func TestBetweenVersions(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.StartTarget(t)
	prod := on(t, a, "prod", envdb.Production).have(t, append(small("one"), "CREATE VIEW v AS SELECT t.id, t.who FROM t WHERE t.id > 0")...)
	target := on(t, b, "prod-copy", envdb.ProductionCopy).have(t, small("somebody's")...)
	w := newWorld(t, prod, target)
	if b.Major() < a.Major() {
		refusedOnAnOlderServer(t, w, prod, target)
		return
	}

	first := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "prod-copy", Fresh: true})
	same(t, "live", target.content(t), "1|one")
	same(t, "versions", w.versions("prod-copy"), "live prod, aside, baseline prod")
	exactly(t, differences(t, prod, target), nil)
	_, marker := generation.SplitComment(target.query(t, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"))
	if marker == nil || marker.Source != "prod" || marker.Backup != string(first.Backup) || marker.Neutrality != envdb.Neutralised {
		t.Errorf("the marker: %+v", marker)
	}

	prod.exec(t, "UPDATE t SET who = 'two'")
	w.backup("prod")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "prod-copy", Dark: true})
	same(t, "live beside a dark version", target.content(t), "1|one")
	if _, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod-copy", Version: dark.Database}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "live after a promote", target.content(t), "1|two")
	w.rollback("prod-copy")
	same(t, "live after a rollback", target.content(t), "1|one")
	w.rollback("prod-copy")

	w.backup("prod-copy")
	target.exec(t, "UPDATE t SET who = 'damaged'")
	w.restore(manager.RestoreRequest{Environment: "prod-copy"})
	same(t, "live after a restore of its own", target.content(t), "1|two")
	exactly(t, differences(t, prod, target), nil)
}

// refusedOnAnOlderServer expects every way of filling the target to be refused
// with nothing changed there, and nothing taken for it.
func refusedOnAnOlderServer(t *testing.T, w *world, prod, target place) {
	said := []string{fmt.Sprintf("it is PostgreSQL %d and the source was %d", target.server.Major(), prod.server.Major())}
	before := target.state(t)
	unchanged := func(what string, err error) {
		t.Helper()
		wants(t, err, envdb.ErrPreflight, said...)
		state, next := envdb.Advice(err)
		if state != "nothing was changed" || !strings.Contains(next, fmt.Sprintf("PostgreSQL %d or newer", prod.server.Major())) {
			t.Errorf("%s: state %q, next %q", what, state, next)
		}
		same(t, what, target.state(t), before)
	}
	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
	unchanged("a mirror without a backup yet", err)
	_, err = w.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "prod-copy", Fresh: true})
	unchanged("a fresh mirror", err)
	if list, err := w.Backups(t.Context(), "prod"); err != nil || len(list.Backups) != 0 {
		t.Errorf("a backup was taken for nothing: %+v, %v", list, err)
	}

	w.backup("prod")
	_, err = w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
	unchanged("a mirror", err)
	_, err = w.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "prod-copy", Dark: true})
	unchanged("a dark mirror", err)
	code, text := w.run(t, "mirror", "prod", "prod-copy")
	if code != 4 {
		t.Errorf("the command ended with %d, want 4: %s", code, text)
	}
	if !strings.Contains(text, said[0]) || !strings.Contains(text, "Next: ") {
		t.Errorf("the command said %s", text)
	}
	same(t, "the command", target.state(t), before)

	empty := pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})
	const all = "SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database ORDER BY 1"
	untouched := empty.QueryText(t, "postgres", all)
	_, err = w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod", Onto: empty.URL(prod.base)})
	wants(t, err, envdb.ErrPreflight, said...)
	same(t, "roles and databases of an empty server", empty.QueryText(t, "postgres", all), untouched)
}
