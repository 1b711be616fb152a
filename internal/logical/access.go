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

// checkAccess fails, before anything is read, if the role would not get every
// row, and names everything that it lacks.
func (a *attempt) checkAccess(ctx context.Context) error {
	if err := a.checkNames(); err != nil {
		return err
	}
	role, err := queryValue(ctx, a.sessions.leader, "SELECT current_user")
	if err != nil {
		return explain(err, "ask for the role")
	}
	if err := a.checkPrivileges(role); err != nil {
		return err
	}
	a.noteUnreadable()
	if err := a.noteHiddenOptions(ctx, role); err != nil {
		return err
	}
	return a.checkPolicies(role)
}

// checkPrivileges fails if the role may not read something.
func (a *attempt) checkPrivileges(role string) error {
	var schemas, tables, sequences []string
	for _, r := range a.relations {
		if !r.Reachable {
			schemas = append(schemas, postgres.Quote(r.Schema))
		}
		if !r.Readable {
			tables = append(tables, r.sql())
		}
	}
	for _, s := range a.sequences {
		if !s.Reachable {
			schemas = append(schemas, postgres.Quote(s.Schema))
		}
		if !s.Readable {
			sequences = append(sequences, s.sql())
		}
	}
	slices.Sort(schemas)
	var lacks, grants []string
	lack := func(privilege, kind string, names []string) {
		if len(names) > 0 {
			lacks = append(lacks, fmt.Sprintf("%s on %s %s", privilege, strings.ToLower(kind), strings.Join(names, ", ")))
			grants = append(grants, fmt.Sprintf("GRANT %s ON %s %s TO %s;", privilege, kind, strings.Join(names, ", "), postgres.Quote(role)))
		}
	}
	lack("USAGE", "SCHEMA", slices.Compact(schemas))
	lack("SELECT", "TABLE", tables)
	lack("SELECT", "SEQUENCE", sequences)
	if a.blobs.count > 0 && !a.blobs.readable {
		lack("SELECT", "TABLE", []string{"pg_catalog.pg_largeobject"})
	}
	if len(lacks) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "role %s may not read the whole database: it lacks %s", role, strings.Join(lacks, "; ")).
		WithNext("as a superuser run GRANT pg_read_all_data TO %s; or in the database %s", postgres.Quote(role), strings.Join(grants, " "))
}

// checkPolicies fails if row-level security would hide rows. Every session sets
// row_security to off, so reading would fail too, but only later and one table
// at a time.
func (a *attempt) checkPolicies(role string) error {
	var hidden []string
	for _, r := range a.relations {
		if r.Hidden && r.Kind == "r" {
			hidden = append(hidden, r.sql())
		}
	}
	if len(hidden) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrPreflight, "row-level security would hide rows of %s from role %s", strings.Join(hidden, ", "), role).
		WithNext("as a superuser run ALTER ROLE %s BYPASSRLS; or use another role for backups", postgres.Quote(role))
}

// noteUnreadable notes the tables whose rows cannot be read at all.
func (a *attempt) noteUnreadable() {
	for _, s := range a.sources {
		if s.table.SchemaOnly {
			a.note("unlogged table " + s.sql() + " has no rows on a standby: the backup has its definition only")
		}
	}
}

// hiddenOptionsQuery lists the user mappings whose options the view
// pg_user_mappings hides from the role, by the rules of the view; pg_dump reads
// them there. It cannot be told whether they have any.
const hiddenOptionsQuery = `
SELECT format('%I on server %I', coalesce(m.usename, 'public'), m.srvname)
  FROM pg_catalog.pg_user_mappings m JOIN pg_catalog.pg_foreign_server s ON s.oid = m.srvid
 WHERE m.umoptions IS NULL AND NOT coalesce(
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
    OR CASE WHEN m.umuser = 0 THEN pg_has_role(s.srvowner, 'USAGE')
            ELSE m.usename = current_user AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE')) END, false)
 ORDER BY 1`

// noteHiddenOptions notes the user mappings that a copy would have without
// their options, the passwords among them.
func (a *attempt) noteHiddenOptions(ctx context.Context, role string) error {
	rows, err := a.sessions.leader.Query(ctx, hiddenOptionsQuery)
	if err != nil {
		return explain(err, "read the user mappings")
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return explain(err, "read the user mappings")
	}
	for _, name := range names {
		a.note(fmt.Sprintf("the options of user mapping %s, if it has any, are not in the backup: role %s may not read them; "+
			"only a superuser may, the mapped user with USAGE on the server, or of PUBLIC's mapping the server's owner", name, role))
	}
	return nil
}

// checkNames fails for a name that is not UTF-8, which only a database without
// an encoding (SQL_ASCII) can hold, and which no catalogue could carry.
func (a *attempt) checkNames() error {
	for _, s := range a.sources {
		names := []string{s.Schema, s.Name}
		for _, c := range s.table.Columns {
			names = append(names, c.Name)
		}
		for _, name := range names {
			if name != strings.ToValidUTF8(name, "") {
				return envdb.Fail(envdb.ErrPreflight, "table %q has a name that is not UTF-8: %q", s.sql(), name).
					WithNext("rename it; a database of encoding SQL_ASCII can be backed up if every name in it is UTF-8")
			}
		}
	}
	return nil
}

// checkTexts fails, as checkNames does, for what else the catalogue would have
// to carry that is not UTF-8. Rows, and what only the archive holds, as
// comments and the bodies of functions, may be anything.
func (a *attempt) checkTexts(context.Context) error {
	refuse := func(what, text string) error {
		if text == strings.ToValidUTF8(text, "") {
			return nil
		}
		return envdb.Fail(envdb.ErrPreflight, "%s is not UTF-8: %q", what, text).
			WithNext("change it; a database of encoding SQL_ASCII can be backed up if every name in it, its comment and its settings are UTF-8")
	}
	for _, o := range a.catalogue.Objects {
		if err := refuse("the name of a "+o.Class, o.Identity); err != nil {
			return err
		}
	}
	d := a.catalogue.Database
	for _, s := range d.Settings {
		if err := refuse("the database's setting "+s.Name, s.Value); err != nil {
			return err
		}
	}
	return refuse("the comment on database "+postgres.Quote(d.Name), d.Comment)
}
