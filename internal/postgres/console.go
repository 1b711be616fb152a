package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// ConnectConsole opens PgBouncer's admin console. It is no database: it knows
// the simple protocol and its own commands only, such as PAUSE and RESUME.
func ConnectConsole(ctx context.Context, admin envdb.ConnString) (*pgx.Conn, error) {
	config, err := parse(admin)
	if err != nil {
		return nil, err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectPatience
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explainConnect(ctx, err, config)
	}
	return conn, nil
}
