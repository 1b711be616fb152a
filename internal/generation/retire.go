package generation

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Retire takes the live version out of service without another in its place:
// in one transaction it becomes the previous one, its sessions are ended, and
// nobody finds it under the name in the URL. Rollback makes it live again.
func (g *Generations) Retire(ctx context.Context, w envdb.Writable, op envdb.Operation) (Version, error) {
	if err := g.allowed(w, op); err != nil {
		return Version{}, err
	}
	live, err := g.retirable(ctx)
	if err != nil {
		return Version{}, err
	}
	end, err := g.newEnder(ctx, exchange{next: live})
	if err != nil {
		return Version{}, err
	}
	defer end.close()
	marker := *live.Marker
	marker.State, marker.Retired = envdb.Previous, g.now().UTC()
	name := Name(g.base, envdb.Previous, marker.ID)
	for range swapAttempts {
		if err = g.retire(ctx, live, name, marker); err == nil || !again(err) {
			break
		}
		select {
		case <-ctx.Done():
			return Version{}, interrupted(ctx)
		case <-time.After(swapPause):
		}
	}
	if err != nil {
		return Version{}, g.explain(errors.Join(err, end.failure()), "take database "+g.base+" out of service")
	}
	g.log.Debug("version is out of service", "env", g.env.Name, "database", name, "ended", end.count())
	live.Name, live.State, live.Marker = name, envdb.Previous, &marker
	return live, nil
}

// retirable returns the live version, and refuses what would stop it from being
// renamed or what envdb did not make.
func (g *Generations) retirable(ctx context.Context) (live Version, err error) {
	if live, err = g.Live(ctx); err != nil {
		return live, err
	}
	if err := g.destroyable(live, nil); err != nil {
		return live, err
	}
	return live, g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		if err := g.mayRename(ctx, conn, live); err != nil {
			return err
		}
		if err := g.clear(ctx, conn, live); err != nil {
			return err
		}
		return g.mayEnd(ctx, conn, live.OID)
	})
}

// retire runs the transaction once.
func (g *Generations) retire(ctx context.Context, live Version, name string, marker Marker) error {
	cancelled := ctx
	return g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		return inTransaction(ctx, conn, func(tx pgx.Tx) error {
			now, err := g.read(ctx, tx.Conn(), live.Name)
			if err != nil {
				return err
			}
			if now.OID != live.OID || now.State != live.State {
				return g.meddled()
			}
			comment, err := commentOn(live.Name, now.Comment, marker)
			if err != nil {
				return err
			}
			err = exec(ctx, tx.Conn(),
				"SET LOCAL statement_timeout = '"+swapLimit+"'",
				"SET LOCAL lock_timeout = '"+swapLimit+"'",
				comment,
				"ALTER DATABASE "+postgres.Quote(live.Name)+" RENAME TO "+postgres.Quote(name))
			if err != nil {
				return err
			}
			if err := g.named(ctx, tx, name, live.OID); err != nil {
				return err
			}
			return interrupted(cancelled)
		})
	})
}
