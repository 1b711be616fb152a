package manager

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/postgres"
)

// The preflight of a load refuses a server that is older than the source's,
// too. What is here refuses it before anything comes that takes long or leaves
// something behind: a backup for a mirror, the roles for --onto.

// refuseOlder fails if the server that is to be filled is of an older major
// version than the one that the data comes from.
func refuseOlder(target, source postgres.ServerVersion) error {
	if target.Major() >= source.Major() {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "the target cannot hold the backup: it is PostgreSQL %d and the source was %d", target.Major(), source.Major()).
		WithState("nothing was changed").
		WithNext("restore to a server of PostgreSQL %d or newer", source.Major())
}

// refuseOlderServer is refuseOlder for a server that is connected to.
func refuseOlderServer(ctx context.Context, conn *pgx.Conn, source postgres.ServerVersion) error {
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		return postgres.Explain(err, "read the target's version")
	}
	return refuseOlder(version, source)
}

// refuseOlderTarget is refuseOlder for a backup that is still to be taken. A
// server that does not answer is left to the run, which records why it failed.
func refuseOlderTarget(ctx context.Context, source, target config.Environment) error {
	from, fromErr := serverVersion(ctx, source.Direct(), "")
	to, toErr := serverVersion(ctx, target.Direct(), target.Maintenance())
	if fromErr != nil || toErr != nil {
		return ctx.Err()
	}
	return refuseOlder(to, from)
}

// serverVersion asks a server, over a database of it or the one of the URL.
func serverVersion(ctx context.Context, url envdb.ConnString, database string) (postgres.ServerVersion, error) {
	conn, err := postgres.Connect(ctx, url, postgres.Options{App: "envdb/version", Database: database})
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return postgres.ReadServerVersion(ctx, conn)
}
