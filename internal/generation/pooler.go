package generation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// pausePatience is how long the pooler may wait for transactions to end before
// the swap goes on and ends their sessions. PgBouncer waits for whole sessions
// if it pools those.
const pausePatience = 3 * time.Second

// refusePooler fails if something between envdb and the server shares server
// connections out: an advisory lock would belong to nobody.
func refusePooler(ctx context.Context, conn *pgx.Conn, env envdb.Environment) error {
	pooler, err := postgres.DetectPooler(ctx, conn)
	if err != nil || pooler == "" {
		return err
	}
	return envdb.Fail(envdb.ErrPreflight, "%s is reached through a connection pooler, where locks do not hold (%s)", env.Name, pooler).
		WithState("nothing was changed").
		WithNext("set direct_url of %s to the server itself", env.Name)
}

// command runs a command of PgBouncer's console on the environment's database.
func (g *Generations) command(ctx context.Context, console *pgx.Conn, verb string) error {
	database := cmp.Or(g.env.Pooler.Database, g.base)
	_, err := console.Exec(ctx, verb+" "+postgres.Quote(database))
	if err != nil {
		return fmt.Errorf("pooler of %s: %s %s: %w", g.env.Name, verb, database, err)
	}
	return nil
}

// pause makes the pooler hold its clients back, if envdb may steer it, and
// returns what lets them go again. The caller calls that whatever happens.
//
// Should this process die meanwhile, the marker of the version says that the
// pause was ours, and whoever takes the lock next resumes.
func (g *Generations) pause(ctx context.Context, x *exchange, p *Promotion) (resume func() error, err error) {
	if g.env.Pooler.Admin == "" {
		return func() error { return nil }, nil
	}
	console, err := postgres.ConnectConsole(ctx, g.env.Pooler.Admin)
	if err != nil {
		return nil, envdb.Fail(nil, "pooler of %s: %w", g.env.Name, err).
			WithState("nothing was changed").WithNext("check pooler.admin of %s", g.env.Name)
	}
	if err := g.setPausing(ctx, x.next.OID, true); err != nil {
		return nil, errors.Join(err, console.Close(ctx))
	}
	x.nextMarker.Pausing = true
	paused, done := make(chan error, 1), make(chan struct{})
	pausing, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(done)
		paused <- g.command(pausing, console, "PAUSE")
	}()
	resume = func() error {
		stop()
		<-done
		closeConn(console)
		return g.resume(context.WithoutCancel(ctx), x)
	}
	select {
	case err = <-paused:
	case <-time.After(pausePatience):
		p.Warnings = append(p.Warnings, fmt.Sprintf("the pooler still had transactions or sessions after %s: they were ended", pausePatience))
	case <-ctx.Done():
		err = interrupted(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, resume())
	}
	return resume, nil
}

// resume lets the pooler's clients go on, on new server connections, and takes
// the note of the pause back.
func (g *Generations) resume(ctx context.Context, x *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	if err := g.resumePooler(ctx); err != nil {
		return err
	}
	x.nextMarker.Pausing = false
	return g.setPausing(ctx, x.next.OID, false)
}

// resumePooler does nothing if the pooler is not paused.
func (g *Generations) resumePooler(ctx context.Context) error {
	console, err := postgres.ConnectConsole(ctx, g.env.Pooler.Admin)
	if err == nil {
		defer closeConn(console)
		err = g.command(ctx, console, "RECONNECT")
	}
	if err == nil {
		err = g.command(ctx, console, "RESUME")
	}
	if err == nil || strings.Contains(err.Error(), "not paused") { // its console has no error codes
		return nil
	}
	return envdb.Fail(envdb.ErrUnreachable, "the pooler of %s may still be paused: %w", g.env.Name, err).
		WithNext("on its console: RESUME %s;", postgres.Quote(cmp.Or(g.env.Pooler.Database, g.base)))
}

// setPausing notes in a version's marker whether the pooler is paused for it.
func (g *Generations) setPausing(ctx context.Context, oid uint32, pausing bool) error {
	return g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		var name string
		if err := conn.QueryRow(ctx, "SELECT datname FROM pg_database WHERE oid = $1", oid).Scan(&name); err != nil {
			return g.explain(err, "find the version")
		}
		v, err := g.read(ctx, conn, name)
		if err != nil || v.Marker == nil {
			return err
		}
		m := *v.Marker
		m.Pausing = pausing
		comment, err := commentOn(name, v.Comment, m)
		if err != nil {
			return err
		}
		return g.explain(exec(ctx, conn, comment), "mark database "+name)
	})
}

// unpause resumes the pooler if a marker tells of a run that died while it was
// paused. The lock is held, so no run is in the middle of a promote.
func (g *Generations) unpause(ctx context.Context) error {
	if g.env.Pooler.Admin == "" {
		return nil
	}
	versions, err := g.List(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Marker == nil || !v.Marker.Pausing {
			continue
		}
		g.log.Warn("resuming a pooler that a dead run left paused", "env", g.env.Name, "run", v.Marker.Run)
		if err := g.resumePooler(ctx); err != nil {
			return err
		}
		if err := g.setPausing(ctx, v.OID, false); err != nil {
			return err
		}
	}
	return nil
}
