package generation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// How long statements may take before the session is given up.
const (
	quick = 30 * time.Second
	// slow is for CREATE and DROP DATABASE, which write checkpoints.
	slow = 10 * time.Minute
)

// session is the one connection through which an environment is changed.
//
// pgx ends a connection whose statement is cancelled, and the advisory lock
// would go with it; the tidying up after a Ctrl-C needs both. So a statement
// that has begun runs to its end, within a limit, and cancelling is heeded
// before the next. A server that does not answer gets no more than a quick
// statement's time after that: a person waits for it.
type session struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

// do calls f with the connection and a context that the limit ends, and that
// outlives ctx by no more than the time of a quick statement.
func (s *session) do(ctx context.Context, limit time.Duration, f func(context.Context, *pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := interrupted(ctx); err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		over := time.NewTimer(quick)
		defer over.Stop()
		select {
		case <-over.C:
			cancel()
		case <-patient.Done():
		}
	})
	defer stop()
	return f(patient, s.conn)
}

// ping reports whether the session lives. A session that is in use is alive
// as far as anyone can tell.
func (s *session) ping() error {
	if !s.mu.TryLock() {
		return nil
	}
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	return s.conn.Ping(ctx)
}

// pid returns the server's process of the session.
func (s *session) pid() uint32 { return s.conn.PgConn().PID() }

// gone reports whether the connection is of no use any more.
func (s *session) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn.IsClosed()
}

// unlock gives the session's locks back. The server process of a session that
// is closed would do so, too, but some time later. What fails here fails with
// the session.
func (s *session) unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	_, _ = s.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
}

func (s *session) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	return s.conn.Close(ctx)
}

// interrupted returns what to tell a person whose ctx was cancelled before
// anything was done, or nil.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if p := new(envdb.Problem); errors.As(cause, &p) {
		return cause
	}
	return envdb.Fail(envdb.ErrInterrupted, "stopped: %w", cause)
}

// exec runs statements one after the other, until one fails.
func exec(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

// inTransaction runs f in a transaction of conn, and commits it if f returns
// nil.
func inTransaction(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, conn, f)
}
