package generation_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	database := s.CreateDatabase(t)
	prod := envdb.Environment{Name: "prod", Tier: envdb.Production, URL: s.URL(database)}
	protected := []generation.Protected{{
		Name:     "prod",
		Identify: func(ctx context.Context) (envdb.Identity, error) { return generation.Identify(ctx, prod) },
	}}
	pooled, _ := s.PgBouncer(t, pgtest.TransactionPool)
	through, err := postgres.WithDatabase(pooled, database)
	if err != nil {
		t.Fatal(err)
	}
	other := s.CreateDatabase(t)
	cases := []struct {
		name string
		env  envdb.Environment
		same bool
	}{
		{"the same url", envdb.Environment{URL: prod.URL}, true},
		{"another name of the host", envdb.Environment{URL: onHost(t, prod.URL, "localhost")}, true},
		{"a unix socket", envdb.Environment{URL: onSocket(t, s, prod.URL)}, true},
		{"behind a pooler", envdb.Environment{URL: through, DirectURL: prod.URL}, true},
		{"only behind a pooler", envdb.Environment{URL: through}, true},
		{"another database of that server", envdb.Environment{URL: s.URL(other)}, false},
		{"a database that is not there yet", envdb.Environment{URL: s.URL("not_there_yet")}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.env.Name = "staging"
			id, err := generation.Identify(t.Context(), c.env)
			if err != nil {
				t.Fatal(problem(err))
			}
			err = generation.Guard(t.Context(), "staging", id, protected)
			if !c.same {
				if err != nil {
					t.Error(problem(err))
				}
				return
			}
			wants(t, err, envdb.ErrRefused, "staging", "prod", "protected", "nothing was changed")
		})
	}
	t.Run("a pooler that leads elsewhere", func(t *testing.T) {
		_, err := generation.Identify(t.Context(), envdb.Environment{
			Name: "staging", URL: through, DirectURL: s.URL(other), Pooler: envdb.Pooler{Database: database},
		})
		wants(t, err, envdb.ErrRefused, "lead to different databases")
	})
}

func TestGuardWhileTheProtectedOneIsDown(t *testing.T) {
	t.Parallel()
	down := func(context.Context) (envdb.Identity, error) { return envdb.Identity{}, errors.New("no answer") }
	target := envdb.Identity{SystemIdentifier: "7", DatabaseOID: 16384}
	other := envdb.Identity{SystemIdentifier: "8", DatabaseOID: 16384}
	guard := func(recorded *envdb.Identity) error {
		return generation.Guard(t.Context(), "staging", target, []generation.Protected{{Name: "prod", Identify: down, Recorded: recorded}})
	}
	wants(t, guard(&target), envdb.ErrRefused, "protected")
	wants(t, guard(nil), envdb.ErrRefused, "no answer", "envdb identity accept prod")
	if err := guard(&other); err != nil {
		t.Error(problem(err))
	}
}

// A url of the protected environment that leads elsewhere says nothing of where
// the real one is: what was recorded does. A physical copy of the cluster has
// its identifier and oids, and is another database all the same.
func TestGuardWhileTheProtectedUrlIsWrong(t *testing.T) {
	t.Parallel()
	recorded := envdb.Identity{SystemIdentifier: "7", PostmasterStart: time.Unix(1, 0), DatabaseOID: 16384}
	restarted, replica, elsewhere, missing := recorded, recorded, recorded, recorded
	restarted.PostmasterStart, replica.PostmasterStart = time.Unix(2, 0), time.Unix(3, 0)
	elsewhere.DatabaseOID, missing.DatabaseOID = 16385, 0
	for name, c := range map[string]struct {
		target, now envdb.Identity
		refused     string
	}{
		"itself":                         {recorded, recorded, "is protected"},
		"itself, restarted":              {restarted, restarted, "is protected"},
		"another database answers":       {recorded, elsewhere, "recorded as prod"},
		"no database is there":           {recorded, missing, "recorded as prod"},
		"another one, restarted":         {restarted, elsewhere, "recorded as prod"},
		"a replica":                      {replica, restarted, ""},
		"another database of the server": {elsewhere, recorded, ""},
	} {
		err := generation.Guard(t.Context(), "staging", c.target, []generation.Protected{{
			Name: "prod", Identify: func(context.Context) (envdb.Identity, error) { return c.now, nil }, Recorded: &recorded,
		}})
		if c.refused == "" && err != nil {
			t.Errorf("%s: %s", name, problem(err))
		}
		if c.refused != "" {
			wants(t, err, envdb.ErrRefused, c.refused, "nothing was changed")
		}
	}
}

func onHost(t *testing.T, to envdb.ConnString, host string) envdb.ConnString {
	t.Helper()
	u, err := url.Parse(to.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host + ":" + u.Port()
	return envdb.ConnString(u.String())
}

func onSocket(t *testing.T, s *pgtest.Server, to envdb.ConnString) envdb.ConnString {
	t.Helper()
	u, err := url.Parse(to.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	q := url.Values{"host": {s.QueryText(t, "postgres", "SELECT split_part(current_setting('unix_socket_directories'), ',', 1)")}, "port": {u.Port()}}
	u.Host, u.RawQuery = "", q.Encode()
	return envdb.ConnString(u.String())
}
