package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// AccessMode is what an application's role may do with the rows of a database.
type AccessMode string

// ReadAccess lets a role look; AppendAccess also insert; ReadWriteAccess also
// change and delete. The first two take away what goes beyond.
const (
	ReadAccess      AccessMode = "read"
	AppendAccess    AccessMode = "append"
	ReadWriteAccess AccessMode = "read-write"
)

// Access is what the role of an application may do.
type Access struct {
	Role string
	Mode AccessMode
}

// allowances are the privileges of the modes, by kind of object.
func (a Access) allowances() (tables, sequences []string) {
	switch a.Mode {
	case ReadAccess:
		return []string{"SELECT"}, []string{"SELECT"}
	case AppendAccess:
		return []string{"SELECT", "INSERT"}, []string{"SELECT", "USAGE"}
	}
	return []string{"SELECT", "INSERT", "UPDATE", "DELETE"}, []string{"SELECT", "USAGE", "UPDATE"}
}

// limits reports whether the mode takes privileges away.
func (a Access) limits() bool { return a.Mode != ReadWriteAccess }

// Preflight refuses a role that is not there, or that no grant can limit: a
// superuser, and who owns the objects or has the rights of their owner. Owners
// are those that the backup names; conn may lead to any database of the server.
func (a Access) Preflight(ctx context.Context, conn *pgx.Conn, owners []string) error {
	type answer struct {
		Super, Envdb bool
		Envdbs, Via  string
		Settable     bool
	}
	// An owner that envdb's role may not act as owns nothing in the copy.
	const ask = `
		SELECT r.rolsuper, r.rolname = current_user, current_user::text, coalesce((
		         SELECT min(o.rolname::text) FROM pg_catalog.pg_roles AS o
		         WHERE (o.rolname = ANY($2) AND pg_has_role(o.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
		                OR o.rolname = current_user OR o.rolname = 'pg_write_all_data')
		         AND pg_has_role(r.oid, o.oid, 'USAGE')), ''),
		       me.rolsuper OR r.oid = me.oid OR me.rolcreaterole
		         AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION'))
		FROM pg_catalog.pg_roles AS r, pg_catalog.pg_roles AS me WHERE r.rolname = $1 AND me.rolname = current_user`
	found, err := query[answer](ctx, conn, ask, a.Role, owners)
	if err != nil {
		return postgres.Explain(err, "look for role "+a.Role)
	}
	if len(found) == 0 {
		return a.refused("the server has no role %s", a.Role).WithNext("CREATE ROLE %s LOGIN; or name another in access.role", postgres.Quote(a.Role))
	}
	const another = "let the application connect as a role of its own, which owns nothing, and name it: access: {role: …, mode: %s}"
	switch f := found[0]; {
	case !a.limits():
	case f.Super:
		return a.refused("role %s is a superuser, whom no grant limits", a.Role).WithNext(another, a.Mode)
	case f.Envdb:
		return a.refused("role %s is envdb's own, and owns what envdb makes", a.Role).WithNext(another, a.Mode)
	case f.Via == a.Role:
		return a.refused("role %s owns tables, and an owner cannot be limited", a.Role).WithNext(another, a.Mode)
	case f.Via != "":
		return a.refused("role %s has the rights of %s, which may write", a.Role, f.Via).
			WithNext("REVOKE %s FROM %s; or "+another, postgres.Quote(f.Via), postgres.Quote(a.Role), a.Mode)
	case a.Mode == ReadAccess && !f.Settable:
		return a.refused("role %s may not make settings for role %s", f.Envdbs, a.Role).
			WithNext("as a superuser: ALTER ROLE %s CREATEROLE; and from PostgreSQL 16 on GRANT %s TO %s WITH ADMIN OPTION;", postgres.Quote(f.Envdbs), postgres.Quote(a.Role), postgres.Quote(f.Envdbs))
	}
	return nil
}

func (a Access) refused(format string, args ...any) *envdb.Problem {
	return envdb.Fail(envdb.ErrPreflight, "access: "+format, args...).WithState("nothing was changed")
}

// Owners returns the roles that the schema of a backup names as owners.
func Owners(ctx context.Context, r ChunkReader) ([]string, error) {
	a, err := readArchive(ctx, r)
	if err != nil {
		return nil, err
	}
	return owners(a), nil
}

// grantable is an object that privileges are granted on.
type grantable struct {
	Kind string // SCHEMA, TABLE, SEQUENCE
	Name string // as SQL
	// Open says that everyone has privileges on it; of a schema, that everyone
	// may create in it.
	Open bool
}

// grantablesQuery lists the objects of a database but those that come with an
// extension.
const grantablesQuery = `
	SELECT 'SCHEMA', pg_catalog.quote_ident(n.nspname), EXISTS (
		SELECT FROM pg_catalog.aclexplode(n.nspacl) AS x WHERE x.grantee = 0 AND x.privilege_type = 'CREATE')
	FROM pg_catalog.pg_namespace AS n
	WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
	UNION ALL
	SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, pg_catalog.format('%I.%I', n.nspname, c.relname), EXISTS (
		SELECT FROM pg_catalog.aclexplode(c.relacl) AS x WHERE x.grantee = 0
		UNION ALL SELECT FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS x WHERE a.attrelid = c.oid AND x.grantee = 0)
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY 1, 2`

// grantedAtOnce is how many objects one statement names.
const grantedAtOnce = 500

// Grant gives the role in the database of conn what its mode says, on what
// there is and on what owners make later, and takes away what goes beyond. It
// returns what a person should know.
func (a Access) Grant(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	objects, err := query[grantable](ctx, conn, grantablesQuery)
	if err != nil {
		return nil, stepError("list the objects to grant access to", err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, sql := range a.statements(objects) {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, stepError("grant role "+a.Role+" its access", err)
	}
	return a.grantLater(ctx, conn)
}

// statements returns the grants for what there is.
func (a Access) statements(objects []grantable) []string {
	role := postgres.Quote(a.Role)
	tables, sequences := a.allowances()
	var sql []string
	for _, kind := range []struct {
		name    string
		granted []string
		beyond  string // what everyone loses
	}{
		{"SCHEMA", []string{"USAGE"}, "CREATE"},
		{"TABLE", tables, strings.Join(wordsWithout(tablePrivileges(), tables), ", ")},
		{"SEQUENCE", sequences, strings.Join(wordsWithout(sequencePrivileges(), sequences), ", ")},
	} {
		var all, open []string
		for _, o := range objects {
			if o.Kind == kind.name {
				all = append(all, o.Name)
				if o.Open {
					open = append(open, o.Name)
				}
			}
		}
		for names := range slices.Chunk(all, grantedAtOnce) {
			on := " ON " + kind.name + " " + strings.Join(names, ", ")
			if a.limits() {
				sql = append(sql, "REVOKE ALL"+on+" FROM "+role+" CASCADE")
			}
			sql = append(sql, "GRANT "+strings.Join(kind.granted, ", ")+on+" TO "+role)
		}
		if !a.limits() {
			continue
		}
		for names := range slices.Chunk(open, grantedAtOnce) {
			sql = append(sql, "REVOKE "+kind.beyond+" ON "+kind.name+" "+strings.Join(names, ", ")+" FROM PUBLIC CASCADE")
		}
	}
	return sql
}

// tablePrivileges are the privileges on tables that every supported server
// knows.
func tablePrivileges() []string {
	return []string{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"}
}

func sequencePrivileges() []string { return []string{"SELECT", "USAGE", "UPDATE"} }

// wordsWithout returns the words of a that are not in b.
func wordsWithout(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(w string) bool { return slices.Contains(b, w) })
}

// makersQuery lists the roles that own objects here, and envdb's own, with
// whether envdb's role may act as them.
const makersQuery = `
	SELECT r.rolname::text, pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
	FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user OR EXISTS (
		SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE c.relowner = r.oid AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
	OR EXISTS (SELECT FROM pg_catalog.pg_default_acl AS d WHERE d.defaclrole = r.oid) ORDER BY 1`

// defaultsQuery lists the default privileges that name the role or everyone.
const defaultsQuery = `
	SELECT DISTINCT pg_catalog.pg_get_userbyid(d.defaclrole)::text, coalesce(pg_catalog.quote_ident(n.nspname), ''),
	       CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'SCHEMAS' END, x.grantee = 0
	FROM pg_catalog.pg_default_acl AS d LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = d.defaclnamespace, pg_catalog.aclexplode(d.defaclacl) AS x
	WHERE d.defaclobjtype IN ('r', 'S', 'n') AND (x.grantee = 0 OR x.grantee = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = $1)) ORDER BY 1, 2, 3, 4`

// maker is a role that makes objects. Envdb's role may act as it, or not.
type maker struct {
	Name string
	May  bool
}

// grantLater sets the default privileges of everyone who makes objects here.
func (a Access) grantLater(ctx context.Context, conn *pgx.Conn) (notes []string, err error) {
	makers, err := query[maker](ctx, conn, makersQuery)
	if err != nil {
		return nil, stepError("list the owners", err)
	}
	sql, err := a.revokeDefaults(ctx, conn, makers)
	if err != nil {
		return nil, err
	}
	tables, sequences := a.allowances()
	for _, m := range makers {
		if m.Name == a.Role {
			continue // it has all privileges on what it makes
		}
		if !m.May {
			notes = append(notes, fmt.Sprintf("access: what %s makes later is not granted to %s: envdb's role may not act as it", m.Name, a.Role))
			continue
		}
		head := "ALTER DEFAULT PRIVILEGES FOR ROLE " + postgres.Quote(m.Name) + " GRANT "
		to := " TO " + postgres.Quote(a.Role)
		sql = append(sql, head+strings.Join(tables, ", ")+" ON TABLES"+to, head+strings.Join(sequences, ", ")+" ON SEQUENCES"+to, head+"USAGE ON SCHEMAS"+to)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, statement := range sql {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	return notes, stepError("set the default privileges of role "+a.Role, err)
}

// revokeDefaults returns what takes away default privileges beyond the mode.
func (a Access) revokeDefaults(ctx context.Context, conn *pgx.Conn, makers []maker) ([]string, error) {
	if !a.limits() {
		return nil, nil
	}
	type given struct {
		Maker, Schema, Kind string
		Everyone            bool
	}
	found, err := query[given](ctx, conn, defaultsQuery, a.Role)
	if err != nil {
		return nil, stepError("list the default privileges", err)
	}
	tables, sequences := a.allowances()
	beyond := map[string]string{
		"TABLES":    strings.Join(wordsWithout(tablePrivileges(), tables), ", "),
		"SEQUENCES": strings.Join(wordsWithout(sequencePrivileges(), sequences), ", "),
		"SCHEMAS":   "CREATE",
	}
	var sql []string
	for _, d := range found {
		if !slices.Contains(makers, maker{d.Maker, true}) {
			continue // grantLater says so
		}
		what, from, in := "ALL", postgres.Quote(a.Role), ""
		if d.Everyone {
			what, from = beyond[d.Kind], "PUBLIC"
		}
		if d.Schema != "" {
			in = " IN SCHEMA " + d.Schema
		}
		sql = append(sql, "ALTER DEFAULT PRIVILEGES FOR ROLE "+postgres.Quote(d.Maker)+in+" REVOKE "+what+" ON "+d.Kind+" FROM "+from)
	}
	return sql, nil
}
