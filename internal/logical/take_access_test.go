package logical_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// refused takes a backup that must fail before anything is read.
func refused(t *testing.T, src logical.Source, kind error, says ...string) {
	t.Helper()
	m := newMemory()
	_, err := logical.Take(t.Context(), src, m)
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	state, next := envdb.Advice(err)
	for _, s := range says {
		if !strings.Contains(err.Error()+"\n"+next, s) {
			t.Errorf("%q with next %q does not say %q", err, next, s)
		}
	}
	if state == "" || next == "" {
		t.Errorf("%v: state %q, next %q", err, state, next)
	}
	if len(m.chunks) > 0 {
		t.Errorf("chunks of %d parts were put", len(m.chunks))
	}
}

func TestRoleWithoutPrivilegesIsToldAllThatItLacks(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "")
	quoted := postgres.Quote(role)
	t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+quoted) })
	s.Exec(t, db,
		`CREATE SCHEMA "Closed"; CREATE TABLE "Closed".t (id int); CREATE SCHEMA open; GRANT USAGE ON SCHEMA open TO `+quoted,
		`CREATE TABLE open."My Table" (id serial, n int); GRANT SELECT (n) ON open."My Table" TO `+quoted,
		`CREATE TABLE open.granted (id int); GRANT SELECT ON open.granted TO `+quoted,
		`SELECT lo_create(0)`)
	refused(t, logical.Source{URL: s.URLAs(role, password, db)}, envdb.ErrPreflight,
		`USAGE on schema "Closed"`, `SELECT on table "Closed"."t", "open"."My Table"`,
		`SELECT on sequence "open"."My Table_id_seq"`, "pg_catalog.pg_largeobject",
		`GRANT SELECT ON TABLE "Closed"."t", "open"."My Table" TO `+quoted+";",
		"GRANT pg_read_all_data TO "+quoted)
}

func TestRoleWithoutBypassIsRefusedOnTablesWithPolicies(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "IN ROLE pg_read_all_data")
	s.Exec(t, db,
		"CREATE TABLE guarded (id int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; INSERT INTO guarded VALUES (1)",
		"CREATE POLICY all_rows ON guarded USING (true)",
		"CREATE TABLE bare (id int); ALTER TABLE bare ENABLE ROW LEVEL SECURITY",
		"CREATE TABLE dormant (id int); CREATE POLICY asleep ON dormant USING (false)")
	refused(t, logical.Source{URL: s.URLAs(role, password, db)}, envdb.ErrPreflight,
		`"public"."bare", "public"."guarded" from role `+role, "BYPASSRLS")
}

func TestOwnerIsRefusedOnHisTableWithForcedPolicies(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "")
	t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+postgres.Quote(role)) })
	s.Exec(t, db, "GRANT ALL ON SCHEMA public TO "+postgres.Quote(role),
		"SET SESSION AUTHORIZATION "+postgres.Quote(role)+"; CREATE TABLE his (id int); INSERT INTO his VALUES (1); ALTER TABLE his ENABLE ROW LEVEL SECURITY; RESET SESSION AUTHORIZATION")
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URLAs(role, password, db)}, newMemory())
	if err != nil {
		t.Fatalf("as the owner of a table with policies: %v", err)
	}
	if got := table(t, c, "public.his").Rows; got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
	s.Exec(t, db, "ALTER TABLE his FORCE ROW LEVEL SECURITY")
	refused(t, logical.Source{URL: s.URLAs(role, password, db)}, envdb.ErrPreflight, `"public"."his"`)
}

func TestRoleThatReadsAllDataBacksEverythingUp(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := everythingIn(t, s, "reader")
	role, password := s.CreateRole(t, "BYPASSRLS IN ROLE pg_read_all_data")
	m := newMemory()
	got, err := logical.Take(t.Context(), logical.Source{URL: s.URLAs(role, password, db)}, m)
	if err != nil {
		t.Fatal(err)
	}
	want, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db)}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want.Tables {
		if g := got.Tables[i]; g.Rows != w.Rows || g.Fingerprint != w.Fingerprint {
			t.Errorf("%s.%s: %d rows %s, as a superuser %d rows %s", w.Schema, w.Name, g.Rows, g.Fingerprint, w.Rows, w.Fingerprint)
		}
	}
	want.Objects = slices.DeleteFunc(want.Objects, func(o logical.Object) bool {
		return o.Class == "subscription" || strings.HasPrefix(o.Identity, "subscription ")
	})
	if len(got.Sequences) != len(want.Sequences) || got.LargeObjects != want.LargeObjects || len(got.Objects) != len(want.Objects) {
		t.Errorf("%d sequences, %v, %d objects; as a superuser %d, %v, %d", len(got.Sequences), got.LargeObjects, len(got.Objects),
			len(want.Sequences), want.LargeObjects, len(want.Objects))
	}
	if len(got.Subscriptions) != 0 || !strings.Contains(strings.Join(got.Notes, "\n"), "is not in the backup: only a superuser may read it") {
		t.Errorf("subscriptions %q are not in the schema, and the notes %q do not say so", got.Subscriptions, got.Notes)
	}
}

func TestServerWithoutConnectionsLeftSaysHowManyAreNeeded(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "CONNECTION LIMIT 3")
	refused(t, logical.Source{URL: s.URLAs(role, password, db), Jobs: 3}, envdb.ErrBusy, "needs 6", "fewer jobs")
}

func TestPoolerIsRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	for _, mode := range []pgtest.PoolMode{pgtest.TransactionPool, pgtest.SessionPool} {
		url, _ := s.PgBouncer(t, mode)
		through, err := postgres.WithDatabase(url, db)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, logical.Source{URL: through}, envdb.ErrPreflight, "pooler", "direct_url")
	}
}
