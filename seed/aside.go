package seed

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// fewRows is up to how many rows a table keeps its indexes and foreign keys
// while it is filled: below, making them anew costs more than it saves.
const fewRows = 20_000

// aside are indexes and constraints that wait until a table is filled. Building
// an index over all rows is several times faster than adding to it row by row,
// and so is one look at a foreign key for all rows.
type aside struct {
	table *table
	drop  []string
	make  []string
}

// What may wait is what can be made again to the letter from what PostgreSQL
// says of it: foreign keys of the table, primary keys, unique constraints, and
// other indexes, unless they have something that the definition does not show,
// or something depends on them, as foreign keys of other tables do.
const asideSQL = `
SELECT 'ALTER TABLE ' || t.name || ' DROP CONSTRAINT ' || quote_ident(f.conname),
       'ALTER TABLE ' || t.name || ' ADD CONSTRAINT ' || quote_ident(f.conname) || ' ' || pg_get_constraintdef(f.oid),
       CASE WHEN d.description IS NOT NULL THEN 'COMMENT ON CONSTRAINT ' || quote_ident(f.conname) || ' ON ' || t.name || ' IS ' || quote_literal(d.description) END
FROM (SELECT $1::oid AS oid, $2::text AS name) AS t
JOIN pg_constraint f ON f.conrelid = t.oid AND f.contype = 'f' AND f.convalidated AND f.conparentid = 0
LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = f.oid AND d.objsubid = 0
WHERE pg_has_role((SELECT relowner FROM pg_class WHERE oid = f.confrelid), 'USAGE')
UNION ALL
SELECT 'ALTER TABLE ' || t.name || ' DROP CONSTRAINT ' || quote_ident(k.conname),
       'ALTER TABLE ' || t.name || ' ADD CONSTRAINT ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid),
       CASE WHEN d.description IS NOT NULL THEN 'COMMENT ON CONSTRAINT ' || quote_ident(k.conname) || ' ON ' || t.name || ' IS ' || quote_literal(d.description) END
FROM (SELECT $1::oid AS oid, $2::text AS name) AS t
JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('p', 'u') AND k.conparentid = 0
JOIN pg_index i ON i.indexrelid = k.conindid JOIN pg_class x ON x.oid = k.conindid
LEFT JOIN pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = k.oid AND d.objsubid = 0
WHERE i.indisvalid AND NOT i.indisclustered AND NOT i.indisreplident
  AND x.reltablespace = 0 AND x.reloptions IS NULL AND obj_description(x.oid, 'pg_class') IS NULL
  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.refclassid = 'pg_constraint'::regclass AND p.refobjid = k.oid AND p.objid <> x.oid)
  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = x.oid AND p.deptype IN ('x', 'e', 'P', 'S'))
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0)
UNION ALL
SELECT 'DROP INDEX ' || quote_ident(n.nspname) || '.' || quote_ident(x.relname), pg_get_indexdef(x.oid),
       CASE WHEN d.description IS NOT NULL
            THEN 'COMMENT ON INDEX ' || quote_ident(n.nspname) || '.' || quote_ident(x.relname) || ' IS ' || quote_literal(d.description) END
FROM (SELECT $1::oid AS oid) AS t
JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace
LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = x.oid AND d.objsubid = 0
WHERE NOT i.indisprimary AND NOT i.indisexclusion AND i.indisvalid AND NOT i.indisclustered AND NOT i.indisreplident
  AND x.relkind = 'i' AND x.reltablespace = 0 AND NOT x.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = x.oid)
  AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.objid = x.oid AND p.deptype IN ('x', 'e', 'i', 'P', 'S'))
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0)`

// setAside takes indexes and keys off a table that is about to get many
// rows. It is all in the load's transaction: a failure brings them back.
func (l *loader) setAside(ctx context.Context, u *unit, rows int64) (*aside, error) {
	a := &aside{table: u.table}
	t := u.table
	// A table whose constraints still wait to be checked cannot be altered.
	if rows <= fewRows || rows < u.rows || !t.owned || t.partitioned || l.waiting {
		return a, nil
	}
	var related bool
	if err := l.conn.QueryRow(ctx, "SELECT relispartition OR relhassubclass FROM pg_class WHERE oid = $1", t.oid).Scan(&related); err != nil || related {
		return a, err
	}
	found, err := l.conn.Query(ctx, asideSQL, t.oid, t.sql())
	if err != nil {
		return a, fmt.Errorf("read the indexes of %s: %w", t, err)
	}
	_, err = pgx.CollectRows(found, func(row pgx.CollectableRow) (struct{}, error) {
		var drop, create string
		var comment *string
		err := row.Scan(&drop, &create, &comment)
		a.drop = append(a.drop, drop)
		a.make = append(a.make, create)
		if comment != nil {
			a.make = append(a.make, *comment)
		}
		return struct{}{}, err
	})
	if err != nil {
		return a, fmt.Errorf("read the indexes of %s: %w", t, err)
	}
	for _, drop := range a.drop {
		if err := l.exec(ctx, drop); err != nil {
			return a, fmt.Errorf("set the indexes of %s aside: %w", t, err)
		}
	}
	return a, nil
}

// putBack makes what was set aside again.
func (l *loader) putBack(ctx context.Context, a *aside, b *block) error {
	for _, again := range a.make {
		if err := l.exec(ctx, again); err != nil {
			return l.blockFault(err, a.table, b)
		}
	}
	return nil
}
