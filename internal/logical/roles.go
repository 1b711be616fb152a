package logical

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
)

// roleMap is what a load knows of the target's roles.
type roleMap struct {
	current    string // envdb's role
	superuser  bool
	subscriber bool // may create subscriptions
	createRole bool
	createDB   bool

	exists  map[string]bool
	granted map[string]bool // envdb's role may give objects to it
}

// publicRole is everyone; it is no role, and always there.
const publicRole = "PUBLIC"

// readRoles asks the target for its roles. A role that is there but that
// envdb's role may not act as cannot be given anything.
func readRoles(ctx context.Context, conn *pgx.Conn, version postgres.ServerVersion) (roleMap, error) {
	m := roleMap{exists: map[string]bool{}, granted: map[string]bool{}}
	const self = `SELECT rolname::text, rolsuper, rolcreaterole, rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user`
	if err := conn.QueryRow(ctx, self).Scan(&m.current, &m.superuser, &m.createRole, &m.createDB); err != nil {
		return m, postgres.Explain(err, "read the target's role")
	}
	membership := "MEMBER"
	if version.Major() >= 16 {
		membership = "SET"
	}
	const all = `SELECT rolname::text, pg_catalog.pg_has_role(oid, $1) FROM pg_catalog.pg_roles`
	rows, err := conn.Query(ctx, all, membership)
	if err != nil {
		return m, postgres.Explain(err, "list the target's roles")
	}
	var name string
	var may bool
	_, err = pgx.ForEachRow(rows, []any{&name, &may}, func() error {
		m.exists[name], m.granted[name] = true, may
		return nil
	})
	if err != nil {
		return m, postgres.Explain(err, "list the target's roles")
	}
	m.subscriber, err = maySubscribe(ctx, conn, version, m.superuser)
	return m, err
}

// maySubscribe reports whether envdb's role may create a subscription: before
// PostgreSQL 16 only a superuser may.
func maySubscribe(ctx context.Context, conn *pgx.Conn, version postgres.ServerVersion, superuser bool) (bool, error) {
	if superuser || version.Major() < 16 {
		return superuser, nil
	}
	var may bool
	err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_has_role('pg_create_subscription', 'USAGE')`).Scan(&may)
	return may, postgres.Explain(err, "read the target's privileges")
}

// owners returns the owners that the archive names, in its order.
func owners(a *archive.Archive) []string {
	var names []string
	for _, e := range a.Entries {
		if e.HasOwner() && !slices.Contains(names, e.Owner) {
			names = append(names, e.Owner)
		}
	}
	return names
}

// owner returns the role that gets what name owned.
func (d *loader) owner(name string) string {
	if name == "" || d.roles.granted[name] {
		return name
	}
	d.record.mappedRole(name)
	return d.roles.current
}
