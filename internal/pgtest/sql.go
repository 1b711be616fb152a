package pgtest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// statementPatience is how long SQL of a test may take.
const statementPatience = time.Minute

// serial makes names unique within a test binary, and so within its clusters.
var serial atomic.Int64

var unfitForNames = regexp.MustCompile(`[^a-z0-9_]+`)

// unique returns a new name that shows which test made it.
func unique(t testing.TB, prefix string) string {
	name := unfitForNames.ReplaceAllString(strings.ToLower(t.Name()), "_")
	return fmt.Sprintf("%s_%.40s_%d", prefix, name, serial.Add(1))
}

// Connect opens a session as the superuser, which ends with the test.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementPatience)
	defer cancel()
	conn, err := postgres.Connect(ctx, s.URL(database), postgres.Options{App: "pgtest"})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// CreateDatabase makes an empty database, and removes it when the test ends,
// with whatever sessions, slots and prepared transactions it has by then.
func (s *Server) CreateDatabase(t testing.TB) string {
	t.Helper()
	name := unique(t, "d")
	s.Exec(t, cluster.Superuser, "CREATE DATABASE "+postgres.Quote(name)+" TEMPLATE template0")
	t.Cleanup(func() { s.DropDatabase(t, name) })
	return name
}

// DropDatabase removes a database, if it is there, and whatever would be in
// the way: its sessions, logical slots, subscriptions and prepared
// transactions.
func (s *Server) DropDatabase(t testing.TB, name string) {
	t.Helper()
	if s.QueryText(t, cluster.Superuser, "SELECT count(*) FROM pg_database WHERE datname = "+postgres.Literal(name)) == "0" {
		return
	}
	s.clear(t, name)
	s.Exec(t, cluster.Superuser, "DROP DATABASE IF EXISTS "+postgres.Quote(name)+" WITH (FORCE)")
}

// clear removes from a database what DROP DATABASE refuses to.
func (s *Server) clear(t testing.TB, name string) {
	t.Helper()
	db := postgres.Quote(name)
	s.Exec(t, cluster.Superuser,
		"ALTER DATABASE "+db+" IS_TEMPLATE false",
		"ALTER DATABASE "+db+" ALLOW_CONNECTIONS true",
		"SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active AND database = "+postgres.Literal(name),
		"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = "+postgres.Literal(name))
	inside := s.QueryText(t, name, `
		SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE database = current_database()
		UNION ALL
		SELECT c FROM pg_subscription, LATERAL (VALUES
			(1, format('ALTER SUBSCRIPTION %I DISABLE', subname)),
			(2, format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', subname)),
			(3, format('DROP SUBSCRIPTION %I', subname))) v(n, c)
		WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	for statement := range strings.Lines(inside) {
		s.Exec(t, name, strings.TrimSpace(statement))
	}
}

// CreateRole makes a role that can log in, with further attributes (such as
// "CREATEDB") as CREATE ROLE takes them, and returns its name and password.
func (s *Server) CreateRole(t testing.TB, attributes string) (name, password string) {
	t.Helper()
	name = unique(t, "r")
	password = "p@ss word/" + name
	s.Exec(t, cluster.Superuser, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s %s",
		postgres.Quote(name), postgres.Literal(password), attributes))
	return name, password
}

// Exec runs statements as the superuser, each outside a transaction block.
func (s *Server) Exec(t testing.TB, database string, sql ...string) {
	t.Helper()
	s.session(t, database, func(ctx context.Context, conn *pgx.Conn) {
		for _, statement := range sql {
			if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
				t.Fatalf("pgtest: %v\nin: %.500s", err, statement)
			}
		}
	})
}

// QueryText runs a query as the superuser and returns its rows as psql -At
// would: a line each, with | between the columns, and nothing for NULL.
func (s *Server) QueryText(t testing.TB, database, sql string) string {
	t.Helper()
	var lines []string
	s.session(t, database, func(ctx context.Context, conn *pgx.Conn) {
		results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
		if err != nil {
			t.Fatalf("pgtest: %v\nin: %.500s", err, sql)
		}
		for _, result := range results {
			for _, row := range result.Rows {
				lines = append(lines, joinColumns(row))
			}
		}
	})
	return strings.Join(lines, "\n")
}

func joinColumns(row [][]byte) string {
	var b strings.Builder
	for i, column := range row {
		if i > 0 {
			b.WriteByte('|')
		}
		b.Write(column)
	}
	return b.String()
}

// session runs f in a superuser's session of its own.
func (s *Server) session(t testing.TB, database string, f func(context.Context, *pgx.Conn)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), statementPatience)
	defer cancel()
	conn, err := postgres.Connect(ctx, s.URL(database), postgres.Options{App: "pgtest"})
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(context.Background())
	f(ctx, conn)
}
