package generation

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

const (
	// heartbeat is how often the session that holds the lock is asked.
	heartbeat = 250 * time.Millisecond
	// fencePatience is how long a session may take to die once it was ended.
	fencePatience = 30 * time.Second
	fencePoll     = 50 * time.Millisecond
)

// lock is what this process knows of the advisory lock. Its context ends when
// the lock is released or lost; it is the lock's life, not a caller's context.
type lock struct {
	mu     sync.Mutex
	life   context.Context
	end    context.CancelCauseFunc
	beaten chan struct{} // closed when the watching goroutine has stopped
}

// lockKey returns the key of a live name's advisory lock. The lock lives in
// the maintenance database, so all who share an environment share that too.
func lockKey(base string) int64 {
	sum := sha256.Sum256([]byte("envdb lock " + base))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// Lock takes the environment's advisory lock, which everything that changes
// the environment needs, or fails with ErrBusy and says who holds it. It is
// held until Close. A pooler that a dead run left paused is resumed.
func (g *Generations) Lock(ctx context.Context) error {
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		taken, err := g.tryLock(ctx, conn)
		if err != nil || taken {
			return err
		}
		return g.busy(ctx, conn)
	})
	if err != nil {
		return err
	}
	return g.locked(ctx)
}

// Fence ends every session of a run that is dead, wherever it may be stuck,
// and takes the lock.
func (g *Generations) Fence(ctx context.Context, deadRun string) error {
	if deadRun == "" || deadRun == g.run {
		return envdb.Fail(envdb.ErrMisuse, "run %q cannot be fenced off by %q", deadRun, g.run)
	}
	deadline := time.Now().Add(fencePatience)
	for {
		taken, err := g.fenceOnce(ctx, deadRun)
		switch {
		case err != nil:
			return err
		case taken:
			return g.locked(ctx)
		case time.Now().After(deadline):
			return g.session.do(ctx, quick, g.busy)
		}
		select {
		case <-ctx.Done():
			return interrupted(ctx)
		case <-time.After(fencePoll):
		}
	}
}

// fenceOnce ends the dead run's sessions, and reports whether the lock was free
// and no session is left.
func (g *Generations) fenceOnce(ctx context.Context, deadRun string) (taken bool, err error) {
	err = g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		var left int
		err := conn.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE application_name = $1 AND pid <> pg_backend_pid()`, sessionName(App(deadRun))).Scan(&left)
		if postgres.SQLState(err) == insufficient {
			return g.cannotEnd(err, "the sessions of run "+deadRun)
		}
		if err != nil || left > 0 {
			return g.explain(err, "end the sessions of run "+deadRun)
		}
		taken, err = g.tryLock(ctx, conn)
		return err
	})
	return taken, err
}

// sessionName is what PostgreSQL keeps of an application_name.
func sessionName(app string) string {
	kept := make([]byte, 0, len(app))
	for _, b := range []byte(app) {
		if b < ' ' || b > '~' {
			b = '?'
		}
		kept = append(kept, b)
	}
	return string(kept[:min(len(kept), longestName)])
}

func (g *Generations) tryLock(ctx context.Context, conn *pgx.Conn) (taken bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey(g.base)).Scan(&taken)
	return taken, g.explain(err, "lock the versions")
}

// busy says who holds the lock.
func (g *Generations) busy(ctx context.Context, conn *pgx.Conn) error {
	key := uint64(lockKey(g.base))
	var pid int
	var app string
	var since *time.Time
	err := conn.QueryRow(ctx, `
		SELECT l.pid, coalesce(a.application_name, ''), a.backend_start
		FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND l.classid = $1::oid AND l.objid = $2::oid`, uint32(key>>32), uint32(key)).Scan(&pid, &app, &since)
	if errors.Is(err, pgx.ErrNoRows) {
		return envdb.Fail(envdb.ErrBusy, "the versions of %s were locked until just now", g.env.Name).
			WithState("nothing was changed").WithNext("run this again")
	}
	if err != nil {
		return g.explain(err, "see who holds the lock")
	}
	held := ""
	if since != nil {
		held = fmt.Sprintf(", connected since %s", since.UTC().Format(time.RFC3339))
	}
	return envdb.Fail(envdb.ErrBusy, "the versions of %s are locked by %s (server process %d%s)", g.env.Name, app, pid, held).
		WithState("nothing was changed").
		WithNext("wait for it, or see `envdb runs`; a run whose machine is gone is taken over by itself when its lease ends")
}

// locked starts watching the session that holds the lock.
func (g *Generations) locked(ctx context.Context) error {
	g.lock.mu.Lock()
	if g.lock.life == nil {
		g.lock.life, g.lock.end = context.WithCancelCause(context.WithoutCancel(ctx))
		g.lock.beaten = make(chan struct{})
		go g.watch(g.lock.life, g.lock.end, g.lock.beaten)
	}
	g.lock.mu.Unlock()
	return g.unpause(ctx)
}

// watch asks the session until it is gone or the lock is released.
func (g *Generations) watch(life context.Context, end context.CancelCauseFunc, beaten chan<- struct{}) {
	defer close(beaten)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
			if err := g.session.ping(); err != nil {
				end(g.lostLock(err))
			}
		}
	}
}

func (g *Generations) lostLock(err error) error {
	return envdb.Fail(envdb.ErrBusy, "the lock of %s was lost: %w", g.env.Name, err).
		WithNext("another run may have taken over, see `envdb runs`; otherwise run this again")
}

// release stops watching; a nil cause is an orderly end.
func (l *lock) release(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life == nil {
		return
	}
	l.end(cause)
	<-l.beaten
}

// require fails if the lock is not held.
func (l *lock) require(env string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.life == nil {
		return envdb.Fail(envdb.ErrMisuse, "the versions of %s are not locked", env)
	}
	if l.life.Err() != nil {
		return context.Cause(l.life)
	}
	return nil
}

// Bind returns a context that ends with ctx, and also, with an error that says
// so as its cause, when the lock is lost. What a run does to an environment is
// done under it. The lock must be held.
func (g *Generations) Bind(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(ctx)
	g.lock.mu.Lock()
	life := g.lock.life
	g.lock.mu.Unlock()
	if life == nil {
		cancel(g.lock.require(g.env.Name))
		return bound, func() {}
	}
	stop := context.AfterFunc(life, func() { cancel(context.Cause(life)) })
	return bound, func() { stop(); cancel(nil) }
}
