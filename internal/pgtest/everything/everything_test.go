package everything_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// The schema is fair: pg_dump and psql make an equal copy of it, twice in one
// cluster, and nothing of it is left when it is dropped.
func TestSurvivesDumpAndRestore(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	const prefix = "fair"
	t.Cleanup(func() { // runs last, after the databases are gone
		s.Exec(t, cluster.Superuser, everything.DropRolesSQL(prefix))
	})
	source, copied := s.CreateDatabase(t), s.CreateDatabase(t)
	s.Exec(t, source, everything.SQL(prefix))

	restore(t, s.URL(source), s.URL(copied))

	equal.Check(t, s.URL(source), s.URL(copied), equal.Options{
		Parts: []equal.Part{equal.Definitions, equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Locale},
	})
	// pg_dump without --create leaves settings and the comment behind; Diff says so.
	differences, err := equal.Diff(t.Context(), s.URL(source), s.URL(copied), equal.Options{
		Parts: []equal.Part{equal.Settings, equal.Comment},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(differences) != 10 {
		t.Errorf("%d differences in settings and comment, want 10: %q", len(differences), differences)
	}
	s.Exec(t, copied, everything.ReleaseSQL())
	if got := s.QueryText(t, copied, "SELECT count(*) FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid WHERE datname = current_database()"); got != "0" {
		t.Errorf("%s subscriptions are left", got)
	}
}

// kinds are the types of entries that pg_dump --schema-only can write, but for
// SECURITY LABEL and for those of whole clusters.
var kinds = []string{
	"ACCESS METHOD", "ACL", "AGGREGATE", "CAST", "CHECK CONSTRAINT", "COLLATION", "COMMENT", "CONSTRAINT", "CONVERSION",
	"DEFAULT", "DEFAULT ACL", "DOMAIN", "EVENT TRIGGER", "EXTENSION", "FK CONSTRAINT", "FOREIGN DATA WRAPPER", "FOREIGN TABLE",
	"FUNCTION", "INDEX", "INDEX ATTACH", "MATERIALIZED VIEW", "OPERATOR", "OPERATOR CLASS", "OPERATOR FAMILY", "POLICY",
	"PROCEDURAL LANGUAGE", "PROCEDURE", "PUBLICATION", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA", "ROW SECURITY",
	"RULE", "SCHEMA", "SEQUENCE", "SEQUENCE OWNED BY", "SERVER", "SHELL TYPE", "STATISTICS", "SUBSCRIPTION", "TABLE",
	"TABLE ATTACH", "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE",
	"TRANSFORM", "TRIGGER", "TYPE", "USER MAPPING", "VIEW",
}

func TestHoldsEveryKindOfObject(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	const prefix = "kinds"
	t.Cleanup(func() { s.Exec(t, cluster.Superuser, everything.DropRolesSQL(prefix)) })
	db := s.CreateDatabase(t)
	s.Exec(t, db, everything.SQL(prefix))
	text := dump(t, s.URL(db), "--schema-only")
	for _, kind := range kinds {
		if !bytes.Contains(text, []byte("; Type: "+kind+"; Schema: ")) {
			t.Errorf("pg_dump shows no %s", kind)
		}
	}
}

func TestRolesHaveThePrefix(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	s.Exec(t, cluster.Superuser, everything.RolesSQL("only_roles"))
	for _, role := range everything.Roles("only_roles") {
		if len(role) > 63 || role[:len("only_roles")] != "only_roles" {
			t.Errorf("role %q: too long, or without the prefix", role)
		}
	}
	count := "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'only\\_roles%'"
	if got := s.QueryText(t, cluster.Superuser, count); got != "5" {
		t.Errorf("%s roles, want 5", got)
	}
	s.Exec(t, cluster.Superuser, everything.DropRolesSQL("only_roles"), everything.DropRolesSQL("only_roles"))
	if got := s.QueryText(t, cluster.Superuser, count); got != "0" {
		t.Errorf("%s roles are left", got)
	}
}

func TestOddTables(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db,
		everything.MegabyteRows(`"mega bytes"`, 2),
		everything.ManyColumns("many_columns", 3),
		everything.ZeroColumns("zero_columns", 4))
	for _, test := range []struct{ query, want string }{
		{`SELECT id, length(t), length(b) FROM "mega bytes" ORDER BY id`, "1|1048576|1048576\n2|1048576|1048576"},
		{"SELECT count(*), count(c1600), sum(c1) FROM many_columns", "3|2|9"},
		{"SELECT count(*) FROM pg_attribute WHERE attrelid = 'many_columns'::regclass AND attnum > 0", "1600"},
		{"SELECT count(*) FROM zero_columns", "4"},
	} {
		if got := s.QueryText(t, db, test.query); got != test.want {
			t.Errorf("%s = %q, want %q", test.query, got, test.want)
		}
	}
}

// restore copies a database with pg_dump and psql, which stops at the first
// error.
func restore(t *testing.T, from, to envdb.ConnString) {
	t.Helper()
	psql := exec.CommandContext(t.Context(), program(t, "psql"), "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1", "--dbname="+to.Reveal())
	psql.Stdin = bytes.NewReader(dump(t, from))
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
}

func dump(t *testing.T, from envdb.ConnString, options ...string) []byte {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), program(t, "pg_dump"), append(options, "--dbname="+from.Reveal())...).Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return text
}

func program(t *testing.T, name string) string {
	t.Helper()
	programs, err := pgtest.Source.Programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(programs.Dir, name)
}
