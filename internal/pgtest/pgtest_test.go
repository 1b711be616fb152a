package pgtest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	a, b := s.CreateDatabase(t), s.CreateDatabase(t)
	s.Exec(t, a, "CREATE TABLE only_here (n int)", "INSERT INTO only_here VALUES (1), (2)")
	if got := s.QueryText(t, a, "SELECT n, NULL, n + 1 FROM only_here ORDER BY n"); got != "1||2\n2||3" {
		t.Errorf("rows = %q", got)
	}
	if got := s.QueryText(t, b, "SELECT to_regclass('only_here') IS NULL"); got != "t" {
		t.Errorf("the other database has the table")
	}
}

func TestDropDatabaseClearsTheWay(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TABLE x (n int)",
		"SELECT pg_create_logical_replication_slot('slot_"+db[:20]+"', 'test_decoding')",
		"CREATE SUBSCRIPTION \"a sub\" CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)",
		"ALTER SUBSCRIPTION \"a sub\" SET (slot_name = NONE)",
		"BEGIN; INSERT INTO x VALUES (1); PREPARE TRANSACTION 'left in "+db+"'")
	s.Connect(t, db)
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(db)+" IS_TEMPLATE true", "ALTER DATABASE "+postgres.Quote(db)+" ALLOW_CONNECTIONS false")
	s.DropDatabase(t, db)
	if got := s.QueryText(t, "postgres", "SELECT count(*) FROM pg_database WHERE datname = "+postgres.Literal(db)); got != "0" {
		t.Errorf("%s databases of the name are left", got)
	}
}

func TestPgBouncerLetsEveryRoleIn(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "")
	db := s.CreateDatabase(t)
	for _, mode := range []pgtest.PoolMode{pgtest.SessionPool, pgtest.TransactionPool} {
		url, admin := s.PgBouncer(t, mode)
		if name, err := postgres.DatabaseName(admin); err != nil || name != "pgbouncer" {
			t.Errorf("admin console %s, %v", admin, err)
		}
		_, place, _ := strings.Cut(url.Reveal(), "@")
		to := s.URLAs(role, password, db)
		user, _, _ := strings.Cut(to.Reveal(), "@")
		through, err := postgres.WithDatabase(envdb.ConnString(user+"@"+place), db)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := postgres.Connect(t.Context(), through, postgres.Options{})
		if err != nil {
			t.Fatalf("%s: %v", mode, err)
		}
		conn.Close(context.Background())
	}
}
