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

// pooledName returns the name that PgBouncer gives the environment's database.
func (g *Generations) pooledName() string { return cmp.Or(g.env.Pooler.Database, g.base) }

// command runs a command of PgBouncer's console on the environment's database.
func (g *Generations) command(ctx context.Context, console *pgx.Conn, verb string) error {
	_, err := console.Exec(ctx, verb+" "+postgres.Quote(g.pooledName()))
	if err != nil {
		return fmt.Errorf("pooler of %s: %s %s: %w", g.env.Name, verb, g.pooledName(), err)
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
	if err := g.notePause(ctx, console, x); err != nil {
		return nil, errors.Join(err, console.Close(ctx))
	}
	paused, done := make(chan error, 1), make(chan struct{})
	pausing, stop := context.WithCancel(context.WithoutCancel(ctx))
	resume = func() error {
		stop()
		<-done
		closeConn(console)
		return g.resume(context.WithoutCancel(ctx), x, p)
	}
	if err := g.prepare(ctx, console, x.nextMarker.PoolerSettings); err != nil {
		close(done)
		return nil, errors.Join(err, resume())
	}
	go func() {
		defer close(done)
		paused <- g.command(pausing, console, "PAUSE")
	}()
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

// notePause writes into the version's marker that the pooler is being paused,
// and which of its settings change meanwhile.
func (g *Generations) notePause(ctx context.Context, console *pgx.Conn, x *exchange) error {
	fill, err := g.setting(ctx, console, minPoolSize)
	if err != nil {
		return err
	}
	x.nextMarker.Pausing = true
	if fill != unfilled {
		x.nextMarker.PoolerSettings.MinPoolSize = fill
	}
	return g.note(ctx, x.next.OID, func(m *Marker) {
		m.Pausing, m.PoolerSettings = true, x.nextMarker.PoolerSettings
	})
}

// resume lets the pooler's clients go on and takes the note of the pause back.
func (g *Generations) resume(ctx context.Context, x *exchange, p *Promotion) error {
	ctx, cancel := context.WithTimeout(ctx, quick)
	defer cancel()
	unserved, err := g.resumePooler(ctx, x.next.OID)
	if unserved != nil {
		p.Warnings = append(p.Warnings, unserved.Error())
		g.log.Warn("clients behind the pooler wait", "env", g.env.Name, "err", unserved)
	}
	if err != nil {
		return err
	}
	x.nextMarker.Pausing, x.nextMarker.PoolerSettings = false, PoolerSettings{}
	return nil
}

// resumePooler lets the pooler's clients go on, on new server connections,
// sees that they get those, puts the settings back, and takes the note in the
// version's marker back once all that is done. A pooler that is not paused is
// treated alike. Unserved says why clients still wait, if they do.
func (g *Generations) resumePooler(ctx context.Context, oid uint32) (unserved, err error) {
	console, err := postgres.ConnectConsole(ctx, g.env.Pooler.Admin)
	if err != nil {
		return nil, g.stillPaused(err)
	}
	defer closeConn(console)
	err = g.command(ctx, console, "RECONNECT")
	if err == nil {
		err = g.command(ctx, console, "RESUME")
	}
	if err != nil && !strings.Contains(err.Error(), "not paused") { // its console has no error codes
		return nil, g.stillPaused(err)
	}
	unserved = g.serve(ctx, console, oid)
	if err := g.putBack(ctx, console, oid); err != nil {
		return unserved, err
	}
	return unserved, g.note(ctx, oid, func(m *Marker) { m.Pausing, m.PoolerSettings = false, PoolerSettings{} })
}

func (g *Generations) stillPaused(err error) error {
	return envdb.Fail(envdb.ErrUnreachable, "the pooler of %s may still be paused: %w", g.env.Name, err).
		WithNext("on its console: RESUME %s;", postgres.Quote(g.pooledName()))
}

// note changes a version's marker, if it has one. The version is found by its
// oid, because a promote changes its name.
func (g *Generations) note(ctx context.Context, oid uint32, change func(*Marker)) error {
	return g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		v, err := g.byOID(ctx, conn, oid)
		if err != nil || v.Marker == nil {
			return err
		}
		m := *v.Marker
		change(&m)
		comment, err := commentOn(v.Name, v.Comment, m)
		if err != nil {
			return err
		}
		return g.explain(exec(ctx, conn, comment), "mark database "+v.Name)
	})
}

func (g *Generations) byOID(ctx context.Context, conn *pgx.Conn, oid uint32) (Version, error) {
	var name string
	if err := conn.QueryRow(ctx, "SELECT datname FROM pg_database WHERE oid = $1", oid).Scan(&name); err != nil {
		return Version{}, g.explain(err, "find the version")
	}
	return g.read(ctx, conn, name)
}

// unpause resumes the pooler if a marker tells of a run that died while it was
// paused. The lock is held, so no run is in the middle of a promote.
func (g *Generations) unpause(ctx context.Context) error {
	if g.env.Pooler.Admin == "" {
		return nil
	}
	versions, err := g.unmeasured(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Marker == nil || !v.Marker.Pausing {
			continue
		}
		g.log.Warn("resuming a pooler that a dead run left paused", "env", g.env.Name, "run", v.Marker.Run)
		unserved, err := g.resumePooler(ctx, v.OID)
		if err != nil {
			return err
		}
		if unserved != nil {
			g.log.Warn("clients behind the pooler wait", "env", g.env.Name, "err", unserved)
		}
	}
	return nil
}
