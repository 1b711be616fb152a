package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// execute runs statements one after the other, each in its own transaction.
func execute(ctx context.Context, to envdb.ConnString, statements ...string) error {
	conn, err := postgres.Connect(ctx, to, postgres.Options{App: "bench"})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range statements {
		if _, err := conn.PgConn().Exec(ctx, sql).ReadAll(); err != nil {
			return fmt.Errorf("%s: %w", firstLine(sql), err)
		}
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// queryText returns the rows of a query as text.
func queryText(ctx context.Context, to envdb.ConnString, sql string) ([]string, error) {
	conn, err := postgres.Connect(ctx, to, postgres.Options{App: "bench"})
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", firstLine(sql), err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", firstLine(sql), err)
	}
	return found, nil
}

// dropAll empties the target.
func (b *bench) dropAll(ctx context.Context) error {
	to := b.target.URL("postgres")
	names, err := queryText(ctx, to, "SELECT quote_ident(datname) FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := execute(ctx, to, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}
