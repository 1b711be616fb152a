package seed

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pressly/goose/v3"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
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
		err = scriptFault(it, text, text, l.exec(ctx, text))
	}
	if err != nil {
		return err
	}
	return scriptFault(it, text, text, l.exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"))
}

// gooseScript has goose run the Up part of a file.
func (l *loader) gooseScript(ctx context.Context, it *item, text string) error {
	inside := &insideSession{conn: l.conn}
	db := sql.OpenDB(inside)
	db.SetMaxOpenConns(1)
	defer db.Close() // it closes nothing: the session is the load's
	// Goose takes the version, which nobody asks for, from the name.
	provider, err := newProvider(db, oneFile{name: "1_script.sql", text: text}, goose.WithDisableVersioning(true))
	if err == nil {
		_, err = provider.Up(ctx)
	}
	return scriptFault(it, text, inside.last, err)
}

// scriptFault names the file and the line of the statement that failed.
func scriptFault(it *item, text, statement string, err error) error {
	if err == nil {
		return nil
	}
	at := fixture.Position{File: it.source.Name}
	pgErr := new(pgconn.PgError)
	if errors.As(err, &pgErr) {
		if pgErr.Position > 0 || statement != text {
			at.Line = statementLine(text, statement, err)
		}
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
	conn *pgx.Conn
	last string // the statement that ran last
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
	_, err := s.conn.PgConn().Exec(ctx, query).ReadAll()
	return driver.ResultNoRows, err
}

// within is the transaction that the session is in anyway.
type within struct{}

// Commit implements driver.Tx.
func (within) Commit() error { return nil }

// Rollback implements driver.Tx.
func (within) Rollback() error { return nil }
