package pgtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// PoolMode says when PgBouncer gives a server connection to the next client.
type PoolMode string

// The pool modes that tests use.
const (
	SessionPool     PoolMode = "session"
	TransactionPool PoolMode = "transaction"
)

// PgBouncer starts a PgBouncer in front of the server until the test ends. It
// returns how the superuser reaches the database "postgres" through it, and
// its admin console. For other databases or roles, see postgres.WithDatabase
// and [Server.URLAs]; every role of the server may log in.
func (s *Server) PgBouncer(t testing.TB, mode PoolMode) (url, admin envdb.ConnString) {
	t.Helper()
	h, err := newHome() // one of a name without a lock would be swept away as an orphan
	if err != nil {
		t.Fatalf("pgtest: pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		os.RemoveAll(h.path)
		h.release()
	})
	port := s.startPgBouncer(t, h.path, mode)
	return s.throughPgBouncer("postgres", port), s.throughPgBouncer("pgbouncer", port)
}

func (s *Server) throughPgBouncer(database string, port int) envdb.ConnString {
	return envdb.ConnString(fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s", cluster.Superuser, s.Password(), port, database))
}

// portTries is how many ports are tried: one that was free a moment ago may be
// taken by now.
const portTries = 3

// startPgBouncer starts it and returns its port.
func (s *Server) startPgBouncer(t testing.TB, dir string, mode PoolMode) (port int) {
	t.Helper()
	log := filepath.Join(dir, "log")
	for range portTries {
		port, err := cluster.FreePort()
		if err != nil {
			t.Fatalf("pgtest: pgbouncer: %v", err)
		}
		daemon, err := cluster.StartDaemon(pgbouncerPath(t), log, s.writeConfig(t, dir, mode, port))
		if err != nil {
			t.Fatalf("pgtest: pgbouncer: %v", err)
		}
		t.Cleanup(func() { daemon.Stop() })
		if answers(t, daemon, s.throughPgBouncer("pgbouncer", port), log) {
			return port
		}
	}
	t.Fatalf("pgtest: pgbouncer ended: %s", tail(log))
	return 0
}

func pgbouncerPath(t testing.TB) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		path := filepath.Join(dir, "pgbouncer")
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	t.Fatal("pgtest: PgBouncer is not installed\nNext: run `make deps`, or: sudo apt-get install pgbouncer")
	return ""
}

// writeConfig writes PgBouncer's configuration. Passwords of roles other than
// the superuser are looked up on the server.
func (s *Server) writeConfig(t testing.TB, dir string, mode PoolMode, port int) (path string) {
	t.Helper()
	users := fmt.Sprintf("%q %q\n", cluster.Superuser, s.Password())
	ini := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d auth_user=%s

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
pool_mode = %s
auth_type = scram-sha-256
auth_file = %s
admin_users = %s
max_client_conn = 200
default_pool_size = 20
`, s.Port(), cluster.Superuser, port, mode, filepath.Join(dir, "users"), cluster.Superuser)
	path = filepath.Join(dir, "pgbouncer.ini")
	for file, text := range map[string]string{path: ini, filepath.Join(dir, "users"): users, filepath.Join(dir, "log"): ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatalf("pgtest: pgbouncer: %v", err)
		}
	}
	return path
}

// answers waits until the admin console answers, and reports false if PgBouncer
// ended instead.
func answers(t testing.TB, daemon *cluster.Daemon, admin envdb.ConnString, log string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := postgres.ConnectConsole(ctx, admin)
		if err == nil {
			conn.Close(ctx)
			return true
		}
		select {
		case <-tick.C:
		case <-daemon.Done():
			return false
		case <-ctx.Done():
			t.Fatalf("pgtest: pgbouncer does not answer: %v\n%s", err, tail(log))
		}
	}
}

func tail(path string) string {
	text, _ := os.ReadFile(path) // it is for an error message only
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
