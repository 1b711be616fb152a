package seed

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/envdb/envdb/seed/fixture"
)

// refuseGo fails for a migration in Go: it would have to be built into this
// program.
func refuseGo(fsys fs.FS, name string) error {
	files, err := fs.Glob(fsys, "*.go")
	if err != nil {
		return err
	}
	for _, file := range files {
		if _, err := goose.NumericComponent(file); err != nil || strings.HasSuffix(file, "_test.go") {
			continue // no migration, for goose either
		}
		return unchanged(fixture.Position{File: path.Join(name, file)}.Fail("is a migration in Go, and envdb runs those in SQL").
			WithNext("let your own program run them: migrations: {command: …}; or write it in SQL"))
	}
	return nil
}

// checkMigrations has goose read files before anything is done with a
// database: it reads each one only when it is about to run it.
func checkMigrations(fsys fs.FS, name string, files []Migration) error {
	for _, m := range files {
		at := fixture.Position{File: path.Join(name, m.Path)}
		text, err := fs.ReadFile(fsys, m.Path)
		if err != nil {
			return unchanged(at.Fail("%w", err))
		}
		if err := checkMigration(at, m.Path, string(text)); err != nil {
			return unchanged(err)
		}
	}
	return nil
}

func checkMigration(at fixture.Position, file, text string) error {
	if !annotated.MatchString(text) {
		return at.Fail("has no annotation: nothing says which statements bring the schema up").
			WithNext("write `-- +goose Up` in a line of its own above them, and `-- +goose Down` above those that take them back")
	}
	if at.Line = unfinished(text); at.Line > 0 {
		return at.Fail("the `-- +goose StatementBegin` here has no `-- +goose StatementEnd`").WithNext("write it behind the statement")
	}
	db := sql.OpenDB(unsent{})
	defer db.Close() // there is nothing behind it
	provider, err := newProvider(db, oneFile{name: file, text: text}, goose.WithDisableVersioning(true))
	if err == nil {
		_, err = provider.Up(context.Background())
	}
	if err == nil {
		return nil
	}
	return at.Fail("goose cannot read it: %w", innermost(err)).
		WithNext("correct the file; https://github.com/pressly/goose#sql-migrations says how annotations are written")
}

// bracket finds the annotations around a statement that has semicolons inside.
var bracket = regexp.MustCompile(`(?i)^--\s*\+goose\s+statement(begin|end)\s*$`)

// unfinished returns the line of an annotation StatementBegin that nothing
// ends, or 0.
func unfinished(text string) (begun int) {
	line := 0
	for l := range strings.Lines(text) {
		line++
		found := bracket.FindStringSubmatch(strings.TrimRight(l, "\r\n"))
		switch {
		case found == nil:
		case strings.EqualFold(found[1], "end"):
			begun = 0
		case begun == 0:
			begun = line
		}
	}
	return begun
}

// innermost returns the error at the end of a chain: what goose found, without
// what it was doing.
func innermost(err error) error {
	for {
		cause := errors.Unwrap(err)
		if cause == nil {
			return err
		}
		err = cause
	}
}

// unsent is a database/sql driver that sends nothing anywhere, for goose to
// think that it runs what it reads.
type unsent struct{}

// Connect implements driver.Connector.
func (u unsent) Connect(context.Context) (driver.Conn, error) { return u, nil }

// Driver implements driver.Connector.
func (unsent) Driver() driver.Driver { return nil }

// Prepare implements driver.Conn.
func (unsent) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

// Begin implements driver.Conn.
func (unsent) Begin() (driver.Tx, error) { return within{}, nil }

// Close implements driver.Conn.
func (unsent) Close() error { return nil }

// ExecContext implements driver.ExecerContext.
func (unsent) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return driver.ResultNoRows, nil
}
