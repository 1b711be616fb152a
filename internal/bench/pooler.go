package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// pooler is a PgBouncer in front of the target.
type pooler struct {
	daemon   *cluster.Daemon
	dir      string
	port     int
	password string
}

// pgbouncer returns the program. Debian's place is not on everyone's PATH.
func pgbouncer() string {
	if program, err := exec.LookPath("pgbouncer"); err == nil {
		return program
	}
	return "/usr/sbin/pgbouncer"
}

// startPooler starts PgBouncer, which gives a server connection away after
// each transaction.
func (b *bench) startPooler(ctx context.Context) (*pooler, error) {
	port, err := cluster.FreePort()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.work, "pgbouncer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	ini, users, log := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users"), filepath.Join(dir, "log")
	err = errors.Join(
		os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", cluster.Superuser, b.target.Password()), 0o644),
		os.WriteFile(ini, fmt.Appendf(nil, `[databases]
* = host=127.0.0.1 port=%d

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
pool_mode = transaction
auth_type = scram-sha-256
auth_file = %s
admin_users = %s
max_client_conn = 200
default_pool_size = 20
`, b.target.Port(), port, users, cluster.Superuser), 0o644))
	if err != nil {
		return nil, err
	}
	p := &pooler{dir: dir, port: port, password: b.target.Password()}
	if p.daemon, err = cluster.StartDaemon(pgbouncer(), log, ini); err != nil {
		return nil, err
	}
	return p, p.await(ctx, log)
}

// await waits until the console answers.
func (p *pooler) await(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := postgres.ConnectConsole(ctx, p.url("pgbouncer"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
			continue
		case <-p.daemon.Done():
		case <-ctx.Done():
		}
		text, _ := os.ReadFile(log) // it is for the message only
		return errors.Join(fmt.Errorf("PgBouncer does not answer: %w\n%s", err, lastLines(string(text), 5)), p.stop())
	}
}

// url returns how the superuser reaches a database through the pooler.
func (p *pooler) url(database string) envdb.ConnString {
	return envdb.ConnString("postgres://" + cluster.Superuser + ":" + p.password + "@127.0.0.1:" + strconv.Itoa(p.port) + "/" + database)
}

func (p *pooler) stop() error { return errors.Join(p.daemon.Stop(), os.RemoveAll(p.dir)) }
