package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// StaysInside runs SQL of somebody else's in the session's transaction, and
// reports whether that is still the same one afterwards.
func StaysInside(ctx context.Context, conn *pgx.Conn, run func() error) (bool, error) {
	begun, err := transactionID(ctx, conn)
	if err != nil {
		return false, err
	}
	if err := run(); err != nil {
		return false, err
	}
	now, err := transactionID(ctx, conn)
	return now == begun, err
}

// transactionID returns the id of the session's transaction, which is another
// one if the transaction has ended since. Outside of one each call has its own.
func transactionID(ctx context.Context, conn *pgx.Conn) (id string, err error) {
	if err = conn.QueryRow(ctx, "SELECT pg_catalog.pg_current_xact_id()::text", pgx.QueryExecModeExec).Scan(&id); err != nil {
		return "", Explain(err, "read the transaction's id")
	}
	return id, nil
}
