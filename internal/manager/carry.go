package manager

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/postgres"
)

// fit leaves out of what the source had what the target's server cannot take:
// an owner that is not there or that envdb's role may not give a database to,
// grants to roles that are not there, and settings that envdb's role may not
// make. It returns a sentence for each. What the environment itself has is
// not touched: it was made there.
func fit(ctx context.Context, conn *pgx.Conn, source generation.Properties) (generation.Properties, []string, error) {
	f := &fitting{conn: conn}
	for _, step := range []func(context.Context, *generation.Properties) error{f.owner, f.grants, f.settings} {
		if err := step(ctx, &source); err != nil {
			return source, nil, postgres.Explain(err, "compare the properties of the database with the server")
		}
	}
	return source, f.notes, nil
}

type fitting struct {
	conn  *pgx.Conn
	notes []string
}

func (f *fitting) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// owner keeps an owner that a database can be given to.
func (f *fitting) owner(ctx context.Context, p *generation.Properties) error {
	if p.Owner == "" {
		return nil
	}
	var may bool
	err := f.conn.QueryRow(ctx, `SELECT coalesce((SELECT pg_has_role(oid, 'USAGE') AND pg_has_role(oid,
		CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
		FROM pg_roles WHERE rolname = $1), false)`, p.Owner).Scan(&may)
	if err != nil || may {
		return err
	}
	f.note("the database belonged to %s, which is not there or not envdb's to give to; it belongs to envdb's role", p.Owner)
	p.Owner = ""
	return nil
}

// grants keeps what was granted to roles that are there.
func (f *fitting) grants(ctx context.Context, p *generation.Properties) error {
	kept := slices.Clone(p.ACL)
	for _, item := range p.ACL {
		role := grantee(item)
		if role == "" {
			continue // everyone
		}
		var exists bool
		if err := f.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists); err != nil {
			return err
		}
		if !exists {
			f.note("what %s was granted on the database was left out: the role is not there", role)
			kept = slices.DeleteFunc(kept, func(other string) bool { return other == item })
		}
	}
	p.ACL = kept
	return nil
}

// grantee returns the role of an aclitem, "" for PUBLIC; see the PostgreSQL
// manual, section "Privileges".
func grantee(item string) string {
	if !strings.HasPrefix(item, `"`) {
		role, _, _ := strings.Cut(item, "=")
		return role
	}
	quoted := strings.ReplaceAll(item[1:], `""`, "\x00")
	role, _, _ := strings.Cut(quoted, `"`)
	return strings.ReplaceAll(role, "\x00", `"`)
}

// settableSQL tells which settings ($1 roles, $2 names) the current role may
// attach to a database of its own; see AlterDatabaseSet and AlterRoleSet.
const settableSQL = `
	SELECT me.rolsuper OR (coalesce(s.context = 'user', false) OR has_parameter_privilege(u.name, 'SET'))
	         AND (u.role = '' OR u.role = me.rolname OR me.rolcreaterole
	              AND (current_setting('server_version_num')::int < 160000 OR pg_has_role(r.oid, 'USAGE WITH ADMIN OPTION'))),
	       u.role = '' OR r.oid IS NOT NULL
	FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(role, name, n)
	JOIN pg_roles AS me ON me.rolname = current_user
	LEFT JOIN pg_settings AS s ON lower(s.name) = lower(u.name)
	LEFT JOIN pg_roles AS r ON r.rolname = u.role
	ORDER BY n`

// settings keeps those that envdb's role may make for roles that are there.
func (f *fitting) settings(ctx context.Context, p *generation.Properties) error {
	var roles, names []string
	for _, s := range p.Settings {
		roles, names = append(roles, s.Role), append(names, s.Name)
	}
	rows, err := f.conn.Query(ctx, settableSQL, roles, names)
	if err != nil {
		return err
	}
	type answer struct{ May, There bool }
	answers, err := pgx.CollectRows(rows, pgx.RowToStructByPos[answer])
	if err != nil {
		return err
	}
	var kept []generation.Setting
	for i, s := range p.Settings {
		switch {
		case !answers[i].There:
			f.note("the setting %s of role %s was left out: the role is not there", s.Name, s.Role)
		case !answers[i].May:
			f.note("the setting %s was left out: envdb's role may not make it", s.Name)
		default:
			kept = append(kept, s)
		}
	}
	p.Settings = kept
	return nil
}
