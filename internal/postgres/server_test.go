package postgres_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestIdentityIsTheServersOwn(t *testing.T) {
	t.Parallel()
	s, other := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{})
	db := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "")
	pooled, _ := s.PgBouncer(t, pgtest.TransactionPool)

	direct := connect(t, s.URL("postgres"), postgres.Options{})
	want, err := postgres.ReadIdentity(t.Context(), direct, db)
	if err != nil || want.DatabaseOID == 0 || want.SystemIdentifier == "" || want.PostmasterStart.IsZero() {
		t.Fatalf("identity = %+v, %v", want, err)
	}
	for name, to := range map[string]envdb.ConnString{
		"socket":         s.SocketURL("postgres"),
		"another role":   s.URLAs(role, password, "postgres"),
		"localhost":      envdb.ConnString(strings.Replace(s.URL("postgres").Reveal(), "127.0.0.1", "localhost", 1)),
		"through pooler": pooled,
	} {
		conn := connect(t, to, postgres.Options{})
		got, err := postgres.ReadIdentity(t.Context(), conn, db)
		if err != nil || !got.SameDatabase(want) {
			t.Errorf("%s: identity = %+v, %v, want %+v", name, got, err, want)
		}
		if same, err := postgres.SameServer(t.Context(), direct, conn); err != nil || !same {
			t.Errorf("%s: SameServer = %v, %v", name, same, err)
		}
	}
	foreign := connect(t, other.URL("postgres"), postgres.Options{})
	if same, err := postgres.SameServer(t.Context(), direct, foreign); err != nil || same {
		t.Errorf("another cluster: SameServer = %v, %v", same, err)
	}
	if got, err := postgres.ReadIdentity(t.Context(), direct, "no such database"); err != nil || got.DatabaseOID != 0 {
		t.Errorf("a missing database: %+v, %v", got, err)
	}
}

func TestIdentityIsNeverGuessed(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{})
	s.Exec(t, "postgres", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	role, password := s.CreateRole(t, "")
	_, err := postgres.ReadIdentity(t.Context(), connect(t, s.URLAs(role, password, "postgres"), postgres.Options{}), "postgres")
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(next, "GRANT EXECUTE") {
		t.Errorf("error = %v, next = %q", err, next)
	}
}

func TestDetectPooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	session, _ := s.PgBouncer(t, pgtest.SessionPool)
	transaction, _ := s.PgBouncer(t, pgtest.TransactionPool)
	for name, tt := range map[string]struct {
		to     envdb.ConnString
		pooled bool
	}{
		"direct": {s.URL("postgres"), false}, "socket": {s.SocketURL("postgres"), false},
		"session pool": {session, true}, "transaction pool": {transaction, true},
	} {
		for range 3 {
			conn := connect(t, tt.to, postgres.Options{Pin: true})
			if why, err := postgres.DetectPooler(t.Context(), conn); err != nil || (why != "") != tt.pooled {
				t.Errorf("%s: pooler = %q, %v", name, why, err)
			}
		}
	}
}

func TestConsoleTakesCommands(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	_, admin := s.PgBouncer(t, pgtest.TransactionPool)
	conn, err := postgres.ConnectConsole(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, command := range []string{"PAUSE", "RESUME", "RECONNECT"} {
		if _, err := conn.Exec(t.Context(), command); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestReadRole(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	group, _ := s.CreateRole(t, "")
	plain, password := s.CreateRole(t, "CREATEDB BYPASSRLS IN ROLE pg_read_all_data, "+postgres.Quote(group))
	r, err := postgres.ReadRole(t.Context(), connect(t, s.URLAs(plain, password, "postgres"), postgres.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	if r.Name != plain || r.Superuser || !r.CanCreateDB() || !r.SeesAllRows() || r.CreateRole || !r.ReadAllData || r.SignalBackend {
		t.Errorf("role = %+v", r)
	}
	if !slices.Contains(r.MemberOf, group) || slices.Contains(r.MemberOf, plain) {
		t.Errorf("member of %q", r.MemberOf)
	}
	r, err = postgres.ReadRole(t.Context(), connect(t, s.URL("postgres"), postgres.Options{}))
	if err != nil || !r.Superuser || !r.CanCreateDB() || !r.SeesAllRows() || !r.SignalBackend {
		t.Errorf("superuser = %+v, %v", r, err)
	}
}

func TestTerminateSessions(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db, bystander := s.CreateDatabase(t), s.CreateDatabase(t)
	admin := connect(t, s.URL("postgres"), postgres.Options{})
	id, err := postgres.ReadIdentity(t.Context(), admin, db)
	if err != nil {
		t.Fatal(err)
	}
	first, second := connect(t, s.URL(db), postgres.Options{}), connect(t, s.URL(db), postgres.Options{})
	spared, elsewhere := connect(t, s.URL(db), postgres.Options{}), connect(t, s.URL(bystander), postgres.Options{})

	n, err := postgres.TerminateSessions(t.Context(), admin, id.DatabaseOID, 5*time.Second, spared.PgConn().PID())
	if err != nil || n != 2 {
		t.Errorf("ended %d, %v", n, err)
	}
	if first.Ping(t.Context()) == nil || second.Ping(t.Context()) == nil {
		t.Error("a session survived")
	}
	if err := errors.Join(spared.Ping(t.Context()), elsewhere.Ping(t.Context())); err != nil {
		t.Errorf("a session was ended that should not be: %v", err)
	}

	connect(t, s.URL(db), postgres.Options{})
	role, password := s.CreateRole(t, "CREATEDB")
	weak := connect(t, s.URLAs(role, password, "postgres"), postgres.Options{})
	if _, err := postgres.TerminateSessions(t.Context(), weak, id.DatabaseOID, time.Second); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("without the right: %v", err)
	}
}

func TestQuoting(t *testing.T) {
	t.Parallel()
	conn := connect(t, pgtest.Start(t).URL("postgres"), postgres.Options{})
	for _, conforming := range []string{"on", "off"} {
		one(t, conn, "SELECT set_config('standard_conforming_strings', '"+conforming+"', false)")
		for _, s := range []string{"", "plain", "it's", `back\slash`, `\'`, `'\`, `a"b`, "ünï✓\n\t", "; DROP"} {
			if got := one(t, conn, "SELECT "+postgres.Literal(s)); got != s {
				t.Errorf("Literal(%q) means %q", s, got)
			}
			if s == "" {
				continue
			}
			if got := one(t, conn, "SELECT column_name::text FROM (SELECT 1 AS "+postgres.Quote(s)+") x, LATERAL (SELECT key AS column_name FROM json_each(row_to_json(x))) k"); got != s {
				t.Errorf("Quote(%q) names %q", s, got)
			}
		}
	}
	if got := postgres.QuoteName(`a"b`, "C d"); got != `"a""b"."C d"` {
		t.Errorf("QuoteName = %s", got)
	}
}

func TestFindTools(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	tools, err := postgres.FindTools(t.Context(), s.Major())
	if err != nil || tools.Major < s.Major() || tools.Dump == "" {
		t.Errorf("tools = %+v, %v", tools, err)
	}
	_, err = postgres.FindTools(t.Context(), 99)
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(next, "postgresql-client-99") {
		t.Errorf("error = %v, next = %q", err, next)
	}
}

func TestServerVersion(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	v, err := postgres.ReadServerVersion(t.Context(), connect(t, s.URL("postgres"), postgres.Options{}))
	if err != nil || v.Major() != s.Major() {
		t.Errorf("version = %v, %v", v, err)
	}
	if got := postgres.ServerVersion(150018).String(); got != "15.18" {
		t.Errorf("String = %q", got)
	}
}
