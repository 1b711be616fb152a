package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/envdb/envdb"
)

// content is what two equal databases have in common: the rows of each table
// in number, and in number and length, and the definitions of indexes and
// constraints. What goose keeps for itself is none of it.
type content struct{ counts, lengths, definitions string }

// How a table is measured. The length of every row takes as long as a restore.
const (
	byCount  = "format('%s rows', count(*))"
	byLength = "format('%s rows, %s characters', count(*), sum(length(t::text)::bigint))"
)

// readContent returns the content of a database. Reading it also brings it into
// the caches of server and kernel.
func readContent(ctx context.Context, of envdb.ConnString) (c content, err error) {
	if c.lengths, err = readTables(ctx, of, byLength); err != nil {
		return c, err
	}
	if c.counts, err = readTables(ctx, of, byCount); err != nil {
		return c, err
	}
	c.definitions, err = readDefinitions(ctx, of)
	return c, err
}

// readTables measures every table.
func readTables(ctx context.Context, of envdb.ConnString, how string) (string, error) {
	tables, err := queryText(ctx, of, `SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
		WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema') AND relname <> 'goose_db_version' ORDER BY 1`)
	if err != nil {
		return "", err
	}
	var all []string
	for _, table := range tables {
		found, err := queryText(ctx, of, "SELECT "+how+" FROM "+table+" t")
		if err != nil {
			return "", err
		}
		all = append(all, table+": "+found[0])
	}
	return strings.Join(all, "\n"), nil
}

// readDefinitions lists indexes, constraints, and the tables that have
// statistics.
func readDefinitions(ctx context.Context, of envdb.ConnString) (string, error) {
	list, err := queryText(ctx, of, `SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
			WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND indisvalid AND c.relname <> 'goose_db_version'
		UNION ALL SELECT pg_get_constraintdef(oid) || ' of ' || conrelid::regclass FROM pg_constraint WHERE conrelid <> 0 AND convalidated AND connamespace <> 'information_schema'::regnamespace
			AND conrelid IS DISTINCT FROM to_regclass('goose_db_version')
		UNION ALL SELECT 'statistics of ' || tablename FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'goose_db_version' GROUP BY tablename
		ORDER BY 1`)
	return strings.Join(list, "\n"), err
}

// check compares copies with their source: the first with all that is known,
// those after it with the number of rows.
type check struct {
	want content
	done bool
}

// same fails unless the database has the content wanted.
func (c *check) same(ctx context.Context, copied envdb.ConnString) error {
	how, rows := byLength, c.want.lengths
	if c.done {
		how, rows = byCount, c.want.counts
	}
	got, err := readTables(ctx, copied, how)
	if err != nil {
		return err
	}
	if got != rows {
		return differs(rows, got)
	}
	got, err = readDefinitions(ctx, copied)
	if err == nil && got != c.want.definitions {
		err = differs(c.want.definitions, got)
	}
	c.done = err == nil
	return err
}

func differs(want, got string) error {
	return fmt.Errorf("the copy is not what its source is\n--- source\n%s\n--- copy\n%s", want, got)
}
