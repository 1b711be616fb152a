package generation

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// enderPoll is how often the ender looks.
const enderPoll = 5 * time.Millisecond

// endSQL ends the sessions in the databases ($2), but only while the process
// $1 holds their logins up: before that they would come back, and should the
// swap fail they would have died for nothing. The fence of a materialised query
// keeps the planner from ending first and asking afterwards.
const endSQL = `
	WITH target AS MATERIALIZED (
		SELECT pid FROM pg_stat_activity
		WHERE datid = ANY ($2::oid[]) AND usesysid IS NOT NULL AND pid <> pg_backend_pid() AND (` + endable + `)
		  AND EXISTS (SELECT FROM pg_locks l
		              WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.objid = ANY ($2::oid[])
		                AND l.mode = 'AccessExclusiveLock' AND l.granted AND l.pid = $1))
	SELECT pid FROM target WHERE pg_terminate_backend(pid)`

// ender ends the sessions that are in the way of a swap, from a connection of
// its own that was opened before logins were held.
type ender struct {
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	ended map[int32]struct{}
	err   error
}

// newEnder connects and begins to look.
func (g *Generations) newEnder(ctx context.Context, x exchange) (*ender, error) {
	conn, err := g.connect(ctx, g.env.Maintenance())
	if err != nil {
		return nil, err
	}
	oids := []uint32{x.next.OID}
	if x.live != nil {
		oids = append(oids, x.live.OID)
	}
	swapper := int32(g.session.pid())
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &ender{stop: stop, done: make(chan struct{}), ended: map[int32]struct{}{}}
	go func() {
		defer close(e.done)
		defer closeConn(conn)
		e.run(running, conn, swapper, oids)
	}()
	return e, nil
}

func (e *ender) run(ctx context.Context, conn *pgx.Conn, swapper int32, oids []uint32) {
	tick := time.NewTicker(enderPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		pids, err := endOnce(conn, swapper, oids)
		e.note(pids, err)
		if conn.IsClosed() {
			return
		}
	}
}

// endOnce is not cancelled when the ender stops: a query takes a moment, and
// ends by itself.
func endOnce(conn *pgx.Conn, swapper int32, oids []uint32) ([]int32, error) {
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	rows, err := conn.Query(ctx, endSQL, swapper, oids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int32])
}

func (e *ender) note(pids []int32, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, pid := range pids {
		e.ended[pid] = struct{}{}
	}
	if err != nil {
		e.err = err
	}
}

// count returns how many sessions were ended.
func (e *ender) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ended)
}

// failure returns what last went wrong, if anything did.
func (e *ender) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *ender) close() {
	e.stop()
	<-e.done
}

func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), quick)
	defer cancel()
	_ = conn.Close(ctx)
}
