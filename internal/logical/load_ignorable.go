package logical

import (
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb/internal/logical/archive"
)

// ignorable is one reviewed exception from the rule that any error fails the
// load.
type ignorable struct {
	what  string // the kind of entry
	tag   func(tag string) bool
	codes []string // SQLSTATE
	when  func(*loader) bool
	why   string
}

// ignorables is the whole list. What is not in it fails the load.
var ignorables = []ignorable{
	{
		what:  "SCHEMA",
		tag:   func(tag string) bool { return tag == "public" },
		codes: []string{codeInsufficient},
		when:  func(d *loader) bool { return !d.roles.superuser },
		why:   "the schema that every database begins with keeps its owner, because the target's role may not change it",
	},
	{
		what:  "COMMENT",
		tag:   func(tag string) bool { return tag == "SCHEMA public" || strings.HasPrefix(tag, "EXTENSION ") },
		codes: []string{codeInsufficient},
		when:  func(d *loader) bool { return !d.roles.superuser },
		why:   "the comment belongs to whoever installed the object, and the target's role did not",
	},
	{
		what:  "ACL",
		codes: []string{codeUndefinedTable, codeUndefinedSchema, codeUndefinedObject, codeUndefinedFunction},
		when:  func(d *loader) bool { return len(d.SkipExtensions) > 0 },
		why:   "the privileges are those of a skipped extension's object",
	},
	{
		what:  "ACL",
		tag:   func(tag string) bool { return tag == "SCHEMA public" },
		codes: []string{codeInsufficient},
		when:  func(d *loader) bool { return !d.roles.superuser },
		why:   "the schema that every database begins with keeps its privileges, because the target's role may not change them",
	},
}

// ignorable returns why the error of an entry may be ignored, or "".
func (d *loader) ignorable(e archive.Entry, err error) string {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return ""
	}
	for _, i := range ignorables {
		if i.what == e.Type && slices.Contains(i.codes, pgErr.Code) &&
			(i.tag == nil || i.tag(e.Tag)) && (i.when == nil || i.when(d)) {
			return i.why
		}
	}
	return ""
}
