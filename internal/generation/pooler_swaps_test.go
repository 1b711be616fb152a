package generation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// patientEnough is the longest that a client may go without an answer: far
// above what a swap takes, far below PgBouncer's server_login_retry of 15 s.
const patientEnough = 3 * time.Second

// throng is clients behind a pooler that ask again and again. Most keep their
// connection, and one of ten makes a new one for each question.
type throng struct {
	stop    context.CancelFunc
	clients sync.WaitGroup
	answers []atomic.Int64
	failed  chan error

	mu      sync.Mutex
	longest time.Duration
}

// gather starts n clients, and returns when each has had an answer.
func gather(t *testing.T, url envdb.ConnString, n int) *throng {
	t.Helper()
	config, err := pgx.ParseConfig(url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	ctx, stop := context.WithCancel(context.Background())
	c := &throng{stop: stop, answers: make([]atomic.Int64, n), failed: make(chan error, n)}
	for i := range n {
		c.clients.Go(func() {
			if err := c.ask(ctx, config.Copy(), i); err != nil {
				c.failed <- err
			}
		})
	}
	t.Cleanup(func() { c.leave(t) })
	c.everyone(t)
	return c
}

func (c *throng) ask(ctx context.Context, config *pgx.ConnConfig, i int) error {
	background := context.WithoutCancel(ctx)
	think := time.NewTicker(5 * time.Millisecond)
	defer think.Stop()
	for last := time.Now(); ctx.Err() == nil; {
		conn, err := pgx.ConnectConfig(background, config)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		for again := true; again && ctx.Err() == nil; again = i%10 != 0 {
			var id string
			if err := conn.QueryRow(background, "SELECT id FROM here").Scan(&id); err != nil {
				return errors.Join(fmt.Errorf("query: %w", err), conn.Close(background))
			}
			c.answer(i, &last)
			select {
			case <-think.C:
			case <-ctx.Done():
			}
		}
		if err := conn.Close(background); err != nil {
			return err
		}
	}
	return nil
}

// answer counts an answer, and moves the time of the last one.
func (c *throng) answer(i int, last *time.Time) {
	c.answers[i].Add(1)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest = max(c.longest, now.Sub(*last))
	*last = now
}

// everyone waits until each client has had another answer.
func (c *throng) everyone(t *testing.T) {
	t.Helper()
	before := make([]int64, len(c.answers))
	for i := range c.answers {
		before[i] = c.answers[i].Load()
	}
	eventually(t, "an answer for every client", func() bool {
		for i := range c.answers {
			if c.answers[i].Load() == before[i] {
				return len(c.failed) > 0
			}
		}
		return true
	})
}

// leave ends the clients, and fails the test for what they saw.
func (c *throng) leave(t *testing.T) {
	t.Helper()
	c.stop()
	c.clients.Wait()
	for len(c.failed) > 0 {
		t.Errorf("a client saw: %v", <-c.failed)
	}
}

// longestWait returns the longest that a client went without an answer.
func (c *throng) longestWait() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.longest
}

// TestSwapsInQuickSuccessionDoNotStallThePooler swaps while PgBouncer is still
// opening its connections after the swap before. What it was logging in with
// at its PAUSE it closed, took for a failure, and waited server_login_retry.
func TestSwapsInQuickSuccessionDoNotStallThePooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.release(t, g, "b")
	clients := gather(t, w.env.URL, 50)
	for range 10 {
		p, err := g.Rollback(t.Context(), w.target(t), generation.RollbackOptions{})
		if err != nil {
			t.Fatal(problem(err))
		}
		t.Logf("logins held %s, warnings %q, longest wait so far %s", p.Held, p.Warnings, clients.longestWait())
		clients.everyone(t)
	}
	if longest := clients.longestWait(); longest > patientEnough {
		t.Errorf("a client waited %s", longest)
	}
	w.unsteered(t, "0")
}

// TestALoginThatAPauseCutsShortDoesNotStallThePooler lets PgBouncer hang in a
// login for longer than a swap waits for that, so that its PAUSE fails it.
func TestALoginThatAPauseCutsShortDoesNotStallThePooler(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")
	// Logins to a database that is being renamed wait.
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "ALTER DATABASE " + postgres.Quote(w.base(t)) + " RENAME TO held"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	answered := make(chan error, 1)
	go func() { answered <- pooledOnce(t.Context(), w.env.URL) }()
	eventually(t, "a login that hangs", func() bool { return w.console(t, "POOLS", "database", w.base(t), "sv_login") == "1" })
	promoted := make(chan error, 1)
	go func() {
		_, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{})
		promoted <- err
	}()
	began := time.Now()
	eventually(t, "a pause", func() bool { return w.console(t, "DATABASES", "name", w.base(t), "paused") == "1" })
	if waited := time.Since(began); waited < time.Second {
		t.Errorf("the pause came after %s, in the middle of a login", waited)
	}
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-promoted; err != nil {
		t.Fatal(problem(err))
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("the client saw: %v", err)
		}
	case <-time.After(patientEnough):
		t.Error("the client still waits")
	}
	w.unsteered(t, "0")
}

// pooledOnce asks once which version serves.
func pooledOnce(ctx context.Context, url envdb.ConnString) error {
	conn, err := postgres.Connect(ctx, url, postgres.Options{})
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var id string
	return conn.QueryRow(ctx, "SELECT id FROM here", pgx.QueryExecModeExec).Scan(&id)
}

// TestAPauseDoesNotFailLoginsThatFillThePool has PgBouncer keep connections in
// store. It opens them in a pause too, closes them at once, and then refuses
// clients.
func TestAPauseDoesNotFailLoginsThatFillThePool(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	w.pooled(t, pgtest.TransactionPool)
	w.steer(t, "SET min_pool_size = 5")
	g := w.locked(t, "r1")
	w.release(t, g, "a")
	w.build(t, g, "b")
	busy, err := postgres.Connect(t.Context(), w.env.URL, postgres.Options{})
	if err != nil {
		t.Fatal(problem(err))
	}
	defer busy.Close(context.Background())
	// The pause lasts as long as it may, which is many times PgBouncer's
	// interval between looks at its stores.
	if _, err := busy.Exec(t.Context(), "BEGIN", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Promote(t.Context(), w.target(t), "b", generation.PromoteOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	w.throughPooler(t, "b")
	w.unsteered(t, "5")
}

// TestSettingsThatADeadRunChangedArePutBack also tells a setting that somebody
// has changed since from one that envdb left behind.
func TestSettingsThatADeadRunChangedArePutBack(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for name, test := range map[string]struct{ left, want string }{
		"left behind":   {"0.05", "15"},
		"changed since": {"7", "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, s, "")
			w.pooled(t, pgtest.TransactionPool)
			g := w.locked(t, "dead")
			w.release(t, g, "a")
			w.noted(t, `"pausing":true,"pooler_settings":{"min_pool_size":"4","server_login_retry":"15"},`)
			w.steer(t, "SET min_pool_size = 0", "SET server_login_retry = '"+test.left+"'", "PAUSE "+postgres.Quote(w.base(t)))
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			next := w.locked(t, "next")
			w.throughPooler(t, "a")
			for setting, want := range map[string]string{"min_pool_size": "4", "server_login_retry": test.want} {
				if got := w.console(t, "CONFIG", "key", setting, "value"); got != want {
					t.Errorf("%s is %s, want %s", setting, got, want)
				}
			}
			live, err := next.Live(t.Context())
			if err != nil || live.Marker.Pausing || live.Marker.PoolerSettings != (generation.PoolerSettings{}) {
				t.Errorf("got %+v, %v", live.Marker, err)
			}
		})
	}
}

// steer runs commands on PgBouncer's console.
func (w world) steer(t *testing.T, commands ...string) {
	t.Helper()
	console, err := postgres.ConnectConsole(t.Context(), w.env.Pooler.Admin)
	if err != nil {
		t.Fatal(problem(err))
	}
	defer console.Close(context.Background())
	for _, command := range commands {
		if _, err := console.Exec(t.Context(), command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
}

// console returns a column of a SHOW command's row, the one whose key is value.
func (w world) console(t *testing.T, what, key, value, column string) (found string) {
	t.Helper()
	console, err := postgres.ConnectConsole(t.Context(), w.env.Pooler.Admin)
	if err != nil {
		t.Fatal(problem(err))
	}
	defer console.Close(context.Background())
	rows, err := console.Query(t.Context(), "SHOW "+what)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		row := map[string]string{}
		for i, field := range rows.FieldDescriptions() {
			row[field.Name] = string(rows.RawValues()[i])
		}
		if row[key] == value {
			found = row[column]
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// unsteered fails the test unless PgBouncer's settings are what they were.
func (w world) unsteered(t *testing.T, minPoolSize string) {
	t.Helper()
	for setting, want := range map[string]string{"min_pool_size": minPoolSize, "server_login_retry": "15"} {
		if got := w.console(t, "CONFIG", "key", setting, "value"); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
}

// TestClientsThatStillWaitAreReported resumes a pooler that cannot log in.
func TestClientsThatStillWaitAreReported(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	w.pooled(t, pgtest.TransactionPool)
	g := w.locked(t, "dead")
	w.release(t, g, "a")
	w.noted(t, `"pausing":true,`)
	// The live version's marker cannot be written while its logins hang, so
	// that of the one before tells of the pause.
	w.release(t, g, "b")
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	blocker := s.Connect(t, "postgres")
	for _, sql := range []string{"BEGIN", "ALTER DATABASE " + postgres.Quote(w.base(t)) + " RENAME TO held_too"} {
		if _, err := blocker.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { answered <- pooledOnce(ctx, w.env.URL) }()
	eventually(t, "a login that hangs", func() bool { return w.console(t, "POOLS", "database", w.base(t), "sv_login") == "1" })
	w.steer(t, "PAUSE "+postgres.Quote(w.base(t)))
	var log bytes.Buffer
	next, err := generation.Open(t.Context(), w.env, generation.Options{Run: "next", Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(problem(err))
	}
	defer next.Close()
	if err := next.Lock(t.Context()); err != nil {
		t.Error(problem(err))
	}
	if !strings.Contains(log.String(), "still wait after 3s") {
		t.Errorf("the log says %s", log.String())
	}
	stop()
	<-answered
	if _, err := blocker.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w.unsteered(t, "0")
}
