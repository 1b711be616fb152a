package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

const secret = "s3cr3t"

func TestConnectExplains(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	closed, err := cluster.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	silent := listenSilently(t)
	role, _ := s.CreateRole(t, "")
	s.Exec(t, "postgres", "ALTER ROLE "+role+" PASSWORD '"+secret+"'")
	locked := s.CreateDatabase(t)
	s.Exec(t, "postgres", "REVOKE CONNECT ON DATABASE "+locked+" FROM PUBLIC")
	port := s.Port()

	tests := map[string]struct {
		url  string
		kind error
		text string
	}{
		"wrong password":     {fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres", secret, port), envdb.ErrUnreachable, "password authentication failed"},
		"no password":        {fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", port), envdb.ErrUnreachable, "password"},
		"unknown role":       {fmt.Sprintf("postgres://nobody_known:%s@127.0.0.1:%d/postgres", secret, port), envdb.ErrUnreachable, "nobody_known"},
		"unknown database":   {fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/missing", role, secret, port), envdb.ErrNotFound, "missing"},
		"no right":           {fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s", role, secret, port, locked), envdb.ErrPreflight, "permission denied"},
		"server down":        {fmt.Sprintf("postgres://u:%s@127.0.0.1:%d/db", secret, closed), envdb.ErrUnreachable, "refused"},
		"no such socket":     {fmt.Sprintf("postgres://u:%s@/db?host=/tmp/no-such-directory", secret), envdb.ErrUnreachable, "no such file"},
		"no such host":       {fmt.Sprintf("postgres://u:%s@no-such-host.invalid/db", secret), envdb.ErrUnreachable, "no-such-host.invalid"},
		"no answer":          {fmt.Sprintf("postgres://u:%s@%s/db?sslmode=disable&connect_timeout=2", secret, silent), envdb.ErrUnreachable, silent},
		"all hosts down":     {fmt.Sprintf("postgres://u:%s@127.0.0.1:%d,127.0.0.1:%d/db?sslmode=disable", secret, closed, closed), envdb.ErrUnreachable, "refused"},
		"space in password":  {"postgres://u:pa ss" + secret + "@ho st:x/db", envdb.ErrMisuse, "cannot be read"},
		"slash in password":  {"postgres://u:a/" + secret + "@host:5432/db", envdb.ErrMisuse, "cannot be read"},
		"bad escape":         {"postgres://u:" + secret + "%zz@host/db", envdb.ErrMisuse, "cannot be read"},
		"unquoted password":  {"host=h password=first " + secret + " user=u", envdb.ErrMisuse, "cannot be read"},
		"unended quote":      {"host=h password='" + secret, envdb.ErrMisuse, "cannot be read"},
		"unknown sslmode":    {"postgres://u:" + secret + "@h/db?sslmode=maybe", envdb.ErrMisuse, "cannot be read"},
		"missing root cert":  {"postgres://u:" + secret + "@h/db?sslmode=verify-full&sslrootcert=/no/such.crt", envdb.ErrMisuse, "/no/such.crt"},
		"not a url at all":   {secret, envdb.ErrMisuse, "cannot be read"},
		"unknown parameter":  {fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/postgres?nonsense=1", role, secret, port), nil, "nonsense"},
		"another protocol":   {"mysql://u:" + secret + "@h/db", envdb.ErrMisuse, "cannot be read"},
		"password in query":  {fmt.Sprintf("postgres://127.0.0.1:%d/db?user=u&password=%s", closed, secret), envdb.ErrUnreachable, "refused"},
		"password with port": {"postgres://u:sec:" + secret + "@h:p/db", envdb.ErrMisuse, "cannot be read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := postgres.Connect(t.Context(), envdb.ConnString(tt.url), postgres.Options{})
			if err == nil {
				conn.Close(t.Context())
				t.Fatal("connected")
			}
			if tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("kind of %q is not %v", err, tt.kind)
			}
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error = %q, want %q in it", err, tt.text)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %q", err)
			}
			state, next := envdb.Advice(err)
			if errors.Is(err, envdb.ErrMisuse) && (state != "nothing was changed" || tt.text == "cannot be read" && !strings.Contains(next, "percent-encoded")) {
				t.Errorf("%q: state %q, next %q", err, state, next)
			}
			if next == "" && tt.kind != nil {
				t.Errorf("%q says nothing of what to do next", err)
			}
			noSecret(t, err)
		})
	}
}

// noSecret fails if any error in the tree shows the secret.
func noSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, secret) {
		t.Errorf("%T shows the secret: %s", err, text)
	}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		noSecret(t, x.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			noSecret(t, e)
		}
	}
}

// listenSilently accepts connections and never answers.
func listenSilently(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestConnectIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := postgres.Connect(ctx, envdb.ConnString("postgres://u:"+secret+"@"+listenSilently(t)+"/db"), postgres.Options{})
	if !errors.Is(err, envdb.ErrInterrupted) || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = postgres.Connect(ctx, envdb.ConnString("postgres://u:"+secret+"@"+listenSilently(t)+"/db"), postgres.Options{})
	if !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("after a deadline: %v", err)
	}
}

func TestConnectOutOfConnections(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{
		"max_connections": "5", "superuser_reserved_connections": "3", "max_wal_senders": "0", "wal_level": "replica",
	}})
	role, password := s.CreateRole(t, "")
	to := s.URLAs(role, password, "postgres")
	// A session that has just ended may still hold its slot, so it is not
	// certain how many fit; five do not.
	var err error
	for range 5 {
		conn, failed := postgres.Connect(t.Context(), to, postgres.Options{})
		if failed != nil {
			err = failed
			break
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	if !errors.Is(err, envdb.ErrBusy) {
		t.Fatalf("error = %v", err)
	}
	if _, next := envdb.Advice(err); !strings.Contains(next, "max_connections") {
		t.Errorf("next = %q", next)
	}
}

func TestConnectAfterTheServerDied(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{})
	conn := connect(t, s.URL("postgres"), postgres.Options{})
	if err := s.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), "SELECT 1")
	if err := postgres.Explain(err, "ask"); !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("statement: %v", err)
	}
	if _, err := postgres.Connect(t.Context(), s.URL("postgres"), postgres.Options{}); !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("connect: %v", err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	connect(t, s.URL("postgres"), postgres.Options{})
}

func TestPinOverridesWhatTheRoleSays(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "")
	for _, setting := range []string{
		"statement_timeout = '1s'", "lock_timeout = '1s'", "idle_in_transaction_session_timeout = '9s'", "idle_session_timeout = '9s'",
		"search_path = public, pg_catalog", "DateStyle = 'German'", "IntervalStyle = 'iso_8601'", "TimeZone = 'Asia/Tokyo'",
		"extra_float_digits = 0", "bytea_output = 'escape'", "client_encoding = 'LATIN1'", "default_transaction_read_only = on",
		"synchronize_seqscans = on", "row_security = on", "default_transaction_isolation = 'serializable'",
	} {
		s.Exec(t, "postgres", "ALTER ROLE "+postgres.Quote(role)+" SET "+setting)
	}
	conn := connect(t, s.URLAs(role, password, "postgres"), postgres.Options{App: "envdb/" + strings.Repeat("é", 40), Pin: true})
	want := map[string]string{
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0",
		"search_path": "", "DateStyle": "ISO, YMD", "IntervalStyle": "postgres", "TimeZone": "UTC", "extra_float_digits": "3",
		"bytea_output": "hex", "client_encoding": "UTF8", "default_transaction_read_only": "off", "synchronize_seqscans": "off",
		"row_security": "off", "default_transaction_isolation": "read committed",
	}
	for name, value := range want {
		if got := one(t, conn, "SHOW "+name); got != value {
			t.Errorf("%s = %q, want %q", name, got, value)
		}
	}
	// PostgreSQL shows what is not ASCII as ? or \x…; what counts is that it
	// took the name without complaint.
	if got := one(t, conn, "SHOW application_name"); !strings.HasPrefix(got, "envdb/") {
		t.Errorf("application_name = %q", got)
	}
}

func TestConnectReadsEveryFormOfURL(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	const odd = `a "b" c'd/ü?&%#=@\`
	s.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(odd)+" TEMPLATE template0")
	t.Cleanup(func() { s.DropDatabase(t, odd) })
	closed, err := cluster.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	role, password := s.CreateRole(t, "")
	user := url.UserPassword(role, password).String()

	for name, form := range map[string]string{
		"uri":             fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres", user, s.Port()),
		"postgresql uri":  fmt.Sprintf("postgresql://%s@127.0.0.1:%d/postgres?sslmode=prefer", user, s.Port()),
		"no path":         fmt.Sprintf("postgres://%s@127.0.0.1:%d?dbname=postgres&sslmode=disable", user, s.Port()),
		"path and dbname": fmt.Sprintf("postgres://%s@127.0.0.1:%d/nowhere?dbname=postgres", user, s.Port()),
		"two hosts":       fmt.Sprintf("postgres://%s@127.0.0.1:%d,127.0.0.1:%d/postgres", user, closed, s.Port()),
		"socket uri":      fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d", user, url.QueryEscape(s.SocketDir()), s.Port()),
		"socket in host":  fmt.Sprintf("postgres://%s@%s:%d/postgres", user, url.QueryEscape(s.SocketDir()), s.Port()),
		"keywords":        fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=postgres", s.Port(), role, password),
		"keyword spaces":  fmt.Sprintf("  host = 127.0.0.1 port = %d user= %s password ='%s' dbname = postgres ", s.Port(), role, password),
		"keyword socket":  fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=postgres application_name='x y'", s.SocketDir(), s.Port(), role, password),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := envdb.ConnString(form)
			if got, err := postgres.DatabaseName(to); err != nil || got != "postgres" {
				t.Errorf("DatabaseName = %q, %v", got, err)
			}
			conn := connect(t, to, postgres.Options{})
			if got := one(t, conn, "SELECT current_user"); got != role {
				t.Errorf("current_user = %q", got)
			}
			other, err := postgres.WithDatabase(to, odd)
			if err != nil {
				t.Fatal(err)
			}
			if got := one(t, connect(t, other, postgres.Options{}), "SELECT current_database()"); got != odd {
				t.Errorf("WithDatabase leads to %q", got)
			}
			if got := psql(t, other, "SELECT current_user || ' ' || current_database()"); got != role+" "+odd {
				t.Errorf("psql came to %q", got)
			}
			conn = connect(t, to, postgres.Options{Database: odd})
			if got := one(t, conn, "SELECT current_database()"); got != odd {
				t.Errorf("Options.Database leads to %q", got)
			}
		})
	}
}
