// Package everything makes a database that holds every kind of object that
// pg_dump preserves, with the values and the names at which tools break.
//
// Its one idea is fairness: what is in it survives pg_dump | psql, which its
// own test proves, so a copy that differs is the copy's fault.
//
// Left out, because nothing in Debian's PostgreSQL packages lets a test make
// them: security labels (they need a label provider), and tablespaces (they
// are directories of a server, which no copy can be expected to have).
package everything

import (
	"embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed sql/*.sql
var files embed.FS

// Suits says which prefixes SQL and Roles take: they become part of role names.
const Suits = `^[a-z][a-z0-9_]{0,30}$`

var suits = regexp.MustCompile(Suits)

// SQL returns the statements that fill an empty UTF-8 database, for a superuser
// to send as one simple query. Roles belong to the whole cluster: their names
// begin with prefix, which must match Suits.
func SQL(prefix string) string {
	entries, err := files.ReadDir("sql")
	if err != nil {
		return "" // the directory is embedded: it cannot be missing
	}
	var all strings.Builder
	for _, entry := range entries { // ReadDir sorts by name
		text, _ := files.ReadFile("sql/" + entry.Name())
		fmt.Fprintf(&all, "BEGIN;\n%s\nCOMMIT;\n", text) // a new enum value must be committed before it is used
	}
	return substitute(all.String(), prefix)
}

// Roles returns the names of the roles that SQL creates.
func Roles(prefix string) []string {
	var names []string
	for _, r := range roles(prefix) {
		names = append(names, r.name)
	}
	return names
}

// RolesSQL returns the statements that create the roles and nothing else, for
// a cluster that a copy is restored to.
func RolesSQL(prefix string) string {
	text, _ := files.ReadFile("sql/01-roles.sql")
	return substitute(string(text), prefix)
}

// ReleaseSQL returns the statements without which PostgreSQL refuses to drop a
// database that holds the schema or a copy of it: its subscriptions go. It is
// run in that database, and may be run in any.
func ReleaseSQL() string {
	return `DO $$
DECLARE
    name name;
BEGIN
    FOR name IN SELECT subname FROM pg_catalog.pg_subscription AS s
                JOIN pg_catalog.pg_database AS d ON d.oid = s.subdbid WHERE d.datname = current_database() LOOP
        EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', name);
        EXECUTE format('ALTER SUBSCRIPTION %I SET (slot_name = NONE)', name);
        EXECUTE format('DROP SUBSCRIPTION %I', name);
    END LOOP;
END $$;`
}

// DropRolesSQL returns the statements that drop the roles, to be run once the
// databases in which they own anything are gone. Missing roles are no error.
func DropRolesSQL(prefix string) string {
	var all strings.Builder
	for _, name := range Roles(prefix) {
		fmt.Fprintf(&all, "DROP ROLE IF EXISTS %s;\n", quote(name))
	}
	return all.String()
}

// role pairs a placeholder of the SQL with the role that it stands for.
type role struct{ placeholder, name string }

func roles(prefix string) []role {
	long := prefix + "_" + strings.Repeat("x", 63)
	return []role{
		{"@owner@", prefix + "_owner"},
		{"@reader@", prefix + "_reader"},
		{"@writer@", prefix + "_Writer"},
		{"@odd@", prefix + ` Odd "rôle's" name`},
		{"@long@", long[:63]}, // the longest name that PostgreSQL takes
	}
}

// substitute puts the role names into the text, where they stand within double
// quotes (identifiers) or single quotes (literals).
func substitute(text, prefix string) string {
	if !suits.MatchString(prefix) {
		return fmt.Sprintf("DO $$ BEGIN RAISE 'everything: the prefix must match %s'; END $$;", Suits)
	}
	var pairs []string
	for _, r := range roles(prefix) {
		literal := "'" + strings.ReplaceAll(r.name, "'", "''") + "'"
		pairs = append(pairs, `"`+r.placeholder+`"`, quote(r.name), `'`+r.placeholder+`'`, literal)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// quote returns name as a quoted identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
