package generation

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// Use is what the server counts of the sessions in the live version. Two that
// are equal, with nobody connected, tell that nobody connected in between; the
// counters begin anew when statistics are reset or the server crashed. See the
// PostgreSQL manual, view pg_stat_database.
type Use struct {
	OID       uint32
	Sessions  int64
	Connected int
	Reset     time.Time
}

// Use asks who uses the live version. Without one it is ErrNotFound.
func (g *Generations) Use(ctx context.Context) (u Use, err error) {
	err = g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		var reset *time.Time
		err := conn.QueryRow(ctx, `
			SELECT d.oid, coalesce(s.sessions, 0), coalesce(s.numbackends, 0), s.stats_reset
			FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid WHERE d.datname = $1`, g.base).
			Scan(&u.OID, &u.Sessions, &u.Connected, &reset)
		if errors.Is(err, pgx.ErrNoRows) {
			return envdb.Fail(envdb.ErrNotFound, "%s has no live version", g.env.Name).WithNext("see `envdb versions %s`", g.env.Name)
		}
		if reset != nil {
			u.Reset = reset.UTC()
		}
		return g.explain(err, "read the sessions of "+g.base)
	})
	return u, err
}
