package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// DetectPooler finds out whether conn leads to the server itself. A server
// introduces itself with its own process id (the BackendKeyData message of the
// protocol); a pooler makes up its own, because its client keeps it while the
// servers behind it change. So the two ids differ behind a pooler in any mode.
//
// It returns how the pooler showed, for people, or "" if there is none. Behind
// a pooler session locks and cancel requests cannot be relied on.
func DetectPooler(ctx context.Context, conn *pgx.Conn) (string, error) {
	announced := conn.PgConn().PID()
	results, err := conn.PgConn().Exec(ctx, "SELECT pg_catalog.pg_backend_pid()").ReadAll()
	if err != nil {
		return "", Explain(err, "look for a pooler")
	}
	actual, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	if err != nil {
		return "", fmt.Errorf("look for a pooler: %w", err)
	}
	if uint32(actual) == announced {
		return "", nil
	}
	return fmt.Sprintf("announced as process %d, served by %d", announced, actual), nil
}
