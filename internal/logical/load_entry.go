package logical

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/internal/postgres"
)

// The errors of a server that a load branches on.
const (
	codeDeadlock          = "40P01"
	codeInsufficient      = "42501"
	codeUndefinedObject   = "42704"
	codeUndefinedFunction = "42883"
	codeForeignKey        = "23503"
	codeUnique            = "23505"
	codeCheck             = "23514"
	codeExclusion         = "23P01"
)

// deadlockTries is how often a statement is tried that the server chose as the
// victim of a deadlock. Locks are planned (see lockKeys), so one retry is rare.
const deadlockTries = 3

// preData creates what has to exist before the rows.
func (d *loader) preData(ctx context.Context, s *session) error {
	for i, e := range d.plan.pre {
		if err := d.restore(ctx, s, e); err != nil {
			return err
		}
		d.Report.Send(envdb.Progress{Step: "create schema", Done: int64(i + 1), Total: int64(len(d.plan.pre)), Unit: "objects"})
	}
	return nil
}

// buildOn creates an index or a constraint, with the help of as many processes
// as sessions have nothing else to do.
func (d *loader) buildOn(ctx context.Context, s *session, e archive.Entry, spare int) error {
	if err := s.helpedBy(ctx, spare); err != nil {
		return err
	}
	return d.restore(ctx, s, e)
}

// restore creates the object of an entry and gives it to its owner.
func (d *loader) restore(ctx context.Context, s *session, e archive.Entry) error {
	if err := s.use(ctx, e.DefaultAccessMethod()); err != nil {
		return d.refused(e, err)
	}
	for _, sql := range d.statements(e) {
		if err := d.execEntry(ctx, s, e, sql); err != nil {
			return err
		}
	}
	return nil
}

// execEntry runs one statement of an entry. What the list of ignorable errors
// holds is noted; everything else fails the load.
func (d *loader) execEntry(ctx context.Context, s *session, e archive.Entry, sql string) error {
	var err error
	for range deadlockTries {
		if err = s.exec(ctx, sql); !hasCode(err, codeDeadlock) {
			break
		}
	}
	if err == nil {
		return nil
	}
	if d.reliesOnSearchPath(e, err) && s.exec(ctx, d.withSearchPath(sql)) == nil {
		d.record.note(fmt.Sprintf("%s was created under the database's search_path, on which its functions rely", e))
		return nil
	}
	if again := d.creationWithBlanks(e, sql); again != "" && s.exec(ctx, again) == nil {
		return nil
	}
	if why := d.ignorable(e, err); why != "" {
		d.record.note(fmt.Sprintf("%s: %s", e, why))
		return nil
	}
	return d.refused(e, err)
}

// reliesOnSearchPath reports whether an index or a constraint may have failed
// because PostgreSQL plans or runs its functions, and those name other objects
// without their schemas.
func (d *loader) reliesOnSearchPath(e archive.Entry, err error) bool {
	return builds(e) && missesName(err)
}

// statements returns what restores an entry, each to be run on its own.
func (d *loader) statements(e archive.Entry) []string {
	switch e.Type {
	case "ACL", "DEFAULT ACL":
		return d.grantStatements(e)
	case "POLICY":
		return d.policyStatements(e)
	case "EXTENSION":
		return d.extensionStatements(e)
	case "SUBSCRIPTION":
		return d.subscriptionStatements(e)
	case "EVENT TRIGGER":
		return d.eventTriggerStatements(e)
	}
	return compact(d.creation(e), d.ownerStatement(e))
}

// ownerStatement gives the object to its owner, or to the role that stands in
// for it.
func (d *loader) ownerStatement(e archive.Entry) string {
	owner := d.owner(e.Owner)
	if owner == d.roles.current && !isPublicSchema(e) {
		return "" // whoever creates it owns it
	}
	return e.OwnerSQL(owner)
}

// isPublicSchema reports whether the entry is the schema that every database
// begins with, and that may belong to somebody else there.
func isPublicSchema(e archive.Entry) bool { return e.Type == "SCHEMA" && e.Tag == "public" }

// compact returns the texts that are not empty.
func compact(texts ...string) []string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// entryError says which object could not be restored. DETAIL is left out: it
// may quote rows.
func entryError(e archive.Entry, err error) error {
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		return stepError("restore "+e.String(), err)
	}
	return fmt.Errorf("restore %s: %w", e, err)
}

// stepError explains an error of the server and adds its SQLSTATE.
func stepError(what string, err error) error {
	pgErr, problem := new(pgconn.PgError), new(envdb.Problem)
	if errors.As(err, &problem) {
		return err // it was explained where it happened
	}
	explained := postgres.Explain(err, what)
	if errors.As(err, &pgErr) && errors.As(explained, &problem) {
		problem.Text += " (SQLSTATE " + pgErr.Code + ")"
	}
	return explained
}
