package generation

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// A pause must not cut a login of PgBouncer's short. PgBouncer closes what is
// logging in to the server while its database is paused or reconnected
// (per_loop_pause, tag_pool_dirty), takes that for a failed login
// (disconnect_server sets last_connect_failed), and then opens nothing for
// that pool for server_login_retry, which is 15 s unless configured: every
// client waits, and a new one is refused. It is so in 1.12, 1.18 and 1.25.2,
// whose sources were read; its pull request 420 was not merged. Therefore:
//
//   - before PAUSE, no connection is logging in (settle), and none will be
//     begun just to fill the pool up (min_pool_size);
//   - after RESUME, a pool that has clients and does not connect is told to,
//     by a short server_login_retry for the moment that this takes (serve).
//
// What is changed is noted in the version's marker before and put back after.
const (
	minPoolSize = "min_pool_size"
	unfilled    = "0"
	loginRetry  = "server_login_retry"
	// soon is server_login_retry while pools are brought back, in seconds. If a
	// login really fails, that often it is tried again until servePatience.
	soon = "0.05"

	// settlePatience is how long the swap waits for PgBouncer's logins to end.
	// Beyond it, serve has to do.
	settlePatience = 2 * time.Second
	// servePatience is how long it may take, after RESUME, until every pool
	// with waiting clients has a connection.
	servePatience = 3 * time.Second
	poolPoll      = 2 * time.Millisecond
)

// PoolerSettings are PgBouncer's settings that a promote changes, with the
// values that it puts back; empty is one that it did not change.
type PoolerSettings struct {
	MinPoolSize string `json:"min_pool_size,omitempty"`
	LoginRetry  string `json:"server_login_retry,omitempty"` // in seconds
}

// pool is PgBouncer's clients and connections of one role in the database.
type pool struct {
	waiting int // clients without a connection that want one
	login   int // connections that are logging in
	servers int // connections beyond that
}

// pools asks PgBouncer for the pools of the environment's database.
func (g *Generations) pools(ctx context.Context, console *pgx.Conn) ([]pool, error) {
	var pools []pool
	err := g.show(ctx, console, "POOLS", func(row map[string]string) error {
		if row["database"] != g.pooledName() {
			return nil
		}
		var p pool
		for column, text := range row {
			if column != "cl_waiting" && !strings.HasPrefix(column, "sv_") {
				continue
			}
			n, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("%s: %w", column, err)
			}
			switch column {
			case "cl_waiting":
				p.waiting = n
			case "sv_login":
				p.login = n
			default:
				p.servers += n
			}
		}
		pools = append(pools, p)
		return nil
	})
	return pools, err
}

// setting returns one of PgBouncer's settings, or "" if it has no such.
func (g *Generations) setting(ctx context.Context, console *pgx.Conn, name string) (value string, err error) {
	err = g.show(ctx, console, "CONFIG", func(row map[string]string) error {
		if row["key"] == name {
			value = row["value"]
		}
		return nil
	})
	return value, err
}

// show runs a SHOW command of the console. Versions differ in the columns, so
// rows come by name.
func (g *Generations) show(ctx context.Context, console *pgx.Conn, what string, each func(row map[string]string) error) error {
	rows, err := console.Query(ctx, "SHOW "+what)
	if err != nil {
		return fmt.Errorf("pooler of %s: SHOW %s: %w", g.env.Name, what, err)
	}
	defer rows.Close()
	for rows.Next() {
		row := map[string]string{}
		for i, value := range rows.RawValues() {
			row[rows.FieldDescriptions()[i].Name] = string(value)
		}
		if err := each(row); err != nil {
			return fmt.Errorf("pooler of %s: SHOW %s: %w", g.env.Name, what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("pooler of %s: SHOW %s: %w", g.env.Name, what, err)
	}
	return nil
}

// change gives one of PgBouncer's settings a value, until its RELOAD.
func (g *Generations) change(ctx context.Context, console *pgx.Conn, name, value string) error {
	if _, err := console.Exec(ctx, "SET "+name+" = "+postgres.Literal(value)); err != nil {
		return fmt.Errorf("pooler of %s: set %s to %s: %w", g.env.Name, name, value, err)
	}
	return nil
}

// prepare changes the settings that are noted, and waits until PgBouncer is
// not logging in.
func (g *Generations) prepare(ctx context.Context, console *pgx.Conn, noted PoolerSettings) error {
	if noted.MinPoolSize != "" {
		if err := g.change(ctx, console, minPoolSize, unfilled); err != nil {
			return err
		}
	}
	return g.settle(ctx, console)
}

// settle waits until no connection is logging in, or settlePatience is over.
func (g *Generations) settle(ctx context.Context, console *pgx.Conn) error {
	_, err := g.await(ctx, console, settlePatience, func(pools []pool) (bool, error) {
		return !slices.ContainsFunc(pools, func(p pool) bool { return p.login > 0 }), nil
	})
	return err
}

// serve waits until every pool with waiting clients has a connection, and sees
// to it that those connect at once which would not. It returns why clients
// still wait, if they do.
func (g *Generations) serve(ctx context.Context, console *pgx.Conn, oid uint32) error {
	hastened := false
	served, err := g.await(ctx, console, servePatience, func(pools []pool) (bool, error) {
		starved := slices.DeleteFunc(pools, func(p pool) bool { return p.waiting == 0 || p.servers > 0 })
		if hastened || !slices.ContainsFunc(starved, func(p pool) bool { return p.login == 0 }) {
			return len(starved) == 0, nil
		}
		hastened = true
		return false, g.hasten(ctx, console, oid)
	})
	if err != nil || served {
		return err
	}
	return envdb.Fail(nil, "the pooler of %s was resumed, and its clients still wait after %s for it to connect", g.env.Name, servePatience).
		WithNext("see PgBouncer's log, and SHOW POOLS on its console")
}

// hasten makes PgBouncer connect soon after a failed login, having noted it.
func (g *Generations) hasten(ctx context.Context, console *pgx.Conn, oid uint32) error {
	was, err := g.setting(ctx, console, loginRetry)
	if err != nil || was == "" {
		return err
	}
	if err := g.note(ctx, oid, func(m *Marker) { m.PoolerSettings.LoginRetry = was }); err != nil {
		return err
	}
	return g.change(ctx, console, loginRetry, soon)
}

// putBack gives the settings that a version's marker notes their values back,
// unless somebody changed them since.
func (g *Generations) putBack(ctx context.Context, console *pgx.Conn, oid uint32) error {
	var noted PoolerSettings
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		v, err := g.byOID(ctx, conn, oid)
		if err == nil && v.Marker != nil {
			noted = v.Marker.PoolerSettings
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, setting := range []struct{ name, ours, was string }{
		{minPoolSize, unfilled, noted.MinPoolSize},
		{loginRetry, soon, noted.LoginRetry},
	} {
		if setting.was == "" {
			continue
		}
		now, err := g.setting(ctx, console, setting.name)
		if err == nil && now == setting.ours {
			err = g.change(ctx, console, setting.name, setting.was)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await asks for the pools until enough says so, or the patience is over.
func (g *Generations) await(ctx context.Context, console *pgx.Conn, patience time.Duration, enough func([]pool) (bool, error)) (bool, error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	tick := time.NewTicker(poolPoll)
	defer tick.Stop()
	for {
		pools, err := g.pools(ctx, console)
		if err != nil {
			return false, err
		}
		if ok, err := enough(pools); ok || err != nil {
			return ok, err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return false, nil
		case <-ctx.Done():
			return false, interrupted(ctx)
		}
	}
}
