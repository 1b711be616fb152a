package generation_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// pooled puts a PgBouncer in front of the world.
func (w *world) pooled(t *testing.T, mode pgtest.PoolMode) {
	t.Helper()
	url, admin := w.PgBouncer(t, mode)
	base := w.base(t)
	through, err := postgres.WithDatabase(url, base)
	if err != nil {
		t.Fatal(err)
	}
	w.env.DirectURL, w.env.URL, w.env.Pooler.Admin = w.env.URL, through, admin
}

func TestPooledClientsSeeNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var old, new atomic.Int64
	failed := make(chan error, 20)
	for i := range 20 {
		clients.Go(func() {
			if err := pooledClient(ctx, w.env.URL, i%4 == 0, &old, &new); err != nil {
				failed <- err
			}
		})
	}
	eventually(t, "clients on the old version", func() bool { return old.Load() > 100 })
	p, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	if err != nil {
		t.Fatal(problem(err))
	}
	eventually(t, "clients on the new version", func() bool { return new.Load() > 100 })
	stop()
	clients.Wait()
	close(failed)
	for err := range failed {
		t.Errorf("a client saw: %v", err)
	}
	t.Logf("logins held %s, %d sessions ended, warnings %q", p.Held, p.Ended, p.Warnings)
	if p.Live.Marker.Pausing {
		t.Error("the marker still tells of a pause")
	}
}

// pooledClient asks which version serves until ctx ends, and returns the first
// error.
func pooledClient(ctx context.Context, url envdb.ConnString, reconnect bool, old, new *atomic.Int64) error {
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	for background := context.WithoutCancel(ctx); ctx.Err() == nil; {
		conn, err := pgx.ConnectConfig(background, config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		for again := true; again && ctx.Err() == nil; again = !reconnect {
			var id string
			if err := conn.QueryRow(background, "SELECT id FROM here").Scan(&id); err != nil {
				return fmt.Errorf("query: %w", err)
			}
			if id == "a" {
				old.Add(1)
			} else {
				new.Add(1)
			}
		}
		if err := conn.Close(background); err != nil {
			return err
		}
	}
	return nil
}

func TestPooledSessionsDoNotStopAPromote(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.pooled(t, pgtest.SessionPool)
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")
	idler, err := postgres.Connect(t.Context(), w.env.URL, postgres.Options{})
	if err != nil {
		t.Fatal(problem(err))
	}
	defer idler.Close(context.Background())
	p, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	if err != nil {
		t.Fatal(problem(err))
	}
	if len(p.Warnings) != 1 {
		t.Errorf("warnings %q", p.Warnings)
	}
	w.throughPooler(t, "b")
}

// throughPooler fails the test unless that version answers behind the pooler.
func (w world) throughPooler(t *testing.T, want string) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), w.env.URL, postgres.Options{})
	if err != nil {
		t.Fatal(problem(err))
	}
	defer conn.Close(t.Context())
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT id FROM here", pgx.QueryExecModeExec).Scan(&got); err != nil || got != want {
		t.Errorf("the pooler leads to %q, %v, want %q", got, err, want)
	}
}

func TestFailedPromoteResumesThePooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.throughPooler(t, "a")
	w.build(t, g, "b")
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "COMMENT ON DATABASE " + postgres.Quote(w.base(t)) + " IS 'held'"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
	wants(t, err, envdb.ErrBusy, "is live as before")
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w.throughPooler(t, "a")
}

func TestAPoolerThatADeadRunPausedIsResumed(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "dead")
	w.release(t, g, "a")
	w.noted(t, `"pausing":true,`)
	w.steer(t, "PAUSE "+postgres.Quote(w.base(t)))
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	next := w.locked(t, "next")
	w.throughPooler(t, "a")
	live, err := next.Live(t.Context())
	if err != nil || live.Marker.Pausing {
		t.Errorf("got %+v, %v", live.Marker, err)
	}
}

// noted adds to the live version's marker what a run leaves behind that is
// killed after its PAUSE.
func (w world) noted(t *testing.T, members string) {
	t.Helper()
	base := postgres.Literal(w.base(t))
	w.Exec(t, "postgres", `DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS %L', `+base+`,
		(SELECT replace(shobj_description(oid, 'pg_database'), '"oid":', `+postgres.Literal(members+`"oid":`)+`) FROM pg_database WHERE datname = `+base+`)); END $$`)
}

func TestAPoolerIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.pooled(t, pgtest.TransactionPool)
	w.env.DirectURL = ""
	_, err := generation.Open(t.Context(), w.env, generation.Options{Run: "r"})
	wants(t, err, envdb.ErrPreflight, "pooler", "set direct_url of staging")
}
