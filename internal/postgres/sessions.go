package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// TerminateSessions ends every client's session in a database, apart from the
// caller's own and those of the given process ids, and returns how many it
// found. It waits up to patience for each to be gone; whoever is to stay out
// must be locked out first. Sessions of superusers only a superuser can end:
// that is an error.
func TerminateSessions(ctx context.Context, conn *pgx.Conn, database uint32, patience time.Duration, except ...uint32) (int, error) {
	kept := make([]int64, 0, len(except))
	for _, pid := range except {
		kept = append(kept, int64(pid))
	}
	var n int
	err := conn.QueryRow(ctx, `
		SELECT count(pg_catalog.pg_terminate_backend(pid, $2))
		FROM pg_catalog.pg_stat_activity
		WHERE datid = $1 AND pid <> pg_catalog.pg_backend_pid() AND pid <> ALL ($3::int8[])`,
		pgx.QueryExecModeExec, database, patience.Milliseconds(), kept).Scan(&n)
	if err != nil {
		return 0, Explain(err, "end the sessions of a database")
	}
	return n, nil
}
