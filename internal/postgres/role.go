package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Role is what the server says the role of a session may do. Memberships
// count as they do for the server: those it inherits.
type Role struct {
	Name string
	// Superuser, CreateDB, CreateRole, BypassRLS and Replication are the
	// attributes; a superuser has them all, whatever they say.
	Superuser, CreateDB, CreateRole, BypassRLS, Replication bool
	// ReadAllData, SignalBackend and Monitor say that the role has the rights
	// of pg_read_all_data, pg_signal_backend and pg_monitor.
	ReadAllData, SignalBackend, Monitor bool
	// MemberOf lists the roles whose rights the role has, itself left out.
	MemberOf []string
}

// CanCreateDB reports whether the role may create databases.
func (r Role) CanCreateDB() bool { return r.Superuser || r.CreateDB }

// SeesAllRows reports whether row-level security never hides a row from the
// role, whoever owns the table.
func (r Role) SeesAllRows() bool { return r.Superuser || r.BypassRLS }

// ReadRole returns the role of the session.
func ReadRole(ctx context.Context, conn *pgx.Conn) (Role, error) {
	var r Role
	err := conn.QueryRow(ctx, `
		SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication,
		       pg_catalog.pg_has_role(oid, 'pg_read_all_data', 'USAGE'),
		       pg_catalog.pg_has_role(oid, 'pg_signal_backend', 'USAGE'),
		       pg_catalog.pg_has_role(oid, 'pg_monitor', 'USAGE'),
		       ARRAY(SELECT m.rolname::text FROM pg_catalog.pg_roles m
		             WHERE NOT r.rolsuper AND m.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, m.oid, 'USAGE')
		             ORDER BY m.rolname)
		FROM pg_catalog.pg_roles r WHERE rolname = current_user`, pgx.QueryExecModeExec).
		Scan(&r.Name, &r.Superuser, &r.CreateDB, &r.CreateRole, &r.BypassRLS, &r.Replication,
			&r.ReadAllData, &r.SignalBackend, &r.Monitor, &r.MemberOf)
	if err != nil {
		return Role{}, Explain(err, "read the role's attributes")
	}
	return r, nil
}
