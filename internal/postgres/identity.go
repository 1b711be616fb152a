package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
)

// ReadIdentity asks the server behind conn who it is, and which database of it
// has the name. A database that does not exist has the oid 0. Everyone may ask
// unless an administrator took the right away; then this fails, because
// without an identity nothing keeps production from being a target.
func ReadIdentity(ctx context.Context, conn *pgx.Conn, database string) (envdb.Identity, error) {
	id := envdb.Identity{Database: database}
	// The time comes as a number: as text, which a pooler needs, it would come
	// in the DateStyle of the database or role.
	var system, started int64
	err := conn.QueryRow(ctx, `
		SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()),
		       (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint,
		       COALESCE((SELECT oid FROM pg_catalog.pg_database WHERE datname = $1), 0::oid)`,
		pgx.QueryExecModeExec, database).Scan(&system, &started, &id.DatabaseOID)
	if err != nil {
		return envdb.Identity{}, explainIdentity(err)
	}
	id.PostmasterStart = time.UnixMicro(started).UTC()
	id.SystemIdentifier = strconv.FormatUint(uint64(system), 10)
	return id, nil
}

// SameServer reports whether two sessions lead to one running server, whatever
// their connection strings say.
func SameServer(ctx context.Context, a, b *pgx.Conn) (bool, error) {
	first, err := ReadIdentity(ctx, a, a.Config().Database)
	if err != nil {
		return false, err
	}
	second, err := ReadIdentity(ctx, b, b.Config().Database)
	if err != nil {
		return false, err
	}
	return first.SameInstance(second), nil
}

func explainIdentity(err error) error {
	const what = "read the server's identity"
	if SQLState(err) == insufficientPrivilege {
		return envdb.Fail(envdb.ErrPreflight, "%s: %w", what, err).
			WithState("nothing was changed").
			WithNext("as a superuser: GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO the role in the environment's url")
	}
	return Explain(err, what)
}
