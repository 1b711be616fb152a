package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// TransactionID returns the id of the session's transaction, which is another
// one if the transaction has ended since. Outside of one each call has its own.
func TransactionID(ctx context.Context, conn *pgx.Conn) (id string, err error) {
	if err = conn.QueryRow(ctx, "SELECT pg_catalog.pg_current_xact_id()::text", pgx.QueryExecModeExec).Scan(&id); err != nil {
		return "", Explain(err, "read the transaction's id")
	}
	return id, nil
}
