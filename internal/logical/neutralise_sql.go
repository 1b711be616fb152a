package logical

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// planNeutralise adds the step that neutralises the rows once they are all
// there, and returns what the rest of the schema has to wait for: the user's
// SQL runs without triggers and constraints, and before statistics and
// materialised views see what it removes.
func (d *loader) planNeutralise(g *graph, rows []*step) []*step {
	if d.Neutralise == nil {
		return nil
	}
	s := &step{name: "neutralise", run: d.neutraliseRows}
	s.after(rows...)
	g.steps = append(g.steps, s)
	g.neutralise = s
	if !d.neutralisesFirst() {
		return nil
	}
	return []*step{s}
}

// neutralisesFirst reports whether the rest of the schema waits until all rows
// are there and the user's files were run on them.
func (d *loader) neutralisesFirst() bool {
	return d.Neutralise != nil && len(d.Neutralise.SQLFiles) > 0
}

// neutraliseRows makes rows harmless: jobs first, then the user's files.
func (d *loader) neutraliseRows(ctx context.Context, s *session) error {
	if err := d.stopJobs(ctx, s); err != nil {
		return err
	}
	for _, f := range d.Neutralise.SQLFiles {
		if err := d.runFile(ctx, s, f); err != nil {
			return err
		}
		d.record.ran(f.Name)
		d.record.didNeutralise(fmt.Sprintf("%s was run", f.Name))
	}
	return nil
}

// jobsExist asks whether there is pg_cron's table of jobs.
const jobsExist = `SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute
	WHERE attrelid = pg_catalog.to_regclass('cron.job') AND attname = 'active' AND NOT attisdropped)`

// stopJobs makes the jobs of pg_cron inactive, if they were copied.
func (d *loader) stopJobs(ctx context.Context, s *session) error {
	var exists bool
	if err := s.conn.QueryRow(ctx, jobsExist).Scan(&exists); err != nil {
		return stepError("look for jobs of pg_cron", err)
	}
	if !exists {
		return nil
	}
	tag, err := s.conn.Exec(ctx, `UPDATE cron.job SET active = false WHERE active`)
	if err != nil {
		return stepError("stop the jobs of pg_cron", err)
	}
	d.record.didNeutralise(fmt.Sprintf("%d jobs of pg_cron were made inactive", tag.RowsAffected()))
	return nil
}

// runFile runs a file in one transaction, under the search path that sessions
// of the source's database had.
func (d *loader) runFile(ctx context.Context, s *session, f SQLFile) error {
	if err := refuseTransactions(f); err != nil {
		return err
	}
	if err := s.exec(ctx, "BEGIN; SET LOCAL search_path = "+d.searchPath()+"; SET LOCAL check_function_bodies = on"); err != nil {
		return stepError("neutralise with "+f.Name, err)
	}
	stays, err := postgres.StaysInside(ctx, s.conn, func() error {
		if err := s.exec(ctx, f.SQL); err != nil {
			return fileError(f, err)
		}
		return nil
	})
	if err != nil {
		return stepError("neutralise with "+f.Name, err)
	}
	if !stays {
		return envdb.Fail(envdb.ErrMisuse, "%s ended the transaction that it was run in", f.Name).
			WithNext("remove what begins or ends a transaction from %s", f.Name)
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return fileError(f, err)
	}
	return nil
}

// refuseTransactions fails for a file that controls transactions itself.
func refuseTransactions(f SQLFile) error {
	st, found := statement.Transaction(f.SQL)
	if !found {
		return nil
	}
	line, column := statement.Place(f.SQL, st.Offset)
	return envdb.Fail(envdb.ErrMisuse, "%s:%d:%d: %s: the file is run in one transaction, which it may not end or begin", f.Name, line, column, st.Words[0]).
		WithNext("remove the statement from %s", f.Name)
}

// fileError says where in a file a statement failed.
func fileError(f SQLFile, err error) error {
	pgErr := new(pgconn.PgError)
	if !errors.As(err, &pgErr) {
		return stepError("neutralise with "+f.Name, err)
	}
	where := f.Name
	if pgErr.Position > 0 {
		line, column := position(f.SQL, int(pgErr.Position))
		where = fmt.Sprintf("%s:%d:%d", f.Name, line, column)
	}
	next := "correct " + f.Name + " and run this again"
	if pgErr.Code == codeSyntaxError && strings.Contains(f.SQL, "\\") {
		next += "; the commands of psql, which begin with a backslash, do not work here"
	}
	p := envdb.Fail(nil, "neutralise: %s: %s (SQLSTATE %s)", where, pgErr.Message, pgErr.Code).WithNext("%s", next)
	p.Err = err
	return p
}

const codeSyntaxError = "42601"

// position returns the line and column of the nth character of a text.
func position(text string, nth int) (line, column int) {
	line, column = 1, 1
	for _, r := range text {
		if nth--; nth <= 0 {
			break
		}
		if column++; r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}
