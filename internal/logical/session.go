package logical

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

const (
	// heartbeat is how often an idle leader is asked whether it lives.
	heartbeat = 10 * time.Second
	// closing is how long the sessions may take to end.
	closing = 10 * time.Second
)

// sessions are the connections of an attempt. The watcher is outside of the
// snapshot and sees the database as it is now.
type sessions struct {
	leader  *pgx.Conn
	watcher *pgx.Conn
	workers []*pgx.Conn
	wires   []*wire // of the workers, in their order
}

// open connects everything at the start, so that a server without free
// connections is noticed before anything is read.
func (a *attempt) open(ctx context.Context) (err error) {
	s := &a.sessions
	if s.leader, err = a.connect(ctx, nil); err != nil {
		return err
	}
	if a.version, err = postgres.ReadServerVersion(ctx, s.leader); err != nil {
		return err
	}
	if err := a.refusePooler(ctx); err != nil {
		return err
	}
	if s.watcher, err = a.connect(ctx, nil); err != nil {
		return err
	}
	for range a.src.Jobs {
		wire := new(wire)
		worker, err := a.connect(ctx, wire.attach)
		if err != nil {
			return err
		}
		s.workers, s.wires = append(s.workers, worker), append(s.wires, wire)
		// Large objects are read in the order of their index, never sorted.
		if err := execute(ctx, worker, "SET enable_sort = off; SET enable_bitmapscan = off"); err != nil {
			return explain(err, "set up the session")
		}
	}
	return nil
}

// refusePooler fails behind a pooler: a snapshot and its locks live in one
// session, which a pooler may hand to somebody else.
func (a *attempt) refusePooler(ctx context.Context) error {
	pooler, err := postgres.DetectPooler(ctx, a.sessions.leader)
	if err != nil {
		return err
	}
	if pooler == "" {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "the backup would go through a pooler: %s", pooler).
		WithState("nothing was read").
		WithNext("set direct_url to the server itself")
}

// connect opens a pinned session that reads rows in the order in which they
// lie, so that what did not change reads the same as last time. Through, if not
// nil, is what it reads through.
func (a *attempt) connect(ctx context.Context, through func(io.Reader) io.Reader) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, a.src.URL, postgres.Options{App: a.src.App, Pin: true, Through: through})
	if err != nil {
		return nil, a.tooFew(err)
	}
	const setup = `SET max_parallel_workers_per_gather = 0; SET jit = off; SET synchronize_seqscans = off`
	if err := execute(ctx, conn, setup); err != nil {
		return nil, errors.Join(explain(err, "set up the session"), conn.Close(ctx))
	}
	if err := TakeBytesAsTheyAre(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(ctx))
	}
	return conn, nil
}

// TakeBytesAsTheyAre lets a pinned session read a database without an encoding
// (SQL_ASCII), whose text need not be UTF-8. In any other database it changes
// nothing.
func TakeBytesAsTheyAre(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false)` +
		` WHERE pg_catalog.current_setting('server_encoding') = 'SQL_ASCII'`
	return explain(execute(ctx, conn, sql), "set up the session")
}

// tooFew says how many connections a backup needs, if the server has none left.
func (a *attempt) tooFew(err error) error {
	if !hasCode(err, codeTooManyConnections) {
		return err
	}
	return envdb.Fail(envdb.ErrBusy, "the server has no free connection for the backup, which needs %d: %w", a.src.Jobs+3, err).
		WithState("nothing was read").
		WithNext("use fewer jobs, close idle sessions, or raise max_connections on the server")
}

// keepAlive keeps the leader from looking idle until the copying is done. If the
// leader dies, so does the snapshot, and everything stops.
func (a *attempt) keepAlive(ctx context.Context, done <-chan struct{}) error {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := execute(ctx, a.sessions.leader, "SELECT 1"); err != nil {
				return explain(err, "keep the snapshot")
			}
		}
	}
}

// commit ends the leader's transaction, which shows that it lived to the end.
func (a *attempt) commit(ctx context.Context) error {
	if err := execute(ctx, a.sessions.leader, "COMMIT"); err != nil {
		return explain(err, "end the snapshot")
	}
	return nil
}

// close ends every session, whatever state it is in.
func (s *sessions) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	for _, conn := range s.all() {
		_ = conn.Close(ctx) // a session that was cut has nothing left to lose
	}
}

// cut drops the connections under the sessions, from any goroutine, so that
// the server ends their transactions whatever they are busy with here.
func (s *sessions) cut() {
	for _, conn := range s.all() {
		_ = conn.PgConn().Conn().Close() // it is of no use any more
	}
}

func (s *sessions) all() []*pgx.Conn {
	all := slices.Concat([]*pgx.Conn{s.leader, s.watcher}, s.workers)
	return slices.DeleteFunc(all, func(conn *pgx.Conn) bool { return conn == nil })
}

// pids returns the server's processes that hold locks for the attempt.
func (s *sessions) pids() []int32 {
	pids := []int32{int32(s.leader.PgConn().PID())}
	for _, w := range s.workers {
		pids = append(pids, int32(w.PgConn().PID()))
	}
	return pids
}

// execute runs statements that return nothing of interest.
func execute(ctx context.Context, conn *pgx.Conn, sql string) error {
	_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// executeOne runs a statement with parts that a person wrote, and returns how
// many rows it changed. It refuses a text that is more than one statement.
func executeOne(ctx context.Context, conn *pgx.Conn, sql string) (int64, error) {
	result := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	return result.CommandTag.RowsAffected(), result.Err
}

// query collects the rows of a query into a slice of T, column by field.
func query[T any](ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]T, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}

// queryOne returns the only row of a query.
func queryOne[T any](ctx context.Context, conn *pgx.Conn, sql string, args ...any) (T, error) {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[T])
}

// queryValue returns the first value of a query as text, or "" if there is
// none or it is NULL.
func queryValue(ctx context.Context, conn *pgx.Conn, sql string) (string, error) {
	results, err := conn.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	if len(results) == 0 || len(results[0].Rows) == 0 || len(results[0].Rows[0]) == 0 {
		return "", nil
	}
	return string(results[0].Rows[0][0]), nil
}
