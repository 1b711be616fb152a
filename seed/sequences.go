package seed

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// sequence is a sequence that a column owns, serial or identity.
type sequence struct {
	sql       string // its name
	table     uint32
	column    string
	increment int64
	least     int64
	most      int64
}

const sequencesSQL = `
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), d.refobjid, a.attname, s.seqincrement, s.seqmin, s.seqmax
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
     AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjsubid > 0
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'UPDATE') END
ORDER BY 1`

// setSequences brings every sequence that a column owns up to the column's
// largest value. A sequence that is already further stays where it is.
func (l *loader) setSequences(ctx context.Context) error {
	rows, err := l.conn.Query(ctx, sequencesSQL)
	if err != nil {
		return fmt.Errorf("list the sequences: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s sequence, err error) {
		err = row.Scan(&s.sql, &s.table, &s.column, &s.increment, &s.least, &s.most)
		return s, err
	})
	if err != nil {
		return fmt.Errorf("list the sequences: %w", err)
	}
	for _, s := range list {
		if err := l.setSequence(ctx, s); err != nil {
			return fmt.Errorf("set the sequence %s: %w", s.sql, err)
		}
	}
	return nil
}

func (l *loader) setSequence(ctx context.Context, s sequence) error {
	t := l.cat.byOID[s.table]
	if t == nil {
		return nil // of a table that is no longer ordinary
	}
	// A sequence that counts down is brought down to the smallest value.
	furthest, beyond := "max", ">="
	if s.increment < 0 {
		furthest, beyond = "min", "<="
	}
	sql := fmt.Sprintf(`SELECT pg_catalog.setval(%s::regclass, m.v, true)
		FROM (SELECT %s(%s)::bigint AS v FROM %s) AS m, %s AS q
		WHERE m.v BETWEEN %d AND %d AND (m.v %s q.last_value)`,
		literal(s.sql), furthest, quote(s.column), t.sql(), s.sql, s.least, s.most, beyond)
	return l.exec(ctx, sql)
}
