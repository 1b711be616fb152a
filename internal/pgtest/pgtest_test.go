package pgtest_test

import (
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
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
