package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect opens a session that ends with the test.
func connect(t *testing.T, to envdb.ConnString, o postgres.Options) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), to, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// one returns the single value of a query.
func one(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
	return string(results[len(results)-1].Rows[0][0])
}
