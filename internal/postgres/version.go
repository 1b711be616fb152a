package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Oldest is the oldest major version of PostgreSQL that envdb works with.
const Oldest = cluster.Oldest

// ServerVersion is a server's version as in server_version_num, e.g. 150018.
type ServerVersion int

// ReadServerVersion asks the server. A parameter status would do for a direct
// connection, but a pooler may report its own.
func ReadServerVersion(ctx context.Context, conn *pgx.Conn) (ServerVersion, error) {
	results, err := conn.PgConn().Exec(ctx, "SHOW server_version_num").ReadAll()
	if err != nil {
		return 0, err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 {
		return 0, fmt.Errorf("SHOW server_version_num returned no row")
	}
	n, err := strconv.Atoi(string(results[0].Rows[0][0]))
	if err != nil {
		return 0, fmt.Errorf("server_version_num: %w", err)
	}
	return ServerVersion(n), nil
}

// Major returns the major version, e.g. 15.
func (v ServerVersion) Major() int { return int(v) / 10000 }

// String returns the version as people write it, e.g. "15.18".
func (v ServerVersion) String() string { return fmt.Sprintf("%d.%d", int(v)/10000, int(v)%10000) }

// check fails for a server that is too old for envdb.
func (v ServerVersion) check() error {
	if v.Major() >= Oldest {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "the server is PostgreSQL %d; envdb works with %d and newer", v.Major(), Oldest).
		WithState("nothing was changed").
		WithNext("upgrade the server, or point the environment's url at a newer one")
}
