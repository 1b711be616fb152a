package crashtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
)

// Applications that come back at once, whenever they are thrown out, do not
// keep a mirror from its swap, nor see a database that is not whole.
func TestSessionsThatReconnectInALoop(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	old := s.copy.content(t)
	s.prod.earn(t)
	s.backup(t, s.prod)
	next := s.prod.content(t)
	sums := map[string]bool{strings.Split(old, "|")[0]: true, strings.Split(next, "|")[0]: true}

	ctx, stop := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	var mu sync.Mutex
	var served, waited int
	strange := map[string]int{}
	for range 10 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				sum, err := ask(ctx, s.copy.server.URL(s.copy.name))
				mu.Lock()
				switch {
				case err == nil && sums[sum]:
					served++
				case err == nil:
					strange["sum "+sum]++
				case renamed(err):
					waited++
				case ctx.Err() == nil && strings.Contains(err.Error(), "3D000"):
					strange[err.Error()]++
				}
				mu.Unlock()
			}
		})
	}
	c := s.start(t, "mirror", "prod", "copy")
	code := c.wait()
	switch code {
	case 0:
		same(t, "the live database", s.copy.content(t), next)
		s.run(t, 0, "rollback", "copy")
		same(t, "the live database after a rollback", s.copy.content(t), old)
	case 7:
		c.says("Next: ", "live as before")
		same(t, "the live database", s.copy.content(t), old)
	default:
		t.Errorf("%s ended with %d:\n%s", c, code, c.said())
	}
	stop()
	crowd.Wait()
	t.Logf("exit code %d; %d sessions were served, %d had to come again after the swap", code, served, waited)
	if len(strange) > 0 || served == 0 {
		t.Errorf("%d sessions were served; some saw %v", served, strange)
	}
	s.cleaned(t, "a crowd")
}

// renamed reports whether a login waited for a swap and was then told by
// PostgreSQL that the name has just become another database's (see
// InitPostgres). Without a pooler that pauses, that is what a swap costs.
func renamed(err error) bool {
	pgErr := new(pgconn.PgError)
	return errors.As(err, &pgErr) && pgErr.Code == "3D000" && strings.Contains(pgErr.Detail, "just been dropped or renamed")
}

// ask connects, asks for the sum of money, and stays until it is thrown out or
// has asked a few times.
func ask(ctx context.Context, url envdb.ConnString) (sum string, err error) {
	conn, err := pgx.Connect(ctx, url.Reveal())
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for range 20 {
		if err := conn.QueryRow(ctx, "SELECT sum(balance)::text FROM account").Scan(&sum); err != nil {
			return "", err
		}
	}
	return sum, nil
}

// A server without a free connection says no, and nothing happens; also when
// it has some, but too few.
func TestNoConnectionLeft(t *testing.T) {
	t.Parallel()
	const most = 14 // three of them are the superuser's
	target := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"max_connections": fmt.Sprint(most)}})
	role, password := target.CreateRole(t, "CREATEDB")
	target.Exec(t, "postgres", "GRANT pg_signal_backend TO "+role, "GRANT CREATE ON SCHEMA public TO "+role)
	s := newScene(t, plan{target: target, noBackups: true,
		targetURL: func(db string) envdb.ConnString { return target.URLAs(role, password, db) }})
	for _, d := range []*database{s.copy, s.staging} {
		target.Exec(t, "postgres", "ALTER DATABASE "+d.name+" OWNER TO "+role)
	}
	s.backup(t, s.prod)
	live := s.copy.content(t)
	oid := target.QueryText(t, "postgres", "SELECT oid FROM pg_database WHERE datname = '"+s.copy.name+"'")
	for free := range 4 {
		leave := occupy(t, target.URLAs(role, password, s.copy.name), most-3-free)
		c := s.start(t, "mirror", "prod", "copy")
		code := c.wait()
		what := fmt.Sprintf("with %d connections free", free)
		t.Logf("%s: exit code %d\n%s", what, code, c.err.String())
		leave()
		if code == 0 {
			if free == 0 {
				t.Errorf("%s: it worked", what)
			}
			break
		}
		if code != 4 && code != 7 {
			t.Errorf("%s: exit code %d, want 4 or 7:\n%s", what, code, c.said())
		}
		c.says("Next: ")
		same(t, what+": the live database", s.copy.content(t), live)
		same(t, what+": its oid", target.QueryText(t, "postgres", "SELECT oid FROM pg_database WHERE datname = '"+s.copy.name+"'"), oid)
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s: it left %q", what, left)
		}
	}
	s.run(t, 0, "mirror", "prod", "copy")
	same(t, "the live database", s.copy.content(t), s.prod.content(t))
	s.cleaned(t, "no connections")
}

// occupy opens sessions, and returns what closes them.
func occupy(t *testing.T, url envdb.ConnString, sessions int) (leave func()) {
	t.Helper()
	var open []*pgx.Conn
	leave = func() {
		for _, conn := range open {
			_ = conn.Close(context.Background())
		}
	}
	for range sessions {
		conn, err := pgx.Connect(t.Context(), url.Reveal())
		if err != nil {
			leave()
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	return leave
}
