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

// content is what two equal databases have in common: per table its rows, and
// per index and constraint its definition.
type content string

// read returns the content of a database. Reading it also brings it into the
// caches of server and kernel.
func read(ctx context.Context, to envdb.ConnString) (content, error) {
	tables, err := queryText(ctx, to, `SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		return "", err
	}
	var all []string
	for _, table := range tables {
		// The sum of the first column's hashes tells apart what has as many rows.
		rows, err := queryText(ctx, to, fmt.Sprintf("SELECT format('%%s rows, %%s', count(*), sum(length(t::text)::bigint)) FROM %s t", table))
		if err != nil {
			return "", err
		}
		all = append(all, table+": "+rows[0])
	}
	definitions, err := queryText(ctx, to, `SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
			WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND indisvalid
		UNION ALL SELECT pg_get_constraintdef(oid) || ' of ' || conrelid::regclass FROM pg_constraint WHERE conrelid <> 0 AND convalidated AND connamespace <> 'information_schema'::regnamespace
		UNION ALL SELECT 'statistics of ' || tablename FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema') GROUP BY tablename
		ORDER BY 1`)
	return content(strings.Join(append(all, definitions...), "\n")), err
}

// same fails unless the database has the content wanted.
func same(ctx context.Context, to envdb.ConnString, want content) error {
	got, err := read(ctx, to)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("the copy is not what its source is\n--- source\n%s\n--- copy\n%s", want, got)
	}
	return nil
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
