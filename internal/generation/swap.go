package generation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

const (
	// swapAttempts is how often a swap is tried when a session will not go.
	swapAttempts = 3
	// swapLimit is the statement_timeout of the swap, and so how long one
	// attempt may hold logins.
	swapLimit = "2s"
	// swapPause lets those who wait for a login in, between two attempts.
	swapPause = 500 * time.Millisecond
)

// swap makes the exchange. Everything that may be slow or may fail without
// need is done before logins are held: the second connection, the pooler's
// pause, and within the transaction the owner, the ACL and the comments.
func (g *Generations) swap(ctx context.Context, x exchange) (Promotion, error) {
	p := Promotion{Was: x.next.Name}
	end, err := g.newEnder(ctx, x)
	if err != nil {
		return p, err
	}
	defer end.close()
	resume, err := g.pause(ctx, &x, &p)
	if err != nil {
		return p, err
	}
	err = g.attempts(ctx, x, &p, end)
	if resumeErr := resume(); resumeErr != nil {
		p.Warnings = append(p.Warnings, resumeErr.Error())
		g.log.Error("pooler not resumed", "env", g.env.Name, "err", resumeErr)
		if err != nil {
			err = errors.Join(err, resumeErr)
		}
	}
	if err != nil {
		return p, err
	}
	p.Ended = end.count()
	g.outcome(x, &p)
	return p, nil
}

// attempts tries the transaction until it commits, fails for good, or too
// often.
func (g *Generations) attempts(ctx context.Context, x exchange, p *Promotion, end *ender) (err error) {
	for p.Attempts < swapAttempts {
		p.Attempts++
		var began time.Time
		began, err = g.attempt(ctx, x)
		if err == nil {
			p.Held = time.Since(began)
			return nil
		}
		if !again(err) {
			return g.failed(ctx, x, err)
		}
		g.log.Debug("swap not done", "env", g.env.Name, "attempt", p.Attempts, "err", err)
		select {
		case <-ctx.Done():
			return g.failed(ctx, x, interrupted(ctx))
		case <-time.After(swapPause):
		}
	}
	return g.stubborn(ctx, x, errors.Join(err, end.failure()))
}

// again reports whether an attempt failed only because somebody was in the way.
func again(err error) bool {
	switch postgres.SQLState(err) {
	case objectInUse, lockNotAvailable, queryCanceled, deadlock:
		return true
	}
	return false
}

// attempt runs the transaction once, and returns when it began to hold logins.
func (g *Generations) attempt(ctx context.Context, x exchange) (began time.Time, err error) {
	cancelled := ctx
	err = g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		return inTransaction(ctx, conn, func(tx pgx.Tx) error {
			if err := g.arrange(ctx, tx, x); err != nil {
				return err
			}
			began = time.Now()
			if err := g.rename(ctx, tx, x); err != nil {
				return err
			}
			return interrupted(cancelled)
		})
	})
	return began, err
}

// arrange does the part of the transaction that holds nobody up.
func (g *Generations) arrange(ctx context.Context, tx pgx.Tx, x exchange) error {
	err := exec(ctx, tx.Conn(),
		"SET LOCAL statement_timeout = '"+swapLimit+"'",
		"SET LOCAL lock_timeout = '"+swapLimit+"'")
	if err != nil {
		return err
	}
	if err := g.unchanged(ctx, tx, x); err != nil {
		return err
	}
	if err := g.give(ctx, tx, x.next.Name, x.properties); err != nil {
		return err
	}
	comment, err := commentOn(x.next.Name, x.properties.Comment, x.nextMarker)
	if err != nil {
		return err
	}
	if err := exec(ctx, tx.Conn(), comment); err != nil {
		return err
	}
	if err := g.enforce(ctx, tx, x); err != nil || x.live == nil {
		return err
	}
	if comment, err = commentOn(x.live.Name, x.live.Comment, x.liveMarker); err != nil {
		return err
	}
	return exec(ctx, tx.Conn(), comment)
}

// enforce brings the sealed copy of the version into force. A copy that
// somebody dropped this moment is none, and no reason to stop.
func (g *Generations) enforce(ctx context.Context, tx pgx.Tx, x exchange) error {
	if x.baseline == nil {
		return nil
	}
	now, err := g.read(ctx, tx.Conn(), x.baseline.Name)
	if errors.Is(err, envdb.ErrNotFound) || err == nil && now.OID != x.baseline.OID {
		return nil
	}
	if err != nil {
		return err
	}
	comment, err := commentOn(now.Name, now.Comment, x.baselineMarker)
	if err != nil {
		return err
	}
	return exec(ctx, tx.Conn(), comment)
}

// unchanged reads the markers again, in the session and transaction that
// rename.
func (g *Generations) unchanged(ctx context.Context, tx pgx.Tx, x exchange) error {
	for _, was := range []*Version{&x.next, x.live} {
		if was == nil {
			continue
		}
		now, err := g.read(ctx, tx.Conn(), was.Name)
		if err != nil {
			return err
		}
		if now.OID != was.OID || now.State != was.State || now.Unmarked != was.Unmarked || now.Unsealed != was.Unsealed {
			return g.meddled()
		}
	}
	return nil
}

func (g *Generations) meddled() error {
	return envdb.Fail(envdb.ErrBusy, "somebody else changed databases of %s meanwhile", g.env.Name).WithNext("run this again")
}

// rename swaps the names. From the first rename on, logins to the live version
// wait; the ender sees the lock and ends who is there. The renames go by name,
// so the oids are compared once nobody else can change them any more.
func (g *Generations) rename(ctx context.Context, tx pgx.Tx, x exchange) error {
	to := func(old, new string) string {
		return "ALTER DATABASE " + postgres.Quote(old) + " RENAME TO " + postgres.Quote(new)
	}
	sql := to(x.next.Name, g.base)
	if x.live != nil {
		sql = to(g.base, x.displaced) + ";" + sql
	}
	if _, err := tx.Conn().Exec(ctx, sql); err != nil {
		return err
	}
	if err := g.named(ctx, tx, g.base, x.next.OID); err != nil || x.live == nil {
		return err
	}
	return g.named(ctx, tx, x.displaced, x.live.OID)
}

func (g *Generations) named(ctx context.Context, tx pgx.Tx, name string, oid uint32) error {
	var now uint32
	if err := tx.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&now); err != nil {
		return err
	}
	if now != oid {
		return g.meddled()
	}
	return nil
}

// outcome says what is live after the commit.
func (g *Generations) outcome(x exchange, p *Promotion) {
	p.Live = Version{Name: g.base, State: envdb.Live, ID: x.nextMarker.ID, OID: x.next.OID,
		Marker: &x.nextMarker, Comment: x.properties.Comment, Size: x.next.Size, Created: x.nextMarker.Created}
	if x.baseline != nil {
		v := *x.baseline
		v.State, v.Marker = envdb.Baseline, &x.baselineMarker
		p.Baseline = &v
	}
	if x.live == nil {
		return
	}
	v := *x.live
	v.Name, v.State, v.ID, v.Marker, v.Unmarked = x.displaced, x.liveMarker.State, x.liveMarker.ID, &x.liveMarker, ""
	p.Displaced = &v
	if v.State == envdb.Aside {
		p.Warnings = append(p.Warnings, fmt.Sprintf("database %s was not made by envdb (%s): it was moved aside as %s and is never dropped",
			g.base, reason(*x.live), v.Name))
	}
}

// reason says why a version is foreign.
func reason(v Version) string {
	if v.Unmarked != "" {
		return v.Unmarked
	}
	return "it was moved aside before"
}

// failed says what an error that is not about sessions left behind. It returns
// nil if the exchange happened all the same.
func (g *Generations) failed(ctx context.Context, x exchange, err error) error {
	if g.session.gone() {
		switch done, askErr := g.happened(ctx, x); {
		case askErr != nil:
			return envdb.Fail(envdb.ErrUnreachable, "promote %s: the connection was lost: %w", x.next.Name, errors.Join(err, askErr)).
				WithState("whether %s is live could not be found out; %s is either the old or the new version", x.next.Name, g.base).
				WithNext("see `envdb versions %s`", g.env.Name)
		case done:
			return nil
		}
	}
	explained := g.explain(err, "promote "+x.next.Name)
	_, next := envdb.Advice(explained)
	return envdb.Fail(nil, "%w", explained).WithState("%s is live as before", g.base).WithNext("%s", next)
}

// stubborn says who would not go.
func (g *Generations) stubborn(ctx context.Context, x exchange, err error) error {
	oids := []uint32{x.next.OID}
	if x.live != nil {
		oids = append(oids, x.live.OID)
	}
	who := ""
	sessionErr := g.session.do(context.WithoutCancel(ctx), quick, func(ctx context.Context, conn *pgx.Conn) error {
		for _, check := range []func() error{
			func() error { return g.clear(ctx, conn, x.next) },
			func() error { return g.clearLive(ctx, conn, x) },
			func() error { return g.mayEnd(ctx, conn, oids...) },
		} {
			if err := check(); err != nil {
				return err
			}
		}
		return conn.QueryRow(ctx, `
			SELECT coalesce(string_agg(format('%s %s (role %s)', pid, application_name, usename), ', '), '')
			FROM pg_stat_activity WHERE datid = ANY ($1::oid[])`, oids).Scan(&who)
	})
	if sessionErr != nil {
		return errors.Join(sessionErr, err)
	}
	if who != "" {
		who = "; there now: " + who
	}
	return envdb.Fail(envdb.ErrBusy, "promote %s: sessions kept the databases in use through %d attempts%s: %w", x.next.Name, swapAttempts, who, err).
		WithState("%s is live as before", g.base).
		WithNext("stop what connects to it, then run this again")
}

func (g *Generations) clearLive(ctx context.Context, conn *pgx.Conn, x exchange) error {
	if x.live == nil {
		return nil
	}
	return g.clear(ctx, conn, *x.live)
}

// happened asks, over a new connection, whether the exchange was committed. It
// ends the lost session first, because it may be in the middle of its COMMIT.
func (g *Generations) happened(ctx context.Context, x exchange) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quick)
	defer cancel()
	conn, err := g.connect(ctx, g.env.Maintenance())
	if err != nil {
		return false, err
	}
	defer closeConn(conn)
	for left := true; left; {
		err := conn.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) > 0 FROM pg_stat_activity
			WHERE pid = $1 AND application_name = $2`, int32(g.session.pid()), sessionName(g.App())).Scan(&left)
		if err != nil {
			return false, err
		}
	}
	var live uint32
	err = conn.QueryRow(ctx, "SELECT coalesce((SELECT oid FROM pg_database WHERE datname = $1), 0)", g.base).Scan(&live)
	return live == x.next.OID, err
}
