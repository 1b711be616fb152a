package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Pooler says what stands between a session and its server.
type Pooler struct {
	// Present says that something does: session locks and cancel requests
	// cannot be relied on, so envdb needs a direct connection.
	Present bool
	// Why says how it showed, for people.
	Why string
}

// DetectPooler finds out whether conn leads to the server itself. A server
// introduces itself with its own process id (the BackendKeyData message of the
// protocol); a pooler makes up its own, because its client keeps it while the
// servers behind it change. So the two ids differ behind a pooler in any mode.
func DetectPooler(ctx context.Context, conn *pgx.Conn) (Pooler, error) {
	announced := conn.PgConn().PID()
	results, err := conn.PgConn().Exec(ctx, "SELECT pg_catalog.pg_backend_pid()").ReadAll()
	if err != nil {
		return Pooler{}, Explain(err, "look for a pooler")
	}
	actual, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	if err != nil {
		return Pooler{}, fmt.Errorf("look for a pooler: %w", err)
	}
	if uint32(actual) == announced {
		return Pooler{}, nil
	}
	return Pooler{
		Present: true,
		Why:     fmt.Sprintf("the connection was announced as process %d, and is served by %d", announced, actual),
	}, nil
}
