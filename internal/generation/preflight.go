package generation

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// obstacle is something that must not be in a database that is renamed or
// dropped. Its query takes the oid and returns a text per finding.
type obstacle struct{ what, sql, next string }

const subscribed = "enabled subscriptions"

// obstacles lists what would stop a rename after logins were held already, or
// would go on writing to, or feeding from, the database that was live.
func obstacles() []obstacle {
	return []obstacle{
		{"prepared transactions", `
			SELECT format('%s (by %s, since %s)', gid, owner, prepared::timestamptz(0)) FROM pg_prepared_xacts
			WHERE database = (SELECT datname FROM pg_database WHERE oid = $1) ORDER BY gid`,
			"COMMIT PREPARED or ROLLBACK PREPARED each of them"},
		{"logical replication slots", `
			SELECT slot_name || CASE WHEN active THEN format(' (used by server process %s)', active_pid) ELSE '' END
			FROM pg_replication_slots WHERE datoid = $1 ORDER BY 1`,
			"end that replication and SELECT pg_drop_replication_slot(…)"},
		{subscribed, `
			SELECT subname::text FROM pg_subscription WHERE subdbid = $1 AND subenabled ORDER BY 1`,
			"ALTER SUBSCRIPTION … DISABLE each of them"},
		{"replication connections", `
			SELECT format('%s (server process %s)', application_name, pid) FROM pg_stat_activity
			WHERE datid = $1 AND backend_type = 'walsender' ORDER BY 1`,
			"end that replication"},
	}
}

// clear fails if anything is in the way of renaming the version, naming it.
func (g *Generations) clear(ctx context.Context, conn *pgx.Conn, v Version) error {
	for _, o := range obstacles() {
		if err := g.free(ctx, conn, v, o); err != nil {
			return err
		}
	}
	return nil
}

// free fails if the version has the obstacle, naming each.
func (g *Generations) free(ctx context.Context, conn *pgx.Conn, v Version, o obstacle) error {
	rows, err := conn.Query(ctx, o.sql, v.OID)
	if err != nil {
		return g.explain(err, "look for "+o.what)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return g.explain(err, "look for "+o.what)
	}
	if len(names) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "database %s has %s: %s", v.Name, o.what, strings.Join(names, ", ")).
		WithState("nothing was changed").WithNext("%s, then run this again", o.next)
}

// mayRename fails unless envdb's role may rename and mark the database: it
// needs CREATEDB and the rights of the owner.
func (g *Generations) mayRename(ctx context.Context, conn *pgx.Conn, v Version) error {
	if err := g.mayCreate(ctx, conn); err != nil {
		return err
	}
	var owner string
	var may bool
	err := conn.QueryRow(ctx, `
		SELECT pg_get_userbyid(datdba)::text, pg_has_role(datdba, 'USAGE') FROM pg_database WHERE oid = $1`, v.OID).Scan(&owner, &may)
	if err != nil {
		return g.explain(err, "read the owner of "+v.Name)
	}
	if may {
		return nil
	}
	grant, err := g.asOwner(ctx, conn, owner, v.Name)
	if err != nil {
		return err
	}
	return lacking("role %q may not rename database %s: it belongs to %q", g.role, v.Name, owner).WithNext("as a superuser: %s", grant)
}

// ErrRole is wrapped by the error of something that envdb's role may not do on
// the server, and another role may.
var ErrRole = errors.New("the role may not do that")

// lacking returns a Problem that wraps ErrRole.
func lacking(format string, args ...any) *envdb.Problem {
	p := envdb.Fail(envdb.ErrPreflight, format, args...).WithState("nothing was changed")
	p.Err = errors.Join(ErrRole, p.Err)
	return p
}

// asOwner returns the statement that gives envdb's role the rights of a
// database's owner. As a member of a superuser it would be one itself, so there
// the database changes hands instead.
func (g *Generations) asOwner(ctx context.Context, conn *pgx.Conn, owner, database string) (string, error) {
	var super bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_roles WHERE rolsuper AND pg_has_role(o.oid, oid, 'MEMBER')) FROM pg_roles AS o WHERE o.rolname = $1`, owner).Scan(&super)
	switch {
	case err != nil:
		return "", g.explain(err, "read role "+owner)
	case super:
		return fmt.Sprintf("ALTER DATABASE %s OWNER TO %s;", postgres.Quote(database), postgres.Quote(g.role)), nil
	}
	return fmt.Sprintf("GRANT %s TO %s;", postgres.Quote(owner), postgres.Quote(g.role)), nil
}

// mayEndSQL selects the sessions ($1: oids of databases) that envdb's role may
// not end; see pg_terminate_backend. Autovacuum has no role, and a rename ends
// it by itself.
const mayEndSQL = `
	SELECT format('%s of role %s (%s)', pid, usename, application_name) FROM pg_stat_activity
	WHERE datid = ANY ($1::oid[]) AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
	  AND NOT (` + endable + `) ORDER BY pid`

// endable is true of a session in pg_stat_activity that envdb's role may end.
const endable = `pg_has_role(usesysid, 'USAGE') OR (pg_has_role('pg_signal_backend', 'USAGE')
	AND NOT (SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid))`

// mayEnd fails if there are sessions in the databases that envdb's role may
// not end.
func (g *Generations) mayEnd(ctx context.Context, conn *pgx.Conn, oids ...uint32) error {
	rows, err := conn.Query(ctx, mayEndSQL, oids)
	if err != nil {
		return g.explain(err, "look at the sessions")
	}
	who, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return g.explain(err, "look at the sessions")
	}
	if len(who) > 0 {
		return g.cannotEnd(nil, "server process "+strings.Join(who, ", "))
	}
	return nil
}

func (g *Generations) cannotEnd(err error, who string) error {
	cause := ""
	if err != nil {
		cause = fmt.Sprintf(": %v", err)
	}
	return lacking("role %q may not end %s%s", g.role, who, cause).
		WithNext("as a superuser: GRANT pg_signal_backend TO %s; (sessions of superusers only a superuser can end)", postgres.Quote(g.role))
}

// mayGive fails unless every role that the properties name exists, and
// envdb's role may make the owner the owner.
func (g *Generations) mayGive(ctx context.Context, conn *pgx.Conn, p Properties) error {
	names, err := p.roles()
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, "SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)", names)
	if err != nil {
		return g.explain(err, "look for roles")
	}
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return g.explain(err, "look for roles")
	}
	if len(missing) > 0 {
		return envdb.Fail(envdb.ErrPreflight, "the server of %s lacks roles that the database names: %s", g.env.Name, strings.Join(missing, ", ")).
			WithState("nothing was changed").WithNext("CREATE ROLE each of them, or set roles: map for %s", g.env.Name)
	}
	if p.Owner == "" || p.Owner == g.role {
		return nil
	}
	var may bool
	if err := conn.QueryRow(ctx, "SELECT pg_has_role($1::name, 'USAGE') AND pg_has_role($1::name, $2)", p.Owner, g.setOption()).Scan(&may); err != nil {
		return g.explain(err, "read role "+p.Owner)
	}
	if may {
		return nil
	}
	grant, err := g.asOwner(ctx, conn, p.Owner, g.base)
	if err != nil {
		return err
	}
	return lacking("role %q may not give a database to %q", g.role, p.Owner).WithNext("as a superuser: %s", grant)
}

// setOption is the privilege to become a role, which 16 told apart from
// membership.
func (g *Generations) setOption() string {
	if g.version.Major() >= 16 {
		return "SET"
	}
	return "MEMBER"
}
