package seed

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
)

// The errors of the server that a row of a fixture can cause. See the
// PostgreSQL manual, appendix "PostgreSQL Error Codes".
const (
	codeNotNull    = "23502"
	codeForeignKey = "23503"
	codeUnique     = "23505"
)

// rowFault says which row of which file the server refused, and why.
func (l *loader) rowFault(err error, u *unit, r *insert) error {
	pgErr := new(pgconn.PgError)
	if p := new(envdb.Problem); errors.As(err, &p) || !errors.As(err, &pgErr) {
		return err
	}
	at := r.place(u.table, pgErr)
	name := u.table.String()
	if r.label != "" {
		name += " " + fmt.Sprintf("%q", r.label)
	}
	switch pgErr.Code {
	case codeUnique:
		return u.duplicate(pgErr, r)
	case codeForeignKey:
		return l.dangling(at, name, pgErr, u.table)
	case codeNotNull:
		return wrapped(at.Fail("%s: %s may not be NULL", name, pgErr.ColumnName), err).
			WithNext("give the row a value for %s", pgErr.ColumnName)
	}
	p := wrapped(at.Fail("%s: %s", name, sentence(pgErr)), err)
	if at != r.at {
		return p.WithNext("correct the value at %s", at)
	}
	return p.WithNext("correct the row at %s", at)
}

// wrapped sets the cause of a problem without showing its text twice.
func wrapped(p *envdb.Problem, err error) *envdb.Problem {
	p.Err = err
	return p
}

// sentence is the server's message with its detail and its hint, which guesses
// and is no next step of ours.
func sentence(pgErr *pgconn.PgError) string {
	var more []string
	for _, text := range []string{pgErr.Detail, pgErr.Hint} {
		if text != "" {
			more = append(more, strings.TrimSuffix(text, "."))
		}
	}
	if len(more) == 0 {
		return pgErr.Message
	}
	return pgErr.Message + " (" + strings.Join(more, "; ") + ")"
}

// place is the line of the cell that the server complains about, or of the row.
func (r *insert) place(t *table, pgErr *pgconn.PgError) fixture.Position {
	cells := slices.Concat(r.cells, r.later)
	if pgErr.Code == codeForeignKey {
		for _, f := range t.foreign {
			for _, c := range cells {
				if f.name == pgErr.ConstraintName && slices.Contains(f.columns, c.column.name) {
					return c.at
				}
			}
		}
	}
	for _, c := range cells {
		quoted := c.text != nil && *c.text != "" && strings.Contains(pgErr.Message, `"`+*c.text+`"`)
		if quoted || c.column.name == pgErr.ColumnName || c.sql != "" && strings.Contains(pgErr.Where, c.sql) {
			return c.at
		}
	}
	return r.at
}

// duplicate names both rows of a key.
func (u *unit) duplicate(pgErr *pgconn.PgError, r *insert) error {
	what := fmt.Sprintf("%s has %s twice", u.table, keyOf(pgErr))
	second := describe(r)
	first := u.twin(pgErr.ConstraintName, r)
	if first == nil {
		return wrapped(r.at.Fail("%s: %s, and the other row is not of a YAML file", what, second), pgErr).
			WithNext("a migration, a script or a CSV file puts the other row there; change one of them")
	}
	next := "remove or change one of the rows"
	if first.label != "" && r.label != "" && first.derivedKey() && r.derivedKey() {
		next = "the labels happen to have the same number; give one of the rows its key, or rename its label"
	}
	return wrapped(r.at.Fail("%s: %s and %s at %s", what, second, describe(first), first.at), pgErr).WithNext("%s", next)
}

// keyOf is the key in the server's detail: (id)=(1).
func keyOf(pgErr *pgconn.PgError) string {
	detail := strings.TrimPrefix(pgErr.Detail, "Key ")
	if i := strings.LastIndex(detail, " already exists"); i > 0 {
		return detail[:i]
	}
	return "the key " + pgErr.ConstraintName
}

func describe(r *insert) string {
	if r.label != "" {
		return fmt.Sprintf("row %q", r.label)
	}
	return "the row"
}

func (r *insert) derivedKey() bool {
	return slices.ContainsFunc(r.cells, func(c insertCell) bool { return c.label == r.label })
}

// twin returns the row before r that has the same key.
func (u *unit) twin(constraint string, r *insert) *insert {
	i := slices.IndexFunc(u.table.keys, func(k key) bool { return k.name == constraint })
	if i < 0 {
		return nil
	}
	columns := u.table.keys[i].columns
	want, ok := r.values(columns)
	if !ok {
		return nil
	}
	for _, l := range u.loads {
		for _, other := range l.rows {
			if other == r {
				return nil
			}
			if got, ok := other.values(columns); ok && got == want {
				return other
			}
		}
	}
	return nil
}

// dangling is the error of a row that refers to one that is not there.
func (l *loader) dangling(at fixture.Position, name string, pgErr *pgconn.PgError, t *table) error {
	p := wrapped(at.Fail("%s: %s", name, strings.TrimSuffix(pgErr.Detail, ".")), pgErr)
	if pgErr.Detail == "" {
		p.Text = at.String() + ": " + name + ": " + pgErr.Message
	}
	i := slices.IndexFunc(t.foreign, func(f *foreignKey) bool { return f.name == pgErr.ConstraintName })
	if i < 0 {
		return p.WithNext("correct the row")
	}
	return p.WithNext("add the row to the fixtures of %s, or change %s", t.foreign[i].parent, strings.Join(t.foreign[i].columns, ", "))
}

// detailKey is how the server shows the key of a row: Key (a, b)=(1, 2) is not
// present in table "t".
var detailKey = regexp.MustCompile(`^Key \((.*?)\)=\((.*)\) is not present`)

// deferredFault finds the row whose deferred constraint failed: the server
// names its table and its key, no statement.
func (l *loader) deferredFault(err error, units []*unit) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("check the deferred constraints: %w", err)
	}
	for _, u := range units {
		if u.table.schema != pgErr.SchemaName || u.table.name != pgErr.TableName {
			continue
		}
		if r := u.rowOf(pgErr); r != nil {
			return l.rowFault(err, u, r)
		}
	}
	return wrapped(envdb.Fail(envdb.ErrPreflight, "%s.%s: %s", pgErr.SchemaName, pgErr.TableName, sentence(pgErr)), err).
		WithNext("correct the rows")
}

// rowOf returns the row that has the key of the server's detail.
func (u *unit) rowOf(pgErr *pgconn.PgError) *insert {
	i := slices.IndexFunc(u.table.foreign, func(f *foreignKey) bool { return f.name == pgErr.ConstraintName })
	parts := detailKey.FindStringSubmatch(pgErr.Detail)
	if i < 0 || parts == nil {
		return nil
	}
	for _, l := range u.loads {
		for _, r := range l.rows {
			if text, ok := r.values(u.table.foreign[i].columns); ok && strings.ReplaceAll(text, "\x00", ", ") == parts[2] {
				return r
			}
		}
	}
	return nil
}
