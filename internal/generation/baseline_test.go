package generation_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// found builds a version, seals a copy of it and makes both what they are to
// be: live, and its baseline.
func (w world) found(t *testing.T, g *generation.Generations, id string, inside ...string) generation.Version {
	t.Helper()
	d := w.build(t, g, id)
	w.Exec(t, d.Name, inside...)
	sealed, err := g.Seal(t.Context(), w.target(t), envdb.OpMirror, d.Version)
	if err != nil {
		t.Fatal(problem(err))
	}
	p, err := g.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{Baseline: sealed.Name})
	if err != nil {
		t.Fatal(problem(err))
	}
	if p.Baseline == nil || p.Baseline.Name != sealed.Name {
		t.Fatalf("the baseline of %+v is %+v", p.Live, p.Baseline)
	}
	return *p.Baseline
}

// baseline returns the baseline in force, which there must be.
func baseline(t *testing.T, g *generation.Generations) generation.Version {
	t.Helper()
	b, err := g.Baseline(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	return b
}

// contents reads what a copy must not lose: rows, sequences, large objects,
// extensions, statistics, and who may read.
const contents = `
	SELECT (SELECT string_agg(h::text, ',' ORDER BY h) FROM here h), (SELECT last_value FROM counted),
	       (SELECT md5(lo_get(4711))), (SELECT string_agg(extname || extversion, ',' ORDER BY extname) FROM pg_extension),
	       (SELECT count(*) FROM pg_stats WHERE tablename = 'here'), (SELECT relacl FROM pg_class WHERE relname = 'here'),
	       (SELECT count(*) FROM seen)`

func inside() []string {
	return []string{
		"CREATE SEQUENCE counted START 41", "SELECT nextval('counted')",
		"SELECT lo_from_bytea(4711, convert_to(repeat('large ', 800), 'UTF8'))",
		"CREATE EXTENSION pg_trgm", "CREATE MATERIALIZED VIEW seen AS SELECT * FROM here", "ANALYZE here",
	}
}

func TestResetFromABaseline(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	b := w.found(t, g, "a", inside()...)
	want := w.QueryText(t, w.base(t), contents)
	if got, want := states(t, g), "live:a baseline:a"; got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	w.Exec(t, w.base(t), "UPDATE here SET id = 'broken'", "DROP SEQUENCE counted", "SELECT lo_unlink(4711)", "DROP EXTENSION pg_trgm")

	for _, id := range []string{"b", "c"} {
		d, err := g.Clone(t.Context(), w.target(t), envdb.OpReset, b, id)
		if err != nil {
			t.Fatal(problem(err))
		}
		closedToAll(t, s, d.Name)
		if d.Copied == nil || d.Copied.Strategy != generation.WALLog || d.Marker.Baseline != "a" || d.Marker.Source != "prod" {
			t.Errorf("the clone: %+v, %+v", d.Version, d.Marker)
		}
		if _, err := g.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{}); err != nil {
			t.Fatal(problem(err))
		}
		if got := w.QueryText(t, w.base(t), contents); got != want {
			t.Errorf("after a reset:\n got %s\nwant %s", got, want)
		}
		w.Exec(t, w.base(t), "UPDATE here SET id = 'broken again'")
	}
	if got, want := states(t, g), "live:c previous:b baseline:a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if again := baseline(t, g); again.OID != b.OID {
		t.Errorf("the baseline became %+v", again)
	}
}

// closedToAll fails the test if even the superuser may connect.
func closedToAll(t *testing.T, s *pgtest.Server, database string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL(database).Reveal())
	if err == nil {
		conn.Close(t.Context())
		t.Errorf("somebody may connect to %s", database)
	} else if !strings.Contains(err.Error(), "not currently accepting connections") {
		t.Errorf("connect to %s: %v", database, err)
	}
}

func TestSpare(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	b := w.found(t, g, "a", inside()...)
	want := w.QueryText(t, w.base(t), contents)
	for _, id := range []string{"s1", "s2"} {
		spare, err := g.Spare(t.Context(), w.target(t), envdb.OpReset, b, id)
		if err != nil {
			t.Fatal(problem(err))
		}
		closedToAll(t, s, spare.Name)
	}
	versions, err := g.List(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	spares := generation.SparesOf(b, versions)
	if len(spares) != 2 || spares[0].ID != "s1" {
		t.Fatalf("spares: %+v", spares)
	}
	// Nobody may promote one that somebody was in.
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(spares[1].Name)+" ALLOW_CONNECTIONS true")
	_, err = g.Promote(t.Context(), w.target(t), "s2", generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, "allowed connections", "nothing was changed")

	w.Exec(t, w.base(t), "DROP TABLE here CASCADE")
	if _, err := g.Promote(t.Context(), w.target(t), "s1", generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	if got := w.QueryText(t, w.base(t), contents); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got, want := states(t, g), "live:s1 previous:a baseline:a spare:s2"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	obsolete, err := g.Obsolete(t.Context(), 1)
	if err != nil || len(obsolete) != 1 || obsolete[0].ID != "s2" {
		t.Errorf("obsolete: %+v, %s", obsolete, problem(err))
	}
	_, err = g.Promote(t.Context(), w.target(t), b.Name, generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, "resets are made from it", "envdb reset staging")
}

// TestSealTellsWhoCouldConnect: what let somebody in is noticed, whoever did
// it and however well they tidied up; and what did not is not.
func TestSealTellsWhoCouldConnect(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for name, c := range map[string]struct {
		do     []string
		broken string
	}{
		"opened":                {[]string{"ALTER DATABASE %s ALLOW_CONNECTIONS true"}, "allowed connections"},
		"opened and shut again": {[]string{"ALTER DATABASE %s ALLOW_CONNECTIONS true", "ALTER DATABASE %[1]s ALLOW_CONNECTIONS false"}, "may have connected"},
		"by the catalogue":      {[]string{"UPDATE pg_database SET datallowconn = true WHERE datname = %[2]s", "UPDATE pg_database SET datallowconn = false WHERE datname = %[2]s"}, "may have connected"},
		"frozen":                {[]string{"VACUUM (FREEZE) pg_database"}, ""},
		"rewritten":             {[]string{"VACUUM FULL pg_database"}, ""},
		"a setting":             {[]string{"ALTER DATABASE %s SET work_mem = '9MB'"}, ""},
		"used as a template":    {[]string{"CREATE DATABASE %[3]s TEMPLATE %[1]s", "DROP DATABASE %[3]s"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s, "")
			g := w.locked(t, "r1")
			b := w.found(t, g, "a")
			for _, sql := range c.do {
				for placeholder, value := range map[string]string{"%s": postgres.Quote(b.Name), "%[1]s": postgres.Quote(b.Name), "%[2]s": postgres.Literal(b.Name), "%[3]s": postgres.Quote(w.base(t) + "_other")} {
					sql = strings.ReplaceAll(sql, placeholder, value)
				}
				s.Exec(t, "postgres", sql)
			}
			now, err := g.Baseline(t.Context())
			if c.broken == "" {
				if err != nil || now.OID != b.OID || now.Unsealed != "" {
					t.Errorf("got %+v, %s", now, problem(err))
				}
				return
			}
			wants(t, err, envdb.ErrNotFound, c.broken, b.Name, "nothing was changed")
			found, err := g.Find(t.Context(), b.Name)
			if err != nil {
				t.Fatal(problem(err))
			}
			_, err = g.Clone(t.Context(), w.target(t), envdb.OpReset, found, "b")
			wants(t, err, envdb.ErrRefused, c.broken, "envdb reset staging")
			// Nor is one believed that was intact a moment ago.
			_, err = g.Clone(t.Context(), w.target(t), envdb.OpReset, b, "b")
			wants(t, err, envdb.ErrRefused, c.broken)
			if got, want := states(t, g), "live:a baseline:a"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestBaselineDroppedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	_, err := g.Baseline(t.Context())
	wants(t, err, envdb.ErrNotFound, "there is no baseline")
	b := w.found(t, g, "a")
	w.Exec(t, "postgres", "DROP DATABASE "+postgres.Quote(b.Name))
	_, err = g.Baseline(t.Context())
	wants(t, err, envdb.ErrNotFound, "somebody dropped it", "envdb reset staging")
	_, err = g.Clone(t.Context(), w.target(t), envdb.OpReset, b, "b")
	wants(t, err, envdb.ErrNotFound, b.Name)
	if err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, w.found(t, g, "b").Name, nil); err != nil {
		t.Error(problem(err))
	}
	if got, want := states(t, g), "live:b previous:a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A template must have no session: whoever is in the version is ended, and
// cannot come back before the promote.
func TestSealEndsWhoIsInTheVersion(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	u, err := g.URL(d.Name)
	if err != nil {
		t.Fatal(err)
	}
	visits := make(chan string, 1)
	go func() { // comes back as fast as it can
		defer close(done)
		for ctx.Err() == nil {
			client(ctx, u, false, func(id string) {
				select {
				case visits <- id:
				default:
				}
			})
		}
	}()
	<-visits
	sealed, err := g.Seal(t.Context(), w.target(t), envdb.OpMirror, d.Version)
	if err != nil {
		t.Fatal(problem(err))
	}
	closedToAll(t, s, d.Name)
	closedToAll(t, s, sealed.Name)
	stop()
	<-done
	if _, err := g.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{Baseline: sealed.Name}); err != nil {
		t.Fatal(problem(err))
	}
	if w.serves(t) != "a" || baseline(t, g).Name != sealed.Name {
		t.Errorf("%q serves, and the baseline is %s", w.serves(t), baseline(t, g).Name)
	}
}

func TestSealRefusesWhatACopyWouldLose(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	s.Exec(t, d.Name, "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = 'x')")
	_, err := g.Seal(t.Context(), w.target(t), envdb.OpMirror, d.Version)
	wants(t, err, envdb.ErrPreflight, "feed", "no baseline was made")
	if _, err := g.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	live, err := g.Live(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	_, err = g.Seal(t.Context(), w.target(t), envdb.OpMirror, live)
	wants(t, err, envdb.ErrRefused, "it is live")
}

// Whatever becomes live after the baseline was made, from another source, makes
// it obsolete; going back, or to the environment's own past, does not, and does
// not bring back one that was obsolete.
func TestWhichBaselineIsInForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	first := w.found(t, g, "a")
	second := w.found(t, g, "b")
	if got := baseline(t, g); got.ID != "b" {
		t.Errorf("in force is %+v", got)
	}
	obsolete, err := g.Obsolete(t.Context(), 0)
	if err != nil || len(obsolete) != 1 || obsolete[0].Name != first.Name {
		t.Errorf("obsolete: %+v, %s", obsolete, problem(err))
	}
	if _, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	if got := baseline(t, g); got.Name != second.Name {
		t.Errorf("after a rollback it is %s", got.Name)
	}
	restore := func(id string) {
		t.Helper()
		own, err := g.Build(t.Context(), w.target(t), envdb.OpRestore, generation.Spec{ID: id, Source: "staging"})
		if err != nil {
			t.Fatal(problem(err))
		}
		if _, err := g.Promote(t.Context(), w.target(t), own.Name, generation.PromoteOptions{}); err != nil {
			t.Fatal(problem(err))
		}
	}
	rollback := func() {
		t.Helper()
		if _, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{}); err != nil {
			t.Fatal(problem(err))
		}
	}
	none := func(after string) {
		t.Helper()
		b, err := g.Baseline(t.Context())
		if err == nil {
			t.Errorf("after %s it is %s", after, b.Name)
		}
		wants(t, err, envdb.ErrNotFound, "of another version than what is live")
	}
	restore("past")
	if got := baseline(t, g); got.Name != second.Name {
		t.Errorf("after a restore it is %s", got.Name)
	}
	w.release(t, g, "dark")
	none("a promote of what was built dark")
	if obsolete, err := g.Obsolete(t.Context(), 0); err != nil || len(obsolete) != 2 {
		t.Errorf("obsolete: %+v, %s", obsolete, problem(err))
	}
	rollback()
	if got := baseline(t, g); got.Name != second.Name {
		t.Errorf("with that undone it is %s", got.Name)
	}
	rollback()
	none("a rollback to what was built dark")
	restore("past of the dark one")
	none("a restore on top of it")

	// It does not matter when the dark version was built.
	early := w.build(t, g, "early")
	third := w.found(t, g, "c")
	rollback()
	if got := baseline(t, g); got.Name != third.Name {
		t.Errorf("back at what had none, before it was made, it is %s", got.Name)
	}
	if _, err := g.Promote(t.Context(), w.target(t), early.Name, generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	none("a promote of what was built before it")
}

// A role that is no superuser can do all of it.
func TestPlainRoleResets(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	role, password := s.CreateRole(t, "CREATEDB")
	w.env.URL = s.URLAs(role, password, w.base(t))
	g := w.locked(t, "r1")
	w.found(t, g, "a")
	b := baseline(t, g)
	if b.Size == 0 {
		t.Error("it does not know how large the baseline is")
	}
	d, err := g.Clone(t.Context(), w.target(t), envdb.OpReset, b, "b")
	if err != nil {
		t.Fatal(problem(err))
	}
	if _, err := g.Spare(t.Context(), w.target(t), envdb.OpReset, b, "s"); err != nil {
		t.Fatal(problem(err))
	}
	if _, err := g.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	if got, want := states(t, g), "live:b previous:a baseline:a spare:s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A copy that takes long is cut short by Ctrl-C; the lock is still held, and
// nothing is left.
func TestInterruptedCopy(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{})
	w := newWorld(t, s, "")
	g := w.locked(t, "r1")
	b := w.found(t, g, "a")
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "LOCK TABLE pg_database IN SHARE MODE"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := g.Clone(ctx, w.target(t), envdb.OpReset, b, "b")
		done <- err
	}()
	eventually(t, "the copy waits", func() bool {
		var waiting bool
		err := blocker.QueryRow(t.Context(), "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'pg_database'::regclass AND NOT granted").Scan(&waiting)
		return err == nil && waiting
	})
	cancel()
	wants(t, <-done, envdb.ErrInterrupted)
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if got, want := states(t, g), "live:a baseline:a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.release(t, g, "c")
}
