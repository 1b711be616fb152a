package generation

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// refusePooler fails if something between envdb and the server shares server
// connections out: an advisory lock would belong to nobody. A pooler makes up
// the process id that a client is given.
func refusePooler(ctx context.Context, conn *pgx.Conn, env envdb.Environment) error {
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return envdb.Fail(envdb.ErrUnreachable, "ask the server of %s for its process: %w", env.Name, err)
	}
	if pid == conn.PgConn().PID() {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "%s is reached through a connection pooler, where locks do not hold", env.Name).
		WithState("nothing was changed").
		WithNext("set direct_url of %s to the server itself", env.Name)
}
