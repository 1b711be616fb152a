package manager

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// userChecks runs the user's files in the new version: a row that any of their
// statements returns is a failure. They run in a transaction that only reads
// and is rolled back, under the search path that sessions have there. Correct
// says how to get at rows that were found: a version that is not live is dropped.
func (m *Manager) userChecks(ctx context.Context, x *execution, env config.Environment, scripts []config.Script, conn *pgx.Conn, path, correct string) error {
	for _, s := range scripts {
		rows, err := countRows(ctx, conn, path, s.SQL)
		if err != nil {
			return checkFailed(env, s.Path, err)
		}
		if rows > 0 {
			return envdb.Fail(envdb.ErrVerification, "the check %s found %s, and must find none", s.Path, counted(rows, "row")).
				WithState("%s was not changed", env.Name).WithNext("%s", correct)
		}
		x.log.Info("a check found nothing wrong", "file", s.Path)
	}
	return nil
}

// checkFailed says why a check could not be run: the file is wrong, unless the
// server went away or a person interrupted it.
func checkFailed(env config.Environment, path string, err error) error {
	explained := postgres.Explain(err, "run the check "+path)
	if errors.Is(explained, envdb.ErrUnreachable) || errors.Is(explained, envdb.ErrInterrupted) {
		return explained
	}
	p := envdb.Fail(envdb.ErrVerification, "the check %s: %w", path, err).
		WithState("%s was not changed", env.Name).WithNext("correct the file, and run this again")
	if postgres.SQLState(err) == codeReadOnly {
		p.Next = "take what writes out of the file: checks run in a transaction that only reads"
	}
	return p
}

// searchPath returns the search path of the source's database, as SET takes it.
func searchPath(catalogue *logical.Catalogue) string {
	for _, s := range catalogue.Database.Settings {
		if s.Role == "" && s.Name == "search_path" && s.Value != "" {
			return s.Value
		}
	}
	return `"$user", public`
}

// codeReadOnly is the server's read_only_sql_transaction.
const codeReadOnly = "25006"

// countRows runs statements and returns how many rows they give altogether.
func countRows(ctx context.Context, conn *pgx.Conn, path, sql string) (rows int, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, err
	}
	defer func() {
		if rollback := tx.Rollback(context.WithoutCancel(ctx)); !errors.Is(rollback, pgx.ErrTxClosed) {
			err = errors.Join(err, rollback)
		}
	}()
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+path); err != nil {
		return 0, err
	}
	stays, err := postgres.StaysInside(ctx, conn, func() (err error) {
		rows, err = rowsOf(ctx, conn, sql)
		return err
	})
	if err == nil && !stays {
		err = errors.New("it ended the transaction that it was run in")
	}
	return rows, err
}

// rowsOf counts the rows of all statements of a text.
func rowsOf(ctx context.Context, conn *pgx.Conn, sql string) (rows int, err error) {
	results := conn.PgConn().Exec(ctx, sql)
	for results.NextResult() {
		reader := results.ResultReader()
		for reader.NextRow() {
			rows++
		}
		if _, err := reader.Close(); err != nil {
			return rows, errors.Join(fmt.Errorf("run it: %w", err), results.Close())
		}
	}
	return rows, results.Close()
}
