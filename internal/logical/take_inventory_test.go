package logical_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// everythingIn makes a database that holds every kind of object; the roles it
// needs go with the test.
func everythingIn(t *testing.T, s *pgtest.Server, prefix string) string {
	t.Helper()
	t.Cleanup(func() { s.Exec(t, cluster.Superuser, everything.DropRolesSQL(prefix)) })
	db := s.CreateDatabase(t)
	s.Exec(t, db, everything.SQL(prefix))
	return db
}

// pinned opens a session as a backup does.
func pinned(t *testing.T, url envdb.ConnString) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), url, postgres.Options{App: "envdb/test", Pin: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func inventoryOf(t *testing.T, s *pgtest.Server, db string) []logical.Object {
	t.Helper()
	objects, err := logical.Inventory(t.Context(), pinned(t, s.URL(db)))
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestInventoryOfACopyIsTheSame(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := everythingIn(t, s, "inventory")
	other := s.DumpTo(t, db, s)

	want, got := inventoryOf(t, s, db), inventoryOf(t, s, other)
	for _, objects := range [][]logical.Object{want, got} {
		for i := range objects {
			if objects[i].Class == "extension" {
				objects[i].Digest = "" // pg_dump keeps no versions of extensions
			}
		}
	}
	for _, o := range want {
		if !slices.Contains(got, o) {
			t.Errorf("the copy lacks, or has otherwise: %s %s", o.Class, o.Identity)
		}
	}
	for _, o := range got {
		if !slices.Contains(want, o) {
			t.Errorf("the copy has: %s %s", o.Class, o.Identity)
		}
	}
}

func TestInventoryHasOneLinePerObject(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	seen := make(map[[2]string]bool)
	classes := make(map[string]int)
	for _, o := range inventoryOf(t, s, everythingIn(t, s, "lines")) {
		key := [2]string{o.Class, o.Identity}
		if seen[key] {
			t.Errorf("%s %s is listed twice", o.Class, o.Identity)
		}
		seen[key] = true
		classes[o.Class]++
	}
	want := []string{
		"access method", "acl", "aggregate", "cast", "collation", "column", "column acl", "comment", "constraint", "conversion",
		"default acl", "domain", "event trigger", "event trigger state", "extension", "foreign table", "foreign-data wrapper", "function",
		"index", "language", "materialized view", "operator", "operator class", "operator family", "owner", "partitioned table",
		"policy", "policy role", "procedure", "publication", "publication schema", "publication table", "rule", "schema", "sequence",
		"server", "statistics", "subscription", "table", "text search configuration", "text search dictionary", "text search parser",
		"text search template", "transform", "trigger", "type", "user mapping", "view",
	}
	for _, class := range want {
		if classes[class] == 0 {
			t.Errorf("the inventory has no %s", class)
		}
	}
	for class := range classes {
		if !slices.Contains(want, class) {
			t.Errorf("the inventory has the unexpected class %q", class)
		}
	}
}

// Each statement changes one property of one object, and each must show.
func TestInventoryShowsWhatChanged(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	role, _ := s.CreateRole(t, "")
	t.Cleanup(func() { s.Exec(t, db, "DROP OWNED BY "+postgres.Quote(role)) })
	s.Exec(t, db, `
CREATE TABLE t (id int, name text COLLATE "C", n numeric(10,2) DEFAULT 1);
CREATE SEQUENCE s;
CREATE VIEW v AS SELECT id FROM t;
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TYPE e AS ENUM ('a', 'c');
CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch();
CREATE INDEX i ON t (id);
ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT VALID;
CREATE POLICY p ON t USING (true);
CREATE STATISTICS st ON id, name FROM t;
`)
	conn := pinned(t, s.URL(db))
	changes := map[string]string{
		"ALTER TABLE t ALTER id SET NOT NULL":                                        "column public.t.id",
		"ALTER TABLE t ALTER name TYPE text COLLATE \"POSIX\"":                       "column public.t.name",
		"ALTER TABLE t ALTER n SET DEFAULT 2":                                        "column public.t.n",
		"ALTER TABLE t ALTER n TYPE numeric(12,2)":                                   "column public.t.n",
		"ALTER TABLE t ALTER name SET STORAGE EXTERNAL":                              "column public.t.name",
		"ALTER TABLE t ALTER name SET STATISTICS 500":                                "column public.t.name",
		"ALTER TABLE t SET (fillfactor = 70)":                                        "table public.t",
		"ALTER TABLE t ENABLE ROW LEVEL SECURITY":                                    "table public.t",
		"ALTER TABLE t REPLICA IDENTITY FULL":                                        "table public.t",
		"ALTER TABLE t SET UNLOGGED":                                                 "table public.t",
		"ALTER TABLE t VALIDATE CONSTRAINT c":                                        "constraint public.t.c",
		"ALTER TABLE t DISABLE TRIGGER g":                                            "trigger public.t.g",
		"ALTER SEQUENCE s INCREMENT 5":                                               "sequence public.s",
		"CREATE OR REPLACE VIEW v AS SELECT id + 0 AS id FROM t":                     "view public.v",
		"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'":      "function public.f()",
		"ALTER FUNCTION f() COST 5":                                                  "function public.f()",
		"ALTER TYPE e RENAME VALUE 'c' TO 'd'":                                       "type public.e",
		"ALTER INDEX i SET (fillfactor = 60)":                                        "index public.i",
		"ALTER POLICY p ON t USING (id > 1)":                                         "policy public.t.p",
		"ALTER STATISTICS st SET STATISTICS 7":                                       "statistics public.st",
		"COMMENT ON TABLE t IS 'x'":                                                  "comment table public.t",
		"GRANT SELECT ON t TO " + postgres.Quote(role):                               "acl table public.t",
		"GRANT SELECT (id) ON t TO PUBLIC":                                           "column acl table column public.t.id",
		"REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC":                                 "acl function public.f()",
		"ALTER TABLE t OWNER TO " + postgres.Quote(role):                             "owner table public.t",
		"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC": "default acl postgres in public on r",
	}
	before, err := logical.Inventory(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for change, object := range changes {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = public"); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), change); err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = ''"); err != nil {
			t.Fatal(err)
		}
		after, err := logical.Inventory(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		var changed []string
		for _, o := range after {
			if !slices.Contains(before, o) {
				changed = append(changed, o.Class+" "+o.Identity)
			}
		}
		if !slices.Contains(changed, object) {
			t.Errorf("%s changed %q, want %s", change, changed, object)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
