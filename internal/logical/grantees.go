package logical

import (
	"context"

	"github.com/envdb/envdb/backup"
)

// concernedRoles finds the roles that the database would miss: those that own
// anything in it, are granted anything on it, or are named by its policies,
// default privileges, user mappings or settings (PostgreSQL writes all of that
// into pg_shdepend); the bootstrap superuser, whom pg_shdepend leaves out, if
// he owns the database or a schema or table of it; the members of all these,
// who act through them; and the roles that any of these is a member of.
const concernedRoles = `
WITH RECURSIVE this AS (
  SELECT oid, datdba FROM pg_catalog.pg_database WHERE datname = current_database()
), direct AS (
  SELECT refobjid AS oid FROM pg_catalog.pg_shdepend
   WHERE refclassid = 'pg_catalog.pg_authid'::regclass
     AND (dbid = (SELECT oid FROM this)
          OR dbid = 0 AND classid = 'pg_catalog.pg_database'::regclass AND objid = (SELECT oid FROM this))
  UNION SELECT datdba FROM this
  UNION SELECT setrole FROM pg_catalog.pg_db_role_setting WHERE setdatabase = (SELECT oid FROM this)
  UNION SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384
  UNION SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384
), members AS (
  SELECT r.oid FROM direct d JOIN pg_catalog.pg_roles r ON r.oid = d.oid WHERE r.rolname !~ '^pg_'
  UNION
  SELECT m.member FROM members s JOIN pg_catalog.pg_auth_members m ON m.roleid = s.oid
), concerned AS (
  SELECT oid FROM members
  UNION
  SELECT m.roleid FROM concerned c JOIN pg_catalog.pg_auth_members m ON m.member = c.oid
)
`

const rolesQuery = concernedRoles + `
SELECT r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls,
       r.rolconnlimit, coalesce(r.rolvaliduntil::text, ''), coalesce(shobj_description(r.oid, 'pg_authid'), ''), r.rolconfig
  FROM pg_catalog.pg_roles r
 WHERE r.oid IN (SELECT oid FROM concerned) AND r.rolname !~ '^pg_'
 ORDER BY r.oid`

// membershipsQuery joins the grants of one role to one member, which since
// PostgreSQL 16 can be several, by different grantors and with their own
// options.
const membershipsQuery = concernedRoles + `
SELECT m.member, r.rolname, bool_or(m.admin_option),
       bool_or((to_jsonb(m) ->> 'inherit_option')::bool), bool_or((to_jsonb(m) ->> 'set_option')::bool)
  FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles r ON r.oid = m.roleid
 WHERE m.member IN (SELECT oid FROM concerned)
 GROUP BY m.member, r.rolname ORDER BY m.member, r.rolname`

// readRoles reads the roles that the database is of no use without, with what
// they may do. Passwords are not read.
func (a *attempt) readRoles(ctx context.Context) error {
	type role struct {
		OID                                                       uint32
		Name                                                      string
		Super, Inherit, CreateRole, CreateDB, Login, Repl, Bypass bool
		Limit                                                     int
		Until, Comment                                            string
		Settings                                                  []string
	}
	roles, err := query[role](ctx, a.sessions.leader, rolesQuery)
	if err != nil {
		return explain(err, "read the roles")
	}
	memberships, err := a.readMemberships(ctx)
	if err != nil {
		return err
	}
	a.catalogue.Roles = []backup.Role{}
	for _, r := range roles {
		a.catalogue.Roles = append(a.catalogue.Roles, backup.Role{
			Name: r.Name, Superuser: r.Super, Inherit: r.Inherit, CreateRole: r.CreateRole, CreateDB: r.CreateDB,
			Login: r.Login, Replication: r.Repl, BypassRLS: r.Bypass, ConnectionLimit: r.Limit,
			ValidUntil: r.Until, Comment: r.Comment, Settings: r.Settings, MemberOf: memberships[r.OID],
		})
	}
	return nil
}

func (a *attempt) readMemberships(ctx context.Context) (map[uint32][]backup.Membership, error) {
	type membership struct {
		Member       uint32
		Role         string
		Admin        bool
		Inherit, Set *bool
	}
	rows, err := query[membership](ctx, a.sessions.leader, membershipsQuery)
	if err != nil {
		return nil, explain(err, "read the memberships of roles")
	}
	byMember := make(map[uint32][]backup.Membership)
	for _, m := range rows {
		byMember[m.Member] = append(byMember[m.Member], backup.Membership{Role: m.Role, Admin: m.Admin, Inherit: m.Inherit, Set: m.Set})
	}
	return byMember, nil
}
