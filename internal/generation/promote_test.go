package generation_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestVersionsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")

	first := w.release(t, g, "a")
	if first.Displaced != nil || w.serves(t) != "a" {
		t.Errorf("first promote: displaced %+v, serves %q", first.Displaced, w.serves(t))
	}
	second := w.release(t, g, "b")
	if second.Displaced == nil || second.Displaced.Name != w.base(t)+"__previous_a" || w.serves(t) != "b" {
		t.Errorf("second promote: %+v, serves %q", second, w.serves(t))
	}
	third := w.release(t, g, "c")
	if got, want := states(t, g), "live:c previous:b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(third.Dropped) != 1 || third.Dropped[0] != w.base(t)+"__previous_a" {
		t.Errorf("dropped %q", third.Dropped)
	}

	for _, want := range []string{"b", "c"} { // back, and forth again
		if _, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{}); err != nil {
			t.Fatal(problem(err))
		}
		if got := w.serves(t); got != want {
			t.Errorf("after the rollback %q serves, want %q", got, want)
		}
	}

	w.build(t, g, "d")
	if _, err := g.Promote(t.Context(), w.target(t), "d", generation.PromoteOptions{DropEveryPrevious: true}); err != nil {
		t.Fatal(problem(err))
	}
	if got, want := states(t, g), "live:d"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{})
	wants(t, err, envdb.ErrNotFound, "no previous version", "nothing was changed", "envdb help back")
}

func TestKeepPrevious(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	for _, id := range []string{"a", "b", "c", "d"} {
		w.build(t, g, id)
		if _, err := g.Promote(t.Context(), w.target(t), id, generation.PromoteOptions{KeepPrevious: 2}); err != nil {
			t.Fatal(problem(err))
		}
	}
	if got, want := states(t, g), "live:d previous:c previous:b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestForeignDatabaseIsMovedAsideAndNeverDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.hand(t)
	w.Exec(t, w.base(t), "CREATE TABLE here AS SELECT 'by hand'::text AS id")
	w.Exec(t, "postgres", "COMMENT ON DATABASE "+postgres.Quote(w.base(t))+" IS 'mine, keep'")
	g := w.locked(t, "r1")

	p := w.release(t, g, "a")
	if p.Displaced == nil || p.Displaced.State != envdb.Aside || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "moved aside") {
		t.Fatalf("got %+v", p)
	}
	aside := p.Displaced.Name
	w.release(t, g, "b")
	w.release(t, g, "c")
	if got := w.QueryText(t, aside, "SELECT id FROM here"); got != "by hand" {
		t.Errorf("the foreign database holds %q", got)
	}
	if got := w.QueryText(t, "postgres", "SELECT split_part(shobj_description(oid, 'pg_database'), E'\\n', 1) FROM pg_database WHERE datname = "+postgres.Literal(aside)); got != "mine, keep" {
		t.Errorf("its comment is %q", got)
	}
	err := g.Discard(t.Context(), w.target(t), envdb.OpDiscard, aside, nil)
	wants(t, err, envdb.ErrRefused, "envdb did not make it", "DROP DATABASE")
	_, err = g.Promote(t.Context(), w.target(t), aside, generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, "`envdb rollback staging` brings it back")

	if _, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{To: aside}); err != nil {
		t.Fatal(problem(err))
	}
	if w.serves(t) != "by hand" {
		t.Errorf("%q serves", w.serves(t))
	}
	again := w.release(t, g, "d") // it is still not ours
	if again.Displaced.State != envdb.Aside {
		t.Errorf("the second time it became %s", again.Displaced.State)
	}
}

func TestPromoteUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	var lastOld, firstNew time.Time
	note := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		seen[id]++
		switch now := time.Now(); {
		case id == "a":
			lastOld = now
		case firstNew.IsZero():
			firstNew = now
		}
	}
	for i := range 20 {
		clients.Go(func() {
			for ctx.Err() == nil {
				client(ctx, w.env.URL, i%2 == 0, note)
			}
		})
	}
	count := func(id string) int { mu.Lock(); defer mu.Unlock(); return seen[id] }
	eventually(t, "clients on the old version", func() bool { return count("a") > 100 })
	p, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	if err != nil {
		t.Fatal(problem(err))
	}
	eventually(t, "clients on the new version", func() bool { return count("b") > 100 })
	stop()
	clients.Wait()
	if p.Ended < 5 || p.Held <= 0 || p.Held > 2*time.Second || p.Attempts != 1 {
		t.Errorf("got %+v", p)
	}
	t.Logf("logins held at most %s, %d sessions ended; nobody was served for %s", p.Held, p.Ended, firstNew.Sub(lastOld))
}

// client asks which version serves, on a new connection each time or for as
// long as one lasts.
func client(ctx context.Context, url envdb.ConnString, reconnect bool, note func(string)) {
	conn, err := pgx.Connect(ctx, url.Reveal())
	if err != nil {
		return
	}
	defer conn.Close(context.Background())
	for {
		var id string
		if err := conn.QueryRow(ctx, "SELECT id FROM here").Scan(&id); err != nil {
			return
		}
		note(id)
		if reconnect {
			return
		}
	}
}

func TestPromoteRefuses(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{Settings: map[string]string{"max_prepared_transactions": "5", "wal_level": "logical"}})
	cases := []struct {
		name  string
		spoil func(t *testing.T, w world)
		texts []string
	}{
		{"prepared transaction", func(t *testing.T, w world) {
			w.Exec(t, w.base(t), "BEGIN; CREATE TABLE p (); PREPARE TRANSACTION 'gid-7'")
		}, []string{"prepared transactions", "gid-7", "ROLLBACK PREPARED"}},
		{"logical slot", func(t *testing.T, w world) {
			w.Exec(t, w.base(t), "SELECT pg_create_logical_replication_slot('slot_7', 'pgoutput')")
		}, []string{"logical replication slots", "slot_7", "pg_drop_replication_slot"}},
		{"enabled subscription", func(t *testing.T, w world) {
			w.Exec(t, w.base(t), `CREATE SUBSCRIPTION sub_7 CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p
				WITH (connect = false, slot_name = 'x')`, "ALTER SUBSCRIPTION sub_7 ENABLE")
		}, []string{"enabled subscriptions", "sub_7", "DISABLE"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, s, "")
			g := w.locked(t, "r1")
			w.release(t, g, "a")
			w.build(t, g, "b")
			c.spoil(t, w)
			_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
			wants(t, err, envdb.ErrPreflight, append(c.texts, "nothing was changed")...)
			if got := w.serves(t); got != "a" {
				t.Errorf("%q serves", got)
			}
		})
	}
	t.Run("disabled subscription is no obstacle", func(t *testing.T) {
		w := newWorld(t, s, "")
		g := w.locked(t, "r1")
		w.release(t, g, "a")
		w.Exec(t, w.base(t), `CREATE SUBSCRIPTION sub_8 CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p
			WITH (connect = false, slot_name = 'theirs')`)
		w.release(t, g, "b")
		w.release(t, g, "c") // drops a, with the subscription in it
		if got, want := states(t, g), "live:c previous:b"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestPropertiesSurviveThePromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	owner, _ := s.CreateRole(t, "")
	reader, _ := s.CreateRole(t, "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	db := postgres.Quote(w.base(t))
	w.Exec(t, "postgres",
		"ALTER DATABASE "+db+" OWNER TO "+owner,
		"REVOKE ALL ON DATABASE "+db+" FROM PUBLIC",
		"GRANT CONNECT ON DATABASE "+db+" TO "+reader+" WITH GRANT OPTION",
		"SET ROLE "+reader, "GRANT CONNECT ON DATABASE "+db+" TO pg_monitor", "RESET ROLE",
		"ALTER DATABASE "+db+" CONNECTION LIMIT 77",
		`ALTER DATABASE `+db+` SET search_path = "$user", public, "We""ird, one"`,
		`ALTER DATABASE `+db+` SET app.name = 'it''s \ here'`,
		"ALTER ROLE "+reader+" IN DATABASE "+db+" SET work_mem = '9MB'",
		"COMMENT ON DATABASE "+db+" IS 'the comment of a person'")
	before, err := g.ReadProperties(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	if before.Comment != "the comment of a person" {
		t.Errorf("comment %q", before.Comment)
	}
	// That comment took the marker away, so what was live is foreign now.
	p := w.release(t, g, "b")
	if p.Displaced.State != envdb.Aside {
		t.Errorf("displaced %s", p.Displaced.State)
	}
	after, err := g.ReadProperties(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	if got, want := asText(after), asText(before); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Exec(t, "postgres", "DROP OWNED BY "+reader+" CASCADE")
}

func TestPromoteNamesMissingRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	w.build(t, g, "a")
	_, err := g.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{Properties: &generation.Properties{
		Owner: "nobody here", ACL: []string{`"no grantee"=c/"nobody here"`}, ConnectionLimit: -1,
	}})
	wants(t, err, envdb.ErrPreflight, "nobody here", "no grantee", "CREATE ROLE")
}

func TestInterruptedPromoteChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.Promote(ctx, w.target(t), "b", generation.PromoteOptions{})
	wants(t, err, envdb.ErrInterrupted)
	if got, want := states(t, g), "live:a building:b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCrashInTheMiddleOfAPromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	g := w.locked(t, "crashed")
	w.release(t, g, "a")
	w.build(t, g, "b")
	// A session that holds the live database's lock makes the swap wait in
	// the middle of its transaction; there its session is ended.
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "COMMENT ON DATABASE " + postgres.Quote(w.base(t)) + " IS 'held'"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
		done <- err
	}()
	eventually(t, "the promote's session to wait, and to be ended", func() bool {
		return s.QueryText(t, "postgres", `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name = 'envdb/crashed' AND wait_event_type = 'Lock'`) == "1"
	})
	err := <-done
	wants(t, err, envdb.ErrUnreachable, w.base(t)+" is live as before")
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if w.serves(t) != "a" {
		t.Errorf("%q serves", w.serves(t))
	}

	next := w.locked(t, "next")
	gone, err := next.CleanUp(t.Context(), w.target(t), envdb.OpMirror, func(run string) bool { return run != "crashed" }, nil)
	if err != nil || len(gone) != 1 {
		t.Errorf("cleaned up %q, %s", gone, problem(err))
	}
	w.release(t, next, "c")
	if got, want := states(t, next), "live:c previous:a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyFinishedVersionsOfOthersArePromoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	d := w.build(t, g, "a")
	w.build(t, g, "half")
	if _, err := g.Complete(t.Context(), w.target(t), envdb.OpMirror, d.Name, generation.Completion{Neutrality: envdb.Neutralised}); err != nil {
		t.Fatal(problem(err))
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	other := w.locked(t, "r2")
	_, err := other.Promote(t.Context(), w.target(t), "half", generation.PromoteOptions{})
	wants(t, err, envdb.ErrRefused, "run r1 did not finish it")
	_, err = other.Promote(t.Context(), w.target(t), "nothing", generation.PromoteOptions{})
	wants(t, err, envdb.ErrNotFound, `no version "nothing"`, "envdb versions staging")
	p, err := other.Promote(t.Context(), w.target(t), "a", generation.PromoteOptions{})
	if err != nil || p.Live.Marker.Neutrality != envdb.Neutralised {
		t.Errorf("got %+v, %s", p, problem(err))
	}
}

func TestPermissionIsForOneEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	other := w
	other.env.Name = "qa"
	_, err := g.Build(t.Context(), other.target(t), envdb.OpMirror, generation.Spec{ID: "a"})
	wants(t, err, envdb.ErrRefused, "another environment")
	_, err = g.Build(t.Context(), envdb.Sanctioned{}, envdb.OpRestore, generation.Spec{ID: "a"})
	wants(t, err, envdb.ErrRefused)
}
