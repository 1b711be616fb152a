package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
)

// crowd is clients that ask a database again and again, each over a
// connection of its own, and come back at once when they are thrown out.
type crowd struct {
	to    *pgx.ConnConfig
	pause time.Duration

	stop    context.CancelFunc
	clients sync.WaitGroup
	mu      sync.Mutex
	seen    outage
	waiting map[int]time.Time // the last success of each client
}

// outage is what a crowd saw while it was watched.
type outage struct {
	// Served counts the answers, errors those of each SQLSTATE, or what else
	// went wrong.
	served int
	errors map[string]int
	// longest is the longest time that a client went without an answer;
	// failing the same among the clients that saw an error in it.
	longest, failing time.Duration
	// first and last are when the first and the last error was seen.
	first, last time.Time
	// held is how long envdb says that logins were held.
	held time.Duration
}

// span is how long errors were seen.
func (o outage) span() time.Duration { return o.last.Sub(o.first) }

// gather starts clients and returns when each has had an answer.
func gather(ctx context.Context, to envdb.ConnString, clients int, pause time.Duration) (*crowd, error) {
	config, err := pgx.ParseConfig(to.Reveal())
	if err != nil {
		return nil, errors.New("the address of the clients is malformed")
	}
	// A pooler that gives connections away after each transaction keeps no
	// prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &crowd{to: config, pause: pause, stop: stop, waiting: map[int]time.Time{}}
	c.watch()
	for i := range clients {
		c.clients.Go(func() { c.client(background, i) })
	}
	patience, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c.complete(clients) {
			return c, nil
		}
		select {
		case <-tick.C:
		case <-patience.Done():
			c.leave()
			return nil, fmt.Errorf("%d clients do not all get an answer: %v", clients, c.seen.errors)
		}
	}
}

// complete reports whether every client has had an answer.
func (c *crowd) complete(clients int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) == clients
}

// watch begins to count anew.
func (c *crowd) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = outage{errors: map[string]int{}}
	now := time.Now()
	for i := range c.waiting {
		c.waiting[i] = now
	}
}

// result returns what was seen since watch, once every client has had an
// answer after now.
func (c *crowd) result(ctx context.Context) (outage, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for asked := time.Now(); ; {
		c.mu.Lock()
		all := true
		for _, answered := range c.waiting {
			all = all && answered.After(asked)
		}
		seen := c.seen
		seen.errors = maps.Clone(seen.errors)
		c.mu.Unlock()
		if all {
			return seen, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return seen, fmt.Errorf("clients do not get an answer any more: %v", seen.errors)
		}
	}
}

// leave ends the clients.
func (c *crowd) leave() {
	c.stop()
	c.clients.Wait()
}

// client asks until ctx ends.
func (c *crowd) client(ctx context.Context, i int) {
	failed := false
	for ctx.Err() == nil {
		conn, err := pgx.ConnectConfig(ctx, c.to.Copy())
		for err == nil {
			var one int
			if err = conn.QueryRow(ctx, "SELECT count(*) FROM pg_class WHERE oid = 1259").Scan(&one); err != nil {
				break
			}
			c.served(i, failed)
			failed = false
			err = wait(ctx, c.pause)
		}
		if ctx.Err() == nil {
			c.failed(err)
			failed = true
		}
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // the server ended it, or it is not wanted any more
		}
	}
}

// wait waits unless ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *crowd) served(i int, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if before, known := c.waiting[i]; known {
		c.seen.longest = max(c.seen.longest, now.Sub(before))
		if failed {
			c.seen.failing = max(c.seen.failing, now.Sub(before))
		}
	}
	c.waiting[i] = now
	c.seen.served++
}

func (c *crowd) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.errors[kind(err)]++
	c.seen.last = time.Now()
	if c.seen.first.IsZero() {
		c.seen.first = c.seen.last
	}
}

// kind returns the SQLSTATE of an error with its name, or what happened to
// the connection.
func kind(err error) string {
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		if name, known := states[pg.Code]; known {
			return pg.Code + " " + name
		}
		return pg.Code
	}
	return "connection closed"
}

// states names what clients see during a swap, as PostgreSQL's appendix
// "Error Codes" does.
var states = map[string]string{
	"57P01": "admin_shutdown",
	"57P03": "cannot_connect_now",
	"3D000": "invalid_catalog_name",
	"55000": "object_not_in_prerequisite_state",
	"53300": "too_many_connections",
	"08P01": "protocol_violation",
}
