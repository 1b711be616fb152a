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

// owned is a schema in which several roles own and are granted things.
func owned(owner, reader string) string {
	return strings.NewReplacer("@owner", postgres.Quote(owner), "@reader", postgres.Quote(reader)).Replace(`
CREATE SCHEMA app AUTHORIZATION @owner;
GRANT USAGE ON SCHEMA app TO @reader;
CREATE TABLE app.orders (id int PRIMARY KEY, total numeric);
INSERT INTO app.orders SELECT i, i FROM generate_series(1, 100) i;
ALTER TABLE app.orders OWNER TO @owner;
CREATE TABLE app.mine (id int);
REVOKE ALL ON app.mine FROM CURRENT_USER;
GRANT SELECT ON app.orders TO @reader WITH GRANT OPTION;
SET ROLE @reader; GRANT SELECT ON app.orders TO PUBLIC; RESET ROLE;
REVOKE TRUNCATE ON app.orders FROM @owner;
ALTER DEFAULT PRIVILEGES FOR ROLE @owner IN SCHEMA app GRANT SELECT ON TABLES TO @reader;
CREATE POLICY readers ON app.orders TO @reader USING (total < 10);
COMMENT ON POLICY readers ON app.orders IS 'for readers';
CREATE POLICY most ON app.orders FOR SELECT TO @reader, CURRENT_USER USING (true);
ALTER TABLE app.orders ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION app.total() RETURNS numeric LANGUAGE sql SECURITY DEFINER AS 'SELECT sum(total) FROM app.orders';
ALTER FUNCTION app.total() OWNER TO @owner;
CREATE MATERIALIZED VIEW app.sums AS SELECT sum(total) FROM app.orders;
ALTER MATERIALIZED VIEW app.sums OWNER TO @owner;
SELECT lo_from_bytea(4711, '\x01'); ALTER LARGE OBJECT 4711 OWNER TO @owner; GRANT SELECT ON LARGE OBJECT 4711 TO @reader;
CREATE EXTENSION hstore;
COMMENT ON EXTENSION hstore IS 'ours';
COMMENT ON SCHEMA public IS 'standard';
COMMENT ON EXTENSION plpgsql IS 'ours';
`)
}

// TestLoadElsewhere loads into a server that knows none of the source's roles.
func TestLoadElsewhere(t *testing.T) {
	t.Parallel()
	from := pgtest.Start(t)
	owner, _ := from.CreateRole(t, "CREATEDB CONNECTION LIMIT 9")
	reader, _ := from.CreateRole(t, "")
	from.Exec(t, "postgres", "GRANT "+reader+" TO "+owner, "COMMENT ON ROLE "+owner+" IS 'it''s the owner'", "ALTER ROLE "+owner+" SET search_path = app, \"$user\"")
	db := from.CreateDatabase(t)
	t.Cleanup(func() { from.DropDatabase(t, db); from.Exec(t, "postgres", "DROP ROLE "+owner, "DROP ROLE "+reader) })
	from.Exec(t, db, owned(owner, reader))
	m, cat := takenFrom(t, from, db)
	to := pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})

	// Not parallel: each leaves the server's roles as the next needs them.
	t.Run("map", func(t *testing.T) { testMap(t, to, m, cat, owner, reader) })
	t.Run("fail", func(t *testing.T) { testFail(t, to, m, cat, owner) })
	t.Run("create", func(t *testing.T) { testCreate(t, to, m, cat, owner, reader) })
	t.Run("onto", func(t *testing.T) { testOnto(t, to, cat, owner) })
}

func testMap(t *testing.T, to *pgtest.Server, m *loadable, cat *logical.Catalogue, owner, reader string) {
	role, password := to.CreateRole(t, "")
	database, loaded, err := loadAs(t, to, role, password, m, cat, logical.Loading{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(loaded.MappedRoles, owner) {
		t.Errorf("mapped %q, want %s among them", loaded.MappedRoles, owner)
	}
	notes := strings.Join(loaded.Notes, "\n")
	for _, want := range []string{owner, reader, "grants to role " + reader, "policy app readers was left out", "policy orders readers was left out"} {
		if !strings.Contains(notes, want) && !strings.HasPrefix(want, "policy") {
			t.Errorf("notes do not mention %q:\n%s", want, notes)
		}
	}
	if got := to.QueryText(t, database, "SELECT count(*), max(pg_get_userbyid(relowner)) FROM app.orders, pg_class WHERE oid = 'app.orders'::regclass"); got != "100|"+role {
		t.Errorf("got %s rows and owner", got)
	}
	if got := to.QueryText(t, database, "SELECT polname FROM pg_policy"); got != "most" {
		t.Errorf("policies are %q", got)
	}
	if got := to.QueryText(t, database, "SELECT has_table_privilege("+postgres.Literal(role)+", 'app.orders', 'TRUNCATE')"); got != "f" {
		t.Error("a right that the owner had given up is back")
	}
	conn, err := postgres.Connect(t.Context(), to.URLAs(role, password, database), postgres.Options{Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	report, err := logical.Check(t.Context(), conn, cat, logical.Expect{Loaded: loaded})
	if err != nil {
		t.Errorf("check: %v", err)
	}
	if len(report.Checks) == 0 || len(report.Checks[0].Explained) == 0 {
		t.Error("the check explains nothing")
	}
	if _, err := logical.Check(t.Context(), conn, cat, logical.Expect{}); !errors.Is(err, envdb.ErrVerification) {
		t.Errorf("without what was mapped, check says %v", err)
	}
}

func testFail(t *testing.T, to *pgtest.Server, m *loadable, cat *logical.Catalogue, owner string) {
	role, password := to.CreateRole(t, "")
	database, _, err := loadAs(t, to, role, password, m, cat, logical.Loading{Roles: logical.RolesFail})
	if !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), owner) {
		t.Errorf("got %v", err)
	}
	if got := to.QueryText(t, database, "SELECT count(*) FROM pg_class WHERE oid >= 16384"); got != "0" {
		t.Errorf("a refused load left %s relations", got)
	}
}

func testCreate(t *testing.T, to *pgtest.Server, m *loadable, cat *logical.Catalogue, owner, reader string) {
	plain, password := to.CreateRole(t, "")
	if _, _, err := loadAs(t, to, plain, password, m, cat, logical.Loading{Roles: logical.RolesCreate}); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("without CREATEROLE: %v", err)
	}
	role, password := to.CreateRole(t, "CREATEROLE")
	database, loaded, err := loadAs(t, to, role, password, m, cat, logical.Loading{Roles: logical.RolesCreate})
	if err != nil {
		t.Fatal(err)
	}
	if got := to.QueryText(t, database, "SELECT rolcanlogin, rolsuper, rolcreatedb, rolconnlimit FROM pg_roles WHERE rolname = "+postgres.Literal(owner)); got != "f|f|f|9" {
		t.Errorf("the created owner is %s", got)
	}
	for what, want := range map[string]string{
		"SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'app.sums'::regclass": owner,
		"SELECT count(*) FROM pg_policy": "2",
		"SELECT has_large_object_privilege(" + postgres.Literal(reader) + ", 4711, 'SELECT')":                                  "t",
		"SELECT pg_get_userbyid(lomowner) FROM pg_largeobject_metadata":                                                        owner,
		"SELECT grantor FROM information_schema.role_table_grants WHERE table_name = 'orders' AND grantee = 'PUBLIC'":          reader,
		"SELECT count(*) FROM pg_default_acl":                                                                                  "1",
		"SELECT pg_has_role(" + postgres.Literal(owner) + ", " + postgres.Literal(reader) + ", 'MEMBER')":                      "t",
		"SELECT setconfig[1] FROM pg_db_role_setting WHERE setrole = " + postgres.Literal(postgres.Quote(owner)) + "::regrole": `search_path=app, "$user"`,
	} {
		if strings.Contains(what, "has_large_object") {
			what = "SELECT lomacl::text LIKE '%" + reader + "=r%' FROM pg_largeobject_metadata"
		}
		if got := to.QueryText(t, database, what); got != want {
			t.Errorf("%s\ngot %q, want %q", what, got, want)
		}
	}
	if len(loaded.MappedRoles) > 1 || loaded.Left != nil {
		t.Errorf("mapped %q, left out %q", loaded.MappedRoles, loaded.Left)
	}
	to.DropDatabase(t, database)
	to.Exec(t, "postgres", "DROP ROLE "+owner, "DROP ROLE "+reader)
}

func testOnto(t *testing.T, to *pgtest.Server, cat *logical.Catalogue, owner string) {
	conn := to.Connect(t, "postgres")
	created, err := logical.CreateRoles(t.Context(), conn, cat.Roles, logical.RoleOptions{})
	if err != nil || !slices.Contains(created, owner) {
		t.Fatalf("created %q, %v", created, err)
	}
	if got := to.QueryText(t, "postgres", "SELECT rolcanlogin, rolcreatedb, rolpassword IS NULL, shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname = "+postgres.Literal(owner)); got != "t|t|t|it's the owner" {
		t.Errorf("the owner is %s", got)
	}
	again, err := logical.CreateRoles(t.Context(), conn, cat.Roles, logical.RoleOptions{})
	if err != nil || len(again) != 0 {
		t.Errorf("the second time created %q, %v", again, err)
	}
}
