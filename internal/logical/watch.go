package logical

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// waiter is a session that waits for a lock of the backup.
type waiter struct {
	PID    int32
	User   string
	App    string
	Mode   string
	Table  string
	Waited time.Duration
}

func (w waiter) String() string {
	who := fmt.Sprintf("process %d", w.PID)
	if w.User != "" {
		who += " of " + w.User
	}
	if w.App != "" {
		who += fmt.Sprintf(" (%s)", w.App)
	}
	return fmt.Sprintf("%s waited %s for %s on table %s", who, w.Waited.Round(10*time.Millisecond), w.Mode, w.Table)
}

// waitersQuery lists who waits for a lock on a table that one of the given
// processes holds, the longest first. What waits for the end of transactions
// in general, as CREATE INDEX CONCURRENTLY does, is not listed: it holds
// nobody up.
const waitersQuery = `
WITH waiting AS MATERIALIZED (
  SELECT pid, mode, relation, waitstart FROM pg_catalog.pg_locks
   WHERE NOT granted AND locktype = 'relation' AND NOT pid = ANY($1::int[])
     AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
)
SELECT w.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), w.mode, w.relation::regclass::text,
       coalesce(clock_timestamp() - w.waitstart, '0')
  FROM waiting w LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE pg_blocking_pids(w.pid) && $1::int[]
 ORDER BY 6 DESC`

// watch looks, until ctx ends, for sessions that wait for the backup's locks.
// When one has waited for LockPatience the backup yields: the attempt ends, and
// with it every lock.
func (a *attempt) watch(ctx context.Context) *errgroup.Group {
	group := new(errgroup.Group)
	group.Go(func() error {
		tick := time.NewTicker(max(a.src.LockPatience/8, 10*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			err := a.look(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return a.must(err)
			}
		}
	})
	return group
}

// look fails if somebody has waited for too long.
func (a *attempt) look(ctx context.Context) error {
	waiters, err := a.waiters(ctx, a.sessions.watcher, waitersQuery, a.sessions.pids())
	if err != nil {
		return explain(err, "watch who waits for the backup")
	}
	if len(waiters) == 0 || waiters[0].Waited < a.src.LockPatience {
		return nil
	}
	return yielded(waiters[0])
}

func yielded(w waiter) *passing {
	return &passing{
		text: w.String(),
		next: fmt.Sprintf("run the backup when table %s is not being altered", w.Table),
	}
}

func (a *attempt) waiters(ctx context.Context, conn *pgx.Conn, sql string, args ...any) ([]waiter, error) {
	return query[waiter](ctx, conn, sql, args...)
}

// strongQuery lists who holds, or waits for, a lock on one of the given tables
// that keeps readers out.
const strongQuery = `
SELECT l.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), l.mode, l.relation::regclass::text,
       coalesce(clock_timestamp() - coalesce(l.waitstart, a.xact_start), '0')
  FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
 WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.relation = ANY($1::oid[])
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
 ORDER BY l.granted DESC, 6 DESC`

// heldByOthers says who keeps the backup from reading one of the tables. The
// session it asks over must be in no failed transaction.
func (a *attempt) heldByOthers(ctx context.Context, conn *pgx.Conn, tables []*relation) error {
	oids := make([]uint32, 0, len(tables))
	for _, r := range tables {
		oids = append(oids, r.OID)
	}
	holders, err := a.waiters(ctx, conn, strongQuery, oids)
	if err != nil {
		return explain(err, "ask who holds a table")
	}
	if len(holders) == 0 {
		return &passing{text: "a table was locked by somebody", next: "run the backup again"}
	}
	h := holders[0]
	return &passing{
		text: fmt.Sprintf("process %d of %s (%s) has or wants %s on table %s for %s", h.PID, h.User, h.App, h.Mode, h.Table, h.Waited.Round(10*time.Millisecond)),
		next: fmt.Sprintf("wait until process %d is done with table %s, or end it; then run the backup again", h.PID, h.Table),
	}
}

// begin starts a transaction in the snapshot and locks what the task reads. A
// worker never queues for a lock: somebody who wants the table for himself may
// be in front, and the leader, whom he waits for, would wait for the worker.
func (w *worker) begin(ctx context.Context, t task) error {
	if t.lock == nil {
		return execute(ctx, w.conn, w.join())
	}
	sql := w.join() + "LOCK TABLE ONLY " + t.lock.sql() + " IN ACCESS SHARE MODE NOWAIT"
	patience := time.Now().Add(2 * w.src.LockPatience)
	for {
		err := execute(ctx, w.conn, sql)
		if !hasCode(err, codeLockNotAvailable) {
			return err
		}
		if err := execute(ctx, w.conn, "ROLLBACK"); err != nil {
			return err
		}
		if time.Now().After(patience) {
			return w.heldByOthers(ctx, w.conn, []*relation{t.lock})
		}
		if err := pause(ctx, w.src.LockPatience/8); err != nil {
			return err
		}
	}
}
