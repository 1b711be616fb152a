package logical

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
)

// hasServerCode reports whether a server answered with an error of its own.
func hasServerCode(err error) bool { return errors.As(err, new(*pgconn.PgError)) }

// refusedForPreserved explains a constraint that rows of two versions break
// together, or returns nil. The rows themselves are not quoted.
func (d *loader) refusedForPreserved(e archive.Entry, err error) error {
	pgErr := new(pgconn.PgError)
	if len(d.preserved) == 0 || !errors.As(err, &pgErr) || !hasCode(err, codeForeignKey, codeUnique) {
		return nil
	}
	constraint := fmt.Sprintf("%s of %s.%s", pgErr.ConstraintName, pgErr.SchemaName, pgErr.TableName)
	problem := func(next, format string, args ...any) error {
		p := envdb.Fail(envdb.ErrVerification, format, args...).WithNext("%s", next)
		p.Err = entryError(e, err)
		return p
	}
	p := d.preservedPart(Name{pgErr.SchemaName, pgErr.TableName})
	if p == nil {
		p = d.preservedNamed(Name{pgErr.SchemaName, pgErr.TableName})
	}
	switch {
	case p != nil && pgErr.Code == codeUnique:
		return problem(fmt.Sprintf("widen the where of %s, so that such rows of the backup give way; or change the rows of the live version", p.Table),
			"%s: rows that were preserved in %s collide with rows of the backup in %s", p.origin(), p.title(), constraint)
	case p != nil && pgErr.Code == codeForeignKey:
		return problem(fmt.Sprintf("preserve what they refer to as well, narrow the where of %s, or remove those rows from the live version", p.Table),
			"%s: rows that were preserved in %s refer to rows that the backup does not have: foreign key %s", p.origin(), p.title(), constraint)
	case pgErr.Code != codeForeignKey:
		return nil
	}
	for _, referred := range d.preserved {
		if slices.Contains(e.DependsOn, referred.entry) {
			return problem(fmt.Sprintf("preserve %s.%s as well, add the rows to %s of the live version, or let the backup's stay with a where", pgErr.SchemaName, pgErr.TableName, referred.Table),
				"%s: rows of the backup refer to rows of %s, which was preserved and does not have them: foreign key %s", referred.origin(), referred.title(), constraint)
		}
	}
	return nil
}

// preservedNamed returns the preserved table of that name, or nil.
func (d *loader) preservedNamed(table Name) *preserving {
	for _, p := range d.preserved {
		if p.Table == table {
			return p
		}
	}
	return nil
}
