package manager

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// buildOnto rebuilds an environment on an empty server, roles first. The data
// is as it was: a restored production is production.
func (m *Manager) buildOnto(ctx context.Context, x *execution, repository *backup.Repository, b building) (*BuildResult, error) {
	x.step("roles")
	if err := m.prepareServer(ctx, x, b); err != nil {
		return nil, err
	}
	result, err := m.build(ctx, x, repository, b)
	if err != nil {
		return nil, err
	}
	result.Next = "set the passwords of its roles (backups hold none), then point the applications and the url of " + b.env.Name + " at it; envdb identity accept " + b.env.Name
	return result, nil
}

// prepareServer refuses a server that anyone uses, and creates the roles.
func (m *Manager) prepareServer(ctx context.Context, x *execution, b building) error {
	conn, err := postgres.Connect(ctx, b.env.Direct(), postgres.Options{App: x.app(), Database: b.env.Maintenance(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := refuseUnfit(ctx, conn, b); err != nil {
		return err
	}
	created, err := logical.CreateRoles(ctx, conn, b.backup.Manifest.Roles, logical.RoleOptions{})
	if err != nil {
		return err
	}
	for _, role := range b.backup.Manifest.Roles {
		if role.Superuser && slices.Contains(created, role.Name) {
			x.log.Warn("the role was a superuser on the source and is none here; if it must be: ALTER ROLE … SUPERUSER", "role", role.Name)
		}
	}
	for _, role := range created {
		x.log.Info("created a role, without a password", "role", role)
	}
	return nil
}

// refuseUnfit fails if the server is not one to rebuild an environment on.
func refuseUnfit(ctx context.Context, conn *pgx.Conn, b building) error {
	if err := refuseUsedServer(ctx, conn, b.env.Direct()); err != nil {
		return err
	}
	return refuseOlderServer(ctx, conn, postgres.ServerVersion(b.backup.Manifest.Source.ServerVersion))
}

// refuseUsedServer fails if the server holds a database that somebody made,
// other than an empty one under the wanted name.
func refuseUsedServer(ctx context.Context, conn *pgx.Conn, url envdb.ConnString) error {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres' AND datname <> current_database() ORDER BY 1`)
	if err != nil {
		return postgres.Explain(err, "list the databases")
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return postgres.Explain(err, "list the databases")
	}
	if len(names) > 0 {
		return envdb.Fail(envdb.ErrRefused, "the server at %s is not empty: it has database %q", url, names[0]).
			WithState("nothing was changed").
			WithNext("--onto needs a server of its own, freshly made with initdb")
	}
	return nil
}
