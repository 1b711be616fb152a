package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
)

// The errors of a server that say that something is there already.
const (
	codeDuplicateTable    = "42P07"
	codeDuplicateSchema   = "42P06"
	codeDuplicateObject   = "42710"
	codeDuplicateFunction = "42723"
	codeDuplicateColumn   = "42701"
)

// refused says what to do about an entry that the server refused. The advice
// of the error itself is for the role that is connected; an object may be made
// with the rights of its owner, whom it does not mean.
func (d *loader) refused(e archive.Entry, err error) error {
	if why := d.refusedForPreserved(e, err); why != nil {
		return why
	}
	explained := entryError(e, err)
	if why := d.collides(e, err); why != "" {
		return envdb.Fail(nil, "%w: %s", explained, why).
			WithNext("use a rule whose masks are unique (hash, email, uuid, number), and the same rule on both sides of a foreign key")
	}
	_, next := envdb.Advice(explained)
	object := strings.ToLower(e.Type) + " " + strings.TrimPrefix(e.String(), e.Type+" ")
	switch {
	case hasCode(err, codeDuplicateTable, codeDuplicateSchema, codeDuplicateObject, codeDuplicateFunction, codeDuplicateColumn):
		next = fmt.Sprintf("what made %s first is not the backup's schema: look for an extension that brings it along in the version that this server installs, or for an addition to the server's template0; remove it, or add the extension to extensions.skip, and run this again", object)
	case hasCode(err, codeInsufficient) && e.Owner != "" && d.owner(e.Owner) != d.roles.current &&
		(d.roles.superuser || e.Section == archive.SectionPostData):
		next = ownerLacks(object, e.Owner)
	case hasCode(err, codeInsufficient) && d.roles.superuser:
		next = fmt.Sprintf("%s is a superuser, so the refusal comes from something that runs with another role's rights while %s is made, such as a function or an event trigger: grant that role what the message names", d.roles.current, object)
	case hasCode(err, codeInsufficient):
		next = fmt.Sprintf("grant role %s, which the environment's url names, what the message names", d.roles.current)
		if owner := d.owner(e.Owner); owner != "" && owner != d.roles.current {
			next += fmt.Sprintf("; %s is to belong to role %s, which needs it too", object, owner)
		}
	case next == "":
		next = fmt.Sprintf("look at %s on the source: correct it there and take a new backup, or change this server so that it accepts it", object)
	}
	return envdb.Fail(nil, "%w", explained).WithNext("%s", next)
}

// collides says of an index or a constraint that masked rows do not satisfy
// which columns are masked; "" for any other error.
func (d *loader) collides(e archive.Entry, err error) string {
	if !builds(e) || !hasCode(err, codeUnique, codeForeignKey, codeCheck, codeExclusion) {
		return ""
	}
	for _, id := range e.DependsOn {
		if of, ok := d.plan.byID[id]; ok {
			if columns := d.masks.maskedColumns(of.Schema, of.Tag); columns != "" {
				return fmt.Sprintf("the masked rows of %s.%s do not satisfy it; masked are %s", of.Schema, of.Tag, columns)
			}
		}
	}
	return ""
}

// ownerLacks says what to do for an object that is made or filled with the
// rights of its owner.
func ownerLacks(object, owner string) string {
	return fmt.Sprintf("%s belongs to role %s, with whose rights this runs: grant %s what the message names, on the source before the next backup; or on this server, if it has the right there as a member of a role", object, owner, owner)
}

// refusedRefresh says what to do about a materialised view that could not be
// filled, which is done with the rights of its owner.
func (d *loader) refusedRefresh(ctx context.Context, s *session, v MaterializedView, err error) error {
	explained := stepError("refresh materialized view "+v.Schema+"."+v.Name, err)
	if !hasCode(err, codeInsufficient) {
		return explained
	}
	var owner string
	sql := "SELECT pg_catalog.pg_get_userbyid(relowner)::text FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)"
	if asked := s.conn.QueryRow(ctx, sql, postgres.QuoteName(v.Schema, v.Name)).Scan(&owner); asked != nil {
		return explained // it is what went wrong first
	}
	return envdb.Fail(nil, "%w", explained).WithNext("%s", ownerLacks("materialized view "+v.Schema+"."+v.Name, owner))
}

// insufficient corrects the advice for any other statement that a superuser
// was refused: it is not the superuser who lacks something.
func (d *loader) insufficient(what string, err error) error {
	explained := stepError(what, err)
	if !d.roles.superuser || !hasCode(err, codeInsufficient) {
		return explained
	}
	return envdb.Fail(nil, "%w", explained).
		WithNext("%s is a superuser, so the refusal comes from something that runs with the rights of an object's owner, such as a function in an index: grant the owner what the message names", d.roles.current)
}
