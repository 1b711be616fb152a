package seed

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
	"github.com/envdb/envdb/seed/statement"
)

// annotated finds the comments by which goose cuts a file into statements.
var annotated = regexp.MustCompile(`(?mi)^--\s*\+goose\s+up`)

// script runs an SQL file in the session and transaction of the load: through
// goose, without its table of versions, if it has goose's annotations, else as
// it is.
func (l *loader) script(ctx context.Context, it *item) error {
	text, err := it.source.Text()
	if err != nil {
		return err
	}
	if raw, err := hashOf(it.source); err != nil || raw != it.hash {
		return fixture.Position{File: it.source.Name}.Fail("was changed while it was read").WithNext("run this again")
	}
	l.report.Send(envdb.Progress{Step: "run " + it.source.Name})
	// A script may rely on a deferrable constraint to wait.
	if err := l.exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return fmt.Errorf("defer the constraints: %w", err)
	}
	if annotated.MatchString(text) {
		err = l.gooseScript(ctx, it, text)
	} else {
		err = l.plainScript(ctx, it, text)
	}
	if err != nil {
		return err
	}
	if err := l.stillInside(ctx, it); err != nil {
		return err
	}
	return scriptFault(it, 0, l.exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"))
}

// plainScript sends a file as it is.
func (l *loader) plainScript(ctx context.Context, it *item, text string) error {
	if err := refuseTransaction(it, text, text); err != nil {
		return err
	}
	results, err := l.conn.PgConn().Exec(ctx, text).ReadAll()
	line := statementLine(text, text, err)
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) && pgErr.Position == 0 {
		line = lineOfStatement(text, len(results))
	}
	return scriptFault(it, line, err)
}

// lineOfStatement is the line at which the nth statement of a text begins, from
// 0; 0 if there are not so many.
func lineOfStatement(text string, n int) int {
	statements := statement.Split(text)
	if n >= len(statements) {
		return 0
	}
	line, _ := statement.Place(text, statements[n].Offset)
	return line
}

// gooseScript has goose run the Up part of a file.
func (l *loader) gooseScript(ctx context.Context, it *item, text string) error {
	inside := &insideSession{conn: l.conn, refuse: func(sql string) error { return refuseTransaction(it, text, sql) }}
	db := sql.OpenDB(inside)
	db.SetMaxOpenConns(1)
	defer db.Close() // it closes nothing: the session is the load's
	// Goose takes the version, which nobody asks for, from the name.
	provider, err := newProvider(db, oneFile{name: "1_script.sql", text: text}, goose.WithDisableVersioning(true))
	if err == nil {
		_, err = provider.Up(ctx)
	}
	return scriptFault(it, statementLine(text, inside.last, err), err)
}

// refuseTransaction fails if some SQL of a file would begin or end a
// transaction: the load is in one, which the rows before the script share.
func refuseTransaction(it *item, text, sql string) error {
	s, found := statement.Transaction(sql)
	if !found {
		return nil
	}
	at := fixture.Position{File: it.source.Name}
	if begin := strings.Index(text, sql); begin >= 0 {
		at.Line, _ = statement.Place(text, begin+s.Offset)
	}
	return at.Fail("%s: a script runs in the transaction of the load, which it may not end or begin", s.Words[0]).
		WithNext("remove the statement")
}

// stillInside fails if the transaction of the load is not the one that it began
// in: somehow the script ended it, and what was loaded before was lost or kept
// without the rest.
func (l *loader) stillInside(ctx context.Context, it *item) error {
	now, err := l.transaction(ctx)
	if err != nil {
		return fmt.Errorf("read the transaction's id: %w", err)
	}
	if now == l.inside {
		return nil
	}
	return fixture.Position{File: it.source.Name}.Fail("the script ended the transaction of the load").
		WithState("what was loaded before it is lost, or was kept without the rest").
		WithNext("remove what begins or ends a transaction from the script")
}

// transaction returns the id of the session's transaction.
func (l *loader) transaction(ctx context.Context) (id string, err error) {
	err = l.conn.QueryRow(ctx, "SELECT pg_catalog.pg_current_xact_id()::text", pgx.QueryExecModeExec).Scan(&id)
	return id, err
}

// scriptFault names the file and the line of the statement that failed.
func scriptFault(it *item, line int, err error) error {
	if p := new(envdb.Problem); err == nil || errors.As(err, &p) {
		return err
	}
	at := fixture.Position{File: it.source.Name}
	if pgErr := new(pgconn.PgError); errors.As(err, &pgErr) {
		at.Line = line
		return wrapped(at.Fail("%s", sentence(pgErr)), err).WithNext("correct the script")
	}
	if cause := errors.Unwrap(err); cause != nil {
		return at.Fail("%w", cause).WithNext("correct the script")
	}
	return at.Fail("%w", err).WithNext("correct the script")
}

// insideSession is a database/sql driver over a session that is already there,
// in a transaction that somebody else ends. It does what goose needs: plain
// statements.
type insideSession struct {
	conn   *pgx.Conn
	refuse func(sql string) error
	last   string // the statement that ran last
}

// Connect implements driver.Connector.
func (s *insideSession) Connect(context.Context) (driver.Conn, error) { return s, nil }

// Driver implements driver.Connector.
func (s *insideSession) Driver() driver.Driver { return nil }

// Prepare implements driver.Conn.
func (s *insideSession) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("a script prepares no statements")
}

// Begin implements driver.Conn.
func (s *insideSession) Begin() (driver.Tx, error) { return within{}, nil }

// Close implements driver.Conn. The session goes on.
func (s *insideSession) Close() error { return nil }

// ExecContext implements driver.ExecerContext.
func (s *insideSession) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) > 0 {
		return nil, fmt.Errorf("a statement with %d arguments", len(args))
	}
	s.last = query
	if err := s.refuse(query); err != nil {
		return nil, err
	}
	_, err := s.conn.PgConn().Exec(ctx, query).ReadAll()
	return driver.ResultNoRows, err
}

// within is the transaction that the session is in anyway.
type within struct{}

// Commit implements driver.Tx.
func (within) Commit() error { return nil }

// Rollback implements driver.Tx.
func (within) Rollback() error { return nil }
