package generation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// detachLimit is how long detaching one subscription may take. PostgreSQL may
// try to reach its publisher.
const detachLimit = "20s"

// Recorded reports whether a run record named a database before it was
// created. It is what tells a database that a crash left without a marker from
// somebody else's.
type Recorded func(database string) bool

// Discard drops a dark, previous, baseline or spare version, whatever is connected to it. It
// never drops the live version, nor what envdb did not make. op is the
// operation that w must allow; recorded may be nil.
func (g *Generations) Discard(ctx context.Context, w envdb.Writable, op envdb.Operation, nameOrID string, recorded Recorded) error {
	if err := g.allowed(w, op); err != nil {
		return err
	}
	v, err := g.Find(ctx, nameOrID)
	if err != nil {
		return err
	}
	return g.drop(ctx, v, recorded)
}

// droppable fails for a version that is never dropped.
func (g *Generations) droppable(v Version, recorded Recorded) error {
	refuse := func(why, next string) error {
		return envdb.Fail(envdb.ErrRefused, "database %s is not dropped: %s", v.Name, why).
			WithState("nothing was changed").WithNext("%s", next)
	}
	byHand := "if nobody needs it: DROP DATABASE " + postgres.Quote(v.Name)
	switch {
	case v.Name == g.base || v.State == envdb.Live:
		return refuse("it is live", "see `envdb versions "+g.env.Name+"`")
	case v.State == "":
		return refuse("it is no version of "+g.env.Name, "see `envdb versions "+g.env.Name+"`")
	case v.Marker == nil && envdbsOwn(v.State) && v.Comment == "" && recorded != nil && recorded(v.Name):
		return nil
	case v.Marker == nil:
		return refuse(v.Unmarked, byHand)
	case v.Marker.Foreign || v.State == envdb.Aside:
		return refuse("envdb did not make it", byHand)
	}
	return nil
}

// envdbsOwn reports whether only envdb makes databases with such names.
func envdbsOwn(state envdb.VersionState) bool {
	return state == envdb.Dark || state == envdb.Baseline || state == envdb.Spare
}

// drop drops a version that is droppable.
func (g *Generations) drop(ctx context.Context, v Version, recorded Recorded) error {
	return g.dropIf(ctx, v, func(now Version) error { return g.droppable(now, recorded) })
}

// dropIf drops the version. What it is, is read again in the session that drops
// it, right before, and judged by may.
func (g *Generations) dropIf(ctx context.Context, v Version, may func(Version) error) error {
	if err := g.stillDroppable(ctx, v, may); err != nil {
		return err
	}
	if err := g.detach(ctx, v); err != nil {
		return err
	}
	err := g.session.do(ctx, slow, func(ctx context.Context, conn *pgx.Conn) error {
		if err := g.recheck(ctx, conn, v, may); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "DROP DATABASE "+postgres.Quote(v.Name)+" WITH (FORCE)")
		return g.explain(err, "drop database "+v.Name)
	})
	if err != nil && g.session.gone() {
		err = g.afterLostDrop(ctx, v, err)
	}
	if err != nil {
		return err
	}
	g.log.Debug("database dropped", "env", g.env.Name, "database", v.Name)
	return nil
}

// afterLostDrop says what a drop whose connection was lost has done. It
// returns nil if the database is gone all the same.
func (g *Generations) afterLostDrop(ctx context.Context, v Version, err error) error {
	there, broken, askErr := g.leftOf(ctx, v)
	switch {
	case askErr != nil:
		return envdb.Fail(envdb.ErrUnreachable, "drop database %s: the connection was lost: %w", v.Name, errors.Join(err, askErr)).
			WithState("whether %s was dropped could not be found out", v.Name).
			WithNext("see `envdb versions %s`; if it is still there, run this again", g.env.Name)
	case !there:
		g.log.Debug("the connection was lost while a database was dropped", "env", g.env.Name, "database", v.Name, "err", err)
		return nil
	}
	state := "%s is there as before"
	if broken {
		state = "dropping %s was begun: it is still there, and cannot be used any more"
	}
	_, next := envdb.Advice(err)
	return envdb.Fail(nil, "%w", err).WithState(state, v.Name).WithNext("%s", next)
}

// leftOf asks, over a new connection, whether the version is still there, and
// whether dropping it was begun. The lost session may be dropping it just now:
// ending it then would leave a broken database, so that is waited for.
func (g *Generations) leftOf(ctx context.Context, v Version) (there, broken bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
	defer cancel()
	conn, err := g.connect(ctx, g.env.Maintenance())
	if err != nil {
		return false, false, err
	}
	defer closeConn(conn)
	if err := g.outlive(ctx, conn); err != nil {
		return false, false, err
	}
	err = conn.QueryRow(ctx, "SELECT datconnlimit = -2 FROM pg_database WHERE oid = $1", v.OID).Scan(&broken)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	return true, broken, err
}

// outlive waits until the lost session has done what it is doing, and ends it
// if it does nothing.
func (g *Generations) outlive(ctx context.Context, conn *pgx.Conn) error {
	for {
		var left bool
		err := conn.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE CASE WHEN state = 'active' THEN true ELSE pg_terminate_backend(pid) END) > 0
			FROM pg_stat_activity WHERE pid = $1 AND application_name = $2`,
			int32(g.session.pid()), sessionName(g.App())).Scan(&left)
		if err != nil || !left {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fencePoll):
		}
	}
}

func (g *Generations) stillDroppable(ctx context.Context, v Version, may func(Version) error) error {
	return g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		if err := g.recheck(ctx, conn, v, may); err != nil {
			return err
		}
		if err := g.mayEnd(ctx, conn, v.OID); err != nil {
			return err
		}
		return g.undroppable(ctx, conn, v)
	})
}

// undroppable names the prepared transactions and used slots, with which
// PostgreSQL refuses to drop a database.
func (g *Generations) undroppable(ctx context.Context, conn *pgx.Conn, v Version) error {
	for _, o := range obstacles() {
		if o.what == subscribed {
			continue // detached instead
		}
		if err := g.free(ctx, conn, v, o); err != nil {
			return err
		}
	}
	return nil
}

// recheck reads the version again.
func (g *Generations) recheck(ctx context.Context, conn *pgx.Conn, v Version, may func(Version) error) error {
	now, err := g.read(ctx, conn, v.Name)
	if err != nil {
		return err
	}
	if now.OID != v.OID {
		return envdb.Fail(envdb.ErrBusy, "database %s is another one than a moment ago", v.Name).
			WithState("nothing was changed").WithNext("run this again")
	}
	return may(now)
}

// detach drops the subscriptions inside the database without touching their
// publishers: DROP SUBSCRIPTION would drop the publisher's slot, which may
// belong to the database that this one was copied from; DROP DATABASE refuses
// while there are any.
func (g *Generations) detach(ctx context.Context, v Version) error {
	names, err := g.subscriptions(ctx, v)
	if err != nil || len(names) == 0 {
		return err
	}
	conn, err := g.connect(ctx, v.Name)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	for _, name := range names {
		q := postgres.Quote(name)
		err := exec(ctx, conn, "SET statement_timeout = '"+detachLimit+"'",
			"ALTER SUBSCRIPTION "+q+" DISABLE",
			"ALTER SUBSCRIPTION "+q+" SET (slot_name = NONE)",
			"DROP SUBSCRIPTION "+q)
		if err != nil {
			return g.explain(err, fmt.Sprintf("detach subscription %s in %s", name, v.Name))
		}
		g.log.Warn("subscription dropped; its slot on the publisher, if it had one, was left alone", "database", v.Name, "subscription", name)
	}
	return nil
}

func (g *Generations) subscriptions(ctx context.Context, v Version) (names []string, err error) {
	err = g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, "SELECT subname::text FROM pg_subscription WHERE subdbid = $1 ORDER BY 1", v.OID)
		if err != nil {
			return g.explain(err, "look for subscriptions")
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return g.explain(err, "look for subscriptions")
	})
	return names, err
}

// Leftovers returns what runs that are dead left behind: versions that they
// did not finish, databases that they recorded and created but did not get to
// mark, and databases whose dropping was interrupted. The caller says which
// runs are alive and which databases a run recorded; it discards what it gets.
func (g *Generations) Leftovers(ctx context.Context, alive func(run string) bool, recorded Recorded) ([]Version, error) {
	versions, err := g.unmeasured(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(versions, func(v Version) bool {
		if g.droppable(v, recorded) != nil {
			return true
		}
		switch {
		case v.Broken, v.Marker == nil:
			return false
		case v.State == Building || v.State == Sealing:
			return v.Marker.Run == g.run || alive(v.Marker.Run)
		}
		return true
	}), nil
}

// CleanUp discards the leftovers, and returns the names of what is gone. What
// cannot be dropped does not keep the rest.
func (g *Generations) CleanUp(ctx context.Context, w envdb.Writable, op envdb.Operation, alive func(run string) bool, recorded Recorded) (gone []string, err error) {
	if err := g.allowed(w, op); err != nil {
		return nil, err
	}
	found, err := g.Leftovers(ctx, alive, recorded)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, v := range found {
		if err := g.drop(ctx, v, recorded); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, v.Name)
	}
	return gone, errors.Join(errs...)
}

// tidyLimit is how long tidying up after a failure may take.
const tidyLimit = 2 * time.Minute

// Abandon discards the version that this run is building, also after ctx was
// cancelled. It joins what went wrong with cause, the reason for giving up.
func (g *Generations) Abandon(ctx context.Context, w envdb.Writable, op envdb.Operation, d *Dark, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	err := g.Discard(ctx, w, op, d.Name, nil)
	if err == nil {
		return cause
	}
	return errors.Join(cause, fmt.Errorf("database %s was left behind; the next run drops it: %w", d.Name, err))
}
