package manager_test

import (
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/everything"
)

func TestRestoreOfItsOwnPast(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	staging := on(t, s, "staging", envdb.Staging).have(t, small("one")...)
	w := newWorld(t, staging)
	first := w.backup("staging")
	staging.exec(t, "UPDATE t SET who = 'two'")
	second := w.backup("staging")
	staging.exec(t, "DROP TABLE t")

	r := w.restore(manager.RestoreRequest{Environment: "staging", Point: envdb.AtBackup(first.ID)})
	same(t, "as of the first backup", staging.content(t), "1|one")
	if r.Backup != first.ID || r.Source != "staging" || r.Neutrality != envdb.Raw || r.Dark {
		t.Errorf("restore: %+v", r)
	}
	// The database that was live was made by hand, so it stands aside.
	same(t, "versions", w.versions("staging"), "live staging, aside")
	r = w.restore(manager.RestoreRequest{Environment: "staging", Point: envdb.At(second.Point)})
	same(t, "as of the second's moment", staging.content(t), "1|two")
	if r.Backup != second.ID {
		t.Errorf("its moment gave %s, want %s", r.Backup, second.ID)
	}
	if r.Asked == nil || r.Behind != 0 {
		t.Errorf("its moment is said to be %s before %v", r.Behind, r.Asked)
	}
	asked := second.Point.Add(6 * time.Minute)
	if late := w.restore(manager.RestoreRequest{Environment: "staging", Point: envdb.At(asked)}); late.Asked == nil || !late.Asked.Equal(asked) || late.Behind != 6*time.Minute {
		t.Errorf("six minutes later is said to be %s before %v", late.Behind, late.Asked)
	}
	before := staging.state(t)
	dark := w.restore(manager.RestoreRequest{Environment: "staging", Point: envdb.AtBackup(first.ID), Dark: true})
	same(t, "dark", s.QueryText(t, dark.Database, "SELECT who FROM t"), "one")
	same(t, "live beside it", staging.content(t), "1|two")
	_, err := w.Restore(t.Context(), manager.RestoreRequest{Environment: "staging", Point: envdb.At(first.Point.Add(-envdb.Day))})
	wants(t, err, envdb.ErrNotFound, "staging")
	if !strings.Contains(staging.state(t), strings.TrimSpace(strings.Split(before, "\n")[0])) {
		t.Error("a failed restore changed the live version")
	}
}

// restore restores, which must work.
func (w *world) restore(req manager.RestoreRequest) *manager.BuildResult {
	w.t.Helper()
	r, err := w.Restore(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// A restore of production stays dark; to make it live takes its name.
func TestRestoreOfProductionStaysDark(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("one"),
		"CREATE PUBLICATION p FOR ALL TABLES", "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
		"CREATE EVENT TRIGGER et ON sql_drop EXECUTE FUNCTION e()")...)
	s.Exec(t, "postgres", "ALTER DATABASE "+prod.base+" SET app.key = 'k'")
	w := newWorld(t, prod)
	w.backup("prod")
	prod.exec(t, "UPDATE t SET who = 'broken'")
	before := prod.state(t)

	r := w.restore(manager.RestoreRequest{Environment: "prod"})
	if !r.Dark || r.Neutrality != envdb.Raw || !strings.Contains(r.Next, "--confirm prod") {
		t.Errorf("restore: %+v", r)
	}
	if !strings.HasPrefix(prod.state(t), before) {
		t.Errorf("the live version changed:\n%s\nwas\n%s", prod.state(t), before)
	}
	for _, confirm := range []string{"", "Prod", "staging"} {
		_, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod", Version: r.Database, Confirm: confirm})
		wants(t, err, envdb.ErrRefused, "--confirm prod")
	}
	same(t, "live", prod.content(t), "1|broken")
	if _, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod", Version: r.Database, Confirm: "prod"}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "live", prod.content(t), "1|one")
	same(t, "it is raw: publications, event triggers, settings", prod.query(t, `
		SELECT (SELECT count(*) FROM pg_publication), (SELECT evtenabled FROM pg_event_trigger), current_setting('app.key', true)`), "1|O|k")
	_, err := w.Rollback(t.Context(), manager.RollbackRequest{Environment: "prod"})
	wants(t, err, envdb.ErrRefused, "--confirm prod")
}

// An empty server gets roles first, and then everything as it was.
func TestRestoreOntoAnEmptyServer(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})
	prod := on(t, a, "prod", envdb.Production).have(t, everything.SQL("onto"))
	prodCopy := on(t, a, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, prodCopy)
	taken := w.backup("prod")
	rebuilt := place{name: "prod", server: b, base: prod.base}

	b.Exec(t, "postgres", "CREATE DATABASE somebodys")
	_, err := w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod", Onto: b.URL(prod.base)})
	wants(t, err, envdb.ErrRefused, `not empty`, `"somebodys"`)
	b.Exec(t, "postgres", "DROP DATABASE somebodys")
	_, err = w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod", Onto: a.URL(unique("elsewhere"))})
	wants(t, err, envdb.ErrRefused, "not empty")
	_, err = w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod", Onto: prod.url})
	wants(t, err, envdb.ErrRefused)
	same(t, "roles made by a refused one", b.QueryText(t, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^onto'"), "0")

	r := w.restore(manager.RestoreRequest{Environment: "prod", Onto: b.URL(prod.base)})
	if r.Backup != taken.ID || r.Neutrality != envdb.Raw || !strings.Contains(r.Next, "passwords") {
		t.Errorf("result: %+v", r)
	}
	exactly(t, differences(t, prod, rebuilt), nil)

	const attributes = `SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
		rolvaliduntil, shobj_description(oid, 'pg_authid'), (SELECT array_agg(s ORDER BY s) FROM pg_db_role_setting, unnest(setconfig) AS s WHERE setrole = r.oid AND setdatabase = 0)
		FROM pg_authid AS r WHERE rolname ~ '^onto' ORDER BY 1`
	const memberships = `SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE member::regrole::text ~ '^"?onto' ORDER BY roleid::regrole::text, member::regrole::text`
	same(t, "roles", b.QueryText(t, "postgres", attributes), a.QueryText(t, "postgres", attributes))
	same(t, "memberships", b.QueryText(t, "postgres", memberships), a.QueryText(t, "postgres", memberships))
	same(t, "passwords", b.QueryText(t, "postgres", "SELECT count(rolpassword) FROM pg_authid WHERE rolname ~ '^onto'"), "0")
}
