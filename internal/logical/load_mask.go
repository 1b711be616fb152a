package logical

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/mask"
	"github.com/envdb/envdb/internal/postgres"
)

// What is masked by a named rule is masked on the way to the server, which
// never sees it. A table with an expression goes through a temporary table of
// the session, whose files are its own, are never logged, analyzed or vacuumed,
// and end with the transaction; the other columns are masked on the way there.

// staging is the temporary table. Its name is not one that people choose.
const staging = `pg_temp."envdb staging"`

// maskedStream returns the chunks' rows with their masks, or nil for a table
// that has none.
func (d *loader) maskedStream(t Table, refs []backup.Ref, chunks io.Reader) *mask.Reader {
	if d.masks == nil {
		return nil
	}
	m := d.masks.maskers[Name{t.Schema, t.Name}]
	if m == nil {
		return nil
	}
	var before int64
	for _, r := range d.reader.Chunks(t.Part) {
		if len(refs) > 0 && r.Ordinal < refs[0].Ordinal {
			before += r.Rows
		}
	}
	return m.Reader(&counted{chunks, d}, before, rowsIn(refs))
}

// staged reports whether a table has expressions.
func (d *loader) staged(t Table) bool {
	p := d.masks.of(t)
	return p != nil && len(p.Expressions()) > 0
}

// stagedColumns lists the columns of the staging table: those of the table,
// and the hashes that expressions ask for.
func (d *loader) stagedColumns(t Table) string {
	var columns []string
	for _, name := range t.columnNames() {
		columns = append(columns, postgres.Quote(name))
	}
	for _, name := range d.masks.maskers[Name{t.Schema, t.Name}].Hashes() {
		columns = append(columns, "NULL::pg_catalog.text AS "+postgres.Quote(name))
	}
	return strings.Join(columns, ", ")
}

// stagedAs names what is selected from as the table is, so that an expression
// may say which table it means.
func (d *loader) stagedAs(t Table, from string) string { return from + " AS " + postgres.Quote(t.Name) }

// copyStaged loads a portion of a table by way of the staging table.
func (d *loader) copyStaged(ctx context.Context, s *session, p portion) error {
	t, what := p.table, "mask "+p.table.title()
	begin := "BEGIN; SET LOCAL search_path = " + d.searchPath() + "; CREATE TEMPORARY TABLE \"envdb staging\" ON COMMIT DROP AS SELECT " +
		d.stagedColumns(t) + " FROM " + postgres.QuoteName(t.Schema, t.Name) + " WITH NO DATA"
	if err := s.exec(ctx, begin); err != nil {
		return stepError(what, err)
	}
	var columns []string
	for _, name := range append(t.columnNames(), d.masks.maskers[Name{t.Schema, t.Name}].Hashes()...) {
		columns = append(columns, postgres.Quote(name))
	}
	copySQL := fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT %s)", staging, strings.Join(columns, ", "), t.Format)
	if err := d.copyTo(ctx, s, t, p.refs, copySQL); err != nil {
		return err
	}
	if err := s.exec(ctx, "SAVEPOINT masked"); err != nil {
		return stepError(what, err)
	}
	tag, err := s.conn.PgConn().Exec(ctx, d.insertSQL(t)).ReadAll()
	if err != nil {
		return d.expressionError(ctx, s, p, err)
	}
	if n := tag[0].CommandTag.RowsAffected(); n != rowsIn(p.refs) {
		return envdb.Fail(envdb.ErrVerification, "%s: %d rows were masked, and %d arrived", what, rowsIn(p.refs), n)
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return stepError(what, err)
	}
	return nil
}

// insertSQL moves the staged rows into the table, with the expressions in the
// place of their columns.
func (d *loader) insertSQL(t Table) string {
	expressions := map[string]string{}
	for _, c := range d.masks.of(t).Expressions() {
		expressions[c.Name] = c.Expression()
	}
	var columns, values []string
	for _, name := range t.columnNames() {
		columns = append(columns, postgres.Quote(name))
		if e := expressions[name]; e != "" {
			values = append(values, "(\n"+e+"\n)")
			continue
		}
		values = append(values, postgres.Quote(name))
	}
	return fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
		t.sql(), strings.Join(columns, ", "), strings.Join(values, ", "), d.stagedAs(t, staging))
}

// failingRow finds the first staged row for which an expression fails. Rows are
// taken one by one, which is slow, and done only when one has failed.
const failingRow = `DO $envdb$
#variable_conflict use_column
DECLARE "envdb staged" %[1]s%%ROWTYPE; "envdb masked" %[2]s.%[3]s%%TYPE; "envdb row" bigint := 0;
BEGIN
	FOR "envdb staged" IN SELECT * FROM %[1]s LOOP
		"envdb row" := "envdb row" + 1;
		"envdb masked" := (SELECT (
%[4]s
) FROM (SELECT ("envdb staged").*) AS %[5]s);
	END LOOP;
	PERFORM pg_catalog.set_config('envdb.failing_row', '', true);
EXCEPTION WHEN OTHERS THEN
	PERFORM pg_catalog.set_config('envdb.failing_row', "envdb row"::text, true);
END $envdb$`

// expressionError says which expression failed for which row, and nothing of
// what is in the row.
func (d *loader) expressionError(ctx context.Context, s *session, p portion, cause error) error {
	t := p.table
	if !errors.As(cause, new(*pgconn.PgError)) {
		return stepError("mask "+t.title(), cause)
	}
	for _, c := range d.masks.of(t).Expressions() {
		sql := fmt.Sprintf(failingRow, staging, postgres.QuoteName(t.Schema, t.Name), postgres.Quote(c.Name), c.Expression(), postgres.Quote(t.Name))
		if err := s.exec(ctx, "ROLLBACK TO SAVEPOINT masked; "+sql); err != nil {
			break // without plpgsql, say
		}
		row, err := queryValue(ctx, s.conn, "SELECT pg_catalog.current_setting('envdb.failing_row', true)")
		if err == nil && row != "" {
			return d.maskError(t, c, fmt.Sprintf("row %s of a piece of %d", row, rowsIn(p.refs)), cause)
		}
	}
	return d.maskError(t, d.columnAt(t, cause), "", cause)
}

// columnAt returns the column that the server names in an error, or nil.
func (d *loader) columnAt(t Table, cause error) *mask.Column {
	pgErr := new(pgconn.PgError)
	if !errors.As(cause, &pgErr) {
		return nil
	}
	name := pgErr.ColumnName
	if found := whereColumn.FindStringSubmatch(pgErr.Where); name == "" && found != nil {
		name = strings.Trim(found[2], `"`)
	}
	for _, c := range d.masks.of(t).Columns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// whereColumn is where COPY says that it stopped. What follows is the value.
var whereColumn = regexp.MustCompile(`^COPY [^,]+, line (\d+)(?:, column ([^:,]+))?`)

// copyError says which masked row the server did not take.
func (d *loader) copyError(t Table, cause error) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(cause, &pgErr) {
		return stepError("load "+t.title(), cause)
	}
	row := ""
	if found := whereColumn.FindStringSubmatch(pgErr.Where); found != nil {
		row = "row " + found[1]
	}
	return d.maskError(t, d.columnAt(t, cause), row, cause)
}

// maskError names table, column, rule and row of what could not be masked. An
// error of the server may quote a value, and then not even its message is
// shown whole.
func (d *loader) maskError(t Table, c *mask.Column, row string, cause error) error {
	what := "mask " + t.title()
	if c != nil {
		what += fmt.Sprintf(", column %s (rule %s, %s)", c.Name, c.Rule.Rule, c.Rule.At)
	}
	if row != "" {
		what += ", " + row
	}
	pgErr := new(pgconn.PgError)
	if !errors.As(cause, &pgErr) {
		return stepError(what, cause)
	}
	p := envdb.Fail(nil, "%s: %s (SQLSTATE %s)", what, withoutValues(pgErr), pgErr.Code)
	p.Err = cause
	next := "correct the rule, or the row at its source"
	if c == nil {
		next = "look at the rules of the table: " + d.masks.maskedColumns(t.Schema, t.Name)
	}
	return p.WithNext("%s", next)
}

// quoted is what stands in quotes in a message: a value, or a name.
var quotedText = regexp.MustCompile(`"[^"]*"`)

// withoutValues returns the message of an error without what may be of a row.
// An error of an expression (class 42) names what is in the expression, and a
// violated constraint itself; everything else may quote a value.
func withoutValues(e *pgconn.PgError) string {
	switch {
	case strings.HasPrefix(e.Code, "42"), strings.HasPrefix(e.Code, "23"):
		return e.Message
	case strings.HasPrefix(e.Code, "22"):
		return quotedText.ReplaceAllString(e.Message, "…")
	}
	return "the server refused it; its message is left out, because it may quote the row"
}
