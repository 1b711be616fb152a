package generation_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestADarkVersionIsShut(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	role, password := s.CreateRole(t, "")
	if conn, err := pgx.Connect(t.Context(), s.URLAs(role, password, d.Name).Reveal()); err == nil {
		conn.Close(t.Context())
		t.Error("anyone may connect to a dark version")
	}
	if d.State != generation.Building || d.Marker.OID != d.OID || d.Marker.Neutrality != envdb.Raw {
		t.Errorf("got %+v", d.Marker)
	}
	_, err := g.Build(t.Context(), w.target(t), envdb.OpMirror, generation.Spec{ID: "a"})
	wants(t, err, envdb.ErrBusy, "exists already")
	if _, err := g.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	conn, err := pgx.Connect(t.Context(), s.URLAs(role, password, w.base(t)).Reveal())
	if err != nil {
		t.Fatalf("nobody may connect to the live version: %v", err)
	}
	conn.Close(t.Context())
}

func TestEncodingAndLocale(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	build := func(spec generation.Spec) (*generation.Dark, error) {
		return g.Build(t.Context(), w.target(t), envdb.OpMirror, spec)
	}
	for _, spec := range []generation.Spec{
		{ID: "latin", Encoding: "LATIN1", LocaleProvider: "c", Collate: "C", CType: "C"},
		{ID: "icu", Encoding: "UTF8", LocaleProvider: "i", Collate: "C", CType: "C", Locale: "de-AT"},
	} {
		d, err := build(spec)
		if err != nil {
			t.Fatal(problem(err))
		}
		got := s.QueryText(t, "postgres", "SELECT pg_encoding_to_char(encoding), datlocprovider, datcollate FROM pg_database WHERE datname = "+postgres.Literal(d.Name))
		if want := spec.Encoding + "|" + spec.LocaleProvider + "|C"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_, err := build(generation.Spec{ID: "x", Encoding: "UTF8", LocaleProvider: "c", Collate: "tlh_KX.utf8", CType: "tlh_KX.utf8"})
	wants(t, err, envdb.ErrPreflight, "tlh_KX.utf8", "nothing was changed", "install that locale")
	_, err = build(generation.Spec{ID: "x", LocaleProvider: "z"})
	wants(t, err, envdb.ErrPreflight, "locale provider")
	if got := states(t, g); strings.Contains(got, ":x") {
		t.Errorf("got %q", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, base := range []string{
		`Ünï "q" t` + " %/?#&", strings.Repeat("n", 63), strings.Repeat("ü", 31), `it's; DROP \ TABLE`, "UPPER case",
	} {
		t.Run(base, func(t *testing.T) {
			w := newWorld(t, s, base)
			g := w.locked(t, "r1")
			if g.Base() != base {
				t.Fatalf("base %q", g.Base())
			}
			for _, id := range []string{"20261121-083000", "20261121-083001"} {
				p := w.release(t, g, id)
				if len(p.Was) > 63 || p.Live.Name != base {
					t.Errorf("%q became %q", p.Was, p.Live.Name)
				}
			}
			if _, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{}); err != nil {
				t.Fatal(problem(err))
			}
			if got, want := states(t, g), "live:20261121-083000 previous:20261121-083001"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	a, b := strings.Repeat("n", 63), strings.Repeat("n", 62)+"m"
	if generation.Name(a, envdb.Dark, "1") == generation.Name(b, envdb.Dark, "1") {
		t.Error("two long names became one")
	}
}

func TestPlainRole(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	w.hand(t)
	base := postgres.Quote(w.base(t))
	owner, _ := s.CreateRole(t, "")
	role, password := s.CreateRole(t, "")
	app, appPassword := s.CreateRole(t, "")
	s.Exec(t, "postgres", "ALTER DATABASE "+base+" OWNER TO "+owner)
	w.env.URL = s.URLAs(role, password, w.base(t))
	g := w.locked(t, "r1")
	spec := generation.Spec{ID: "a"}

	_, err := g.Build(t.Context(), w.target(t), envdb.OpMirror, spec)
	wants(t, err, envdb.ErrPreflight, "may not create databases", "CREATEDB", "nothing was changed")
	s.Exec(t, "postgres", "ALTER ROLE "+role+" CREATEDB")
	if _, err := g.Build(t.Context(), w.target(t), envdb.OpMirror, spec); err != nil {
		t.Fatal(problem(err))
	}
	promote := func() error {
		_, err := g.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{})
		return err
	}
	wants(t, promote(), envdb.ErrPreflight, "it belongs to", "GRANT", owner)
	// A member of a superuser would be one: such a database changes hands.
	for _, super := range []string{"ALTER ROLE " + owner + " SUPERUSER", "GRANT postgres TO " + owner} {
		s.Exec(t, "postgres", super)
		err := promote()
		wants(t, err, envdb.ErrPreflight, "it belongs to", "ALTER DATABASE "+base+" OWNER TO "+postgres.Quote(role)+";")
		if strings.Contains(problem(err), "GRANT") {
			t.Errorf("%s: %s", super, problem(err))
		}
		s.Exec(t, "postgres", "ALTER ROLE "+owner+" NOSUPERUSER", "REVOKE postgres FROM "+owner)
	}
	s.Exec(t, "postgres", "GRANT "+owner+" TO "+role)

	client, err := pgx.Connect(t.Context(), s.URLAs(app, appPassword, w.base(t)).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	wants(t, promote(), envdb.ErrPreflight, "may not end", app, "pg_signal_backend")
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("a promote that was refused ended a session: %v", err)
	}
	s.Exec(t, "postgres", "GRANT pg_signal_backend TO "+role)
	if err := promote(); err != nil {
		t.Fatal(problem(err))
	}
	got, err := g.ReadProperties(t.Context())
	if err != nil || got.Owner != owner {
		t.Errorf("owner %q, %s", got.Owner, problem(err))
	}
	t.Cleanup(func() { s.Exec(t, "postgres", "REASSIGN OWNED BY "+role+", "+owner+" TO postgres") })
}

func TestOutOfConnections(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"max_connections": "6", "superuser_reserved_connections": "0", "max_wal_senders": "0", "autovacuum": "off"}})
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")
	var crowd []*pgx.Conn
	for {
		conn, err := pgx.Connect(t.Context(), s.URL(w.base(t)).Reveal())
		if err != nil {
			break
		}
		crowd = append(crowd, conn)
	}
	_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	wants(t, err, envdb.ErrPreflight, "no free connection", "max_connections")
	for _, conn := range crowd {
		conn.Close(t.Context())
	}
	eventually(t, "free connections", func() bool {
		_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
		return err == nil
	})
}

func TestUrlsThatNameNoDatabaseOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	env := envdb.Environment{Name: "qa", Tier: envdb.QA, URL: s.URL("postgres")}
	_, err := generation.Open(t.Context(), env, generation.Options{})
	wants(t, err, envdb.ErrRefused, "never replaced")
	env.URL, env.DirectURL = s.URL("one"), s.URL("two")
	_, err = generation.Open(t.Context(), env, generation.Options{})
	wants(t, err, envdb.ErrPreflight, `"one"`, `"two"`, "pooler.database")
}
