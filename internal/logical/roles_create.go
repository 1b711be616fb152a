package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// RoleOptions say what the roles are for. The zero RoleOptions make them as
// they were, for a server that takes the source's place.
type RoleOptions struct {
	// OwnersOnly makes roles that own things and are granted things, and
	// cannot do anything else: no login, no attribute that reaches beyond the
	// database.
	OwnersOnly bool
}

// CreateRoles creates those of the roles that the server lacks, and grants
// their memberships; roles that exist are left as they are. It sets no passwords, so a role that may log in
// cannot do so by one until somebody sets it, and it makes no superuser: that
// is for a person to decide. It returns the names of the roles that it created. A role without superuser rights that creates
// roles becomes a member of them, so that it can give them what they own.
func CreateRoles(ctx context.Context, conn *pgx.Conn, roles []backup.Role, o RoleOptions) ([]string, error) {
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		return nil, postgres.Explain(err, "read the target's version")
	}
	have, err := readRoles(ctx, conn, version)
	if err != nil {
		return nil, err
	}
	missing := lacking(roles, have)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, postgres.Explain(err, "create roles")
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // no-op after the commit
	creator := roleCreator{version: version, have: have, options: o}
	var created []string
	for _, r := range missing {
		if err := runAll(ctx, tx, "create role "+r.Name, creator.create(r)); err != nil {
			return nil, err
		}
		created = append(created, r.Name)
		have.exists[r.Name] = true
	}
	for _, r := range missing {
		if err := runAll(ctx, tx, "grant memberships to role "+r.Name, creator.memberships(r)); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, postgres.Explain(err, "create roles")
	}
	return created, nil
}

func runAll(ctx context.Context, tx pgx.Tx, what string, statements []string) error {
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return stepError(what, err)
		}
	}
	return nil
}

type roleCreator struct {
	version postgres.ServerVersion
	have    roleMap
	options RoleOptions
}

// create returns the statements that make a role as it was on the source.
func (c roleCreator) create(r backup.Role) []string {
	name := postgres.Quote(r.Name)
	out := []string{"CREATE ROLE " + name + " WITH " + strings.Join(c.attributes(r), " ")}
	if r.Comment != "" {
		out = append(out, "COMMENT ON ROLE "+name+" IS "+postgres.Literal(r.Comment))
	}
	for _, s := range r.Settings {
		if key, value, ok := strings.Cut(s, "="); ok {
			out = append(out, "ALTER ROLE "+name+" SET "+settingSQL(key, value))
		}
	}
	if !c.have.superuser {
		grant := "GRANT " + name + " TO CURRENT_USER"
		if c.version.Major() >= 16 {
			grant += " WITH SET TRUE, INHERIT TRUE"
		}
		out = append(out, grant)
	}
	return out
}

// attributes returns the options of CREATE ROLE. A role that is no superuser
// can pass on only what it has; before PostgreSQL 16 that excludes REPLICATION
// and BYPASSRLS altogether.
func (c roleCreator) attributes(r backup.Role) []string {
	as := func(name string, is bool) string {
		if is && !c.options.OwnersOnly {
			return name
		}
		return "NO" + name
	}
	inherit := "NOINHERIT"
	if r.Inherit {
		inherit = "INHERIT"
	}
	out := []string{
		inherit, as("LOGIN", r.Login), as("CREATEROLE", r.CreateRole),
		as("CREATEDB", r.CreateDB && (c.have.superuser || c.have.createDB)),
	}
	if c.have.superuser {
		out = append(out, as("REPLICATION", r.Replication), as("BYPASSRLS", r.BypassRLS))
	}
	if r.ConnectionLimit >= 0 {
		out = append(out, fmt.Sprintf("CONNECTION LIMIT %d", r.ConnectionLimit))
	}
	if r.ValidUntil != "" {
		out = append(out, "VALID UNTIL "+postgres.Literal(r.ValidUntil))
	}
	return out
}

// memberships returns the grants of other roles to a role, as far as they are
// there.
func (c roleCreator) memberships(r backup.Role) []string {
	var out []string
	for _, m := range r.MemberOf {
		if !c.have.exists[m.Role] {
			continue
		}
		if !c.have.superuser && (predefinedRole(m.Role) || m.Admin) {
			continue // only a superuser, or who has the admin option, may
		}
		grant := "GRANT " + postgres.Quote(m.Role) + " TO " + postgres.Quote(r.Name)
		if options := c.membershipOptions(m); len(options) > 0 {
			grant += " WITH " + strings.Join(options, ", ")
		}
		out = append(out, grant)
	}
	return out
}

func (c roleCreator) membershipOptions(m backup.Membership) []string {
	var out []string
	if c.version.Major() < 16 {
		if m.Admin {
			out = append(out, "ADMIN OPTION")
		}
		return out
	}
	if m.Admin {
		out = append(out, "ADMIN TRUE")
	}
	for _, o := range []struct {
		name string
		is   *bool
	}{{"INHERIT", m.Inherit}, {"SET", m.Set}} {
		if o.is != nil {
			out = append(out, fmt.Sprintf("%s %t", o.name, *o.is))
		}
	}
	return out
}

// listSettings are the parameters whose value is a list of names, which
// pg_db_role_setting keeps as SQL: quoted already. See GUC_LIST_QUOTE in
// PostgreSQL's guc_tables.c.
var listSettings = []string{
	"local_preload_libraries", "search_path", "session_preload_libraries",
	"shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
}

// settingSQL returns "name = value" for SET, from the two halves of an entry of
// pg_db_role_setting.
func settingSQL(name, value string) string {
	quoted := make([]string, 0, 2)
	for part := range strings.SplitSeq(name, ".") {
		quoted = append(quoted, postgres.Quote(part))
	}
	key := strings.Join(quoted, ".")
	if slices.Contains(listSettings, strings.ToLower(name)) && value != "" {
		return key + " = " + value
	}
	return key + " = " + postgres.Literal(value)
}

// createRoles creates the roles that the target lacks, if it is to have them,
// and learns what it can do then.
func (d *loader) createRoles(ctx context.Context, s *session) error {
	if d.Roles != RolesCreate {
		return nil
	}
	roles := slices.Clone(d.cat.Roles)
	for _, name := range owners(d.archive) {
		if !slices.ContainsFunc(roles, func(r backup.Role) bool { return r.Name == name }) {
			roles = append(roles, backup.Role{Name: name, Inherit: true, ConnectionLimit: -1})
		}
	}
	created, err := CreateRoles(ctx, s.conn, roles, RoleOptions{OwnersOnly: true})
	if err != nil {
		return err
	}
	if len(created) > 0 {
		d.record.note("roles that the target lacked were created, without login: " + strings.Join(created, ", "))
	}
	d.roles, err = readRoles(ctx, s.conn, d.target.version)
	return err
}
