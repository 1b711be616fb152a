package logical

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/postgres"
)

// foreignKeysQuery lists the foreign keys that were declared, not those that
// partitions have of their root. Columns are paired, with the operator that the
// constraint compares them by.
const foreignKeysQuery = `
SELECT c.conname::text, cn.nspname::text, cr.relname::text, cr.relkind = 'p', fn.nspname::text, fr.relname::text, fr.relkind = 'p', c.confmatchtype = 'f', c.convalidated,
       array_agg(ca.attname::text ORDER BY k.i), array_agg(fa.attname::text ORDER BY k.i),
       array_agg(pg_catalog.quote_ident(opn.nspname) || '.' || o.oprname ORDER BY k.i)
  FROM pg_catalog.pg_constraint c
  JOIN pg_catalog.pg_class cr ON cr.oid = c.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = cr.relnamespace
  JOIN pg_catalog.pg_class fr ON fr.oid = c.confrelid JOIN pg_catalog.pg_namespace fn ON fn.oid = fr.relnamespace
  CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey), pg_catalog.unnest(c.conpfeqop)) WITH ORDINALITY AS k(a, f, op, i)
  JOIN pg_catalog.pg_attribute ca ON ca.attrelid = c.conrelid AND ca.attnum = k.a
  JOIN pg_catalog.pg_attribute fa ON fa.attrelid = c.confrelid AND fa.attnum = k.f
  JOIN pg_catalog.pg_operator o ON o.oid = k.op JOIN pg_catalog.pg_namespace opn ON opn.oid = o.oprnamespace
 WHERE c.contype = 'f' AND c.conparentid = 0
 GROUP BY c.oid, c.conname, cn.nspname, cr.relname, cr.relkind, fn.nspname, fr.relname, fr.relkind, c.confmatchtype, c.convalidated
 ORDER BY cn.nspname, cr.relname, c.conname`

// foreignKey is a foreign key as the catalogs have it.
type foreignKey struct {
	Constraint                string
	Schema, Table             string
	Partitioned               bool
	OtherSchema, OtherTable   string
	OtherPartitioned          bool
	Full                      bool // MATCH FULL
	Validated                 bool
	Columns, Others, Equality []string
}

// orphans returns the query that finds one row that refers to nothing, or, with
// MATCH FULL, is NULL in part. It is what PostgreSQL itself asks when it
// validates the constraint (ri_triggers.c, RI_Initial_Check).
func (f foreignKey) orphans() string {
	from := func(schema, table string, partitioned bool) string {
		if partitioned {
			return postgres.QuoteName(schema, table)
		}
		return "ONLY " + postgres.QuoteName(schema, table)
	}
	var matches, given, null []string
	for i, c := range f.Columns {
		matches = append(matches, fmt.Sprintf("p.%s OPERATOR(%s) c.%s", postgres.Quote(f.Others[i]), f.Equality[i], postgres.Quote(c)))
		given = append(given, "c."+postgres.Quote(c)+" IS NOT NULL")
		null = append(null, "c."+postgres.Quote(c)+" IS NULL")
	}
	wrong := fmt.Sprintf("%s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)", strings.Join(given, " AND "), from(f.OtherSchema, f.OtherTable, f.OtherPartitioned), strings.Join(matches, " AND "))
	if f.Full {
		wrong = fmt.Sprintf("(%s) OR (%s) AND NOT (%s)", wrong, strings.Join(null, " OR "), strings.Join(null, " AND "))
	}
	return fmt.Sprintf("SELECT EXISTS (SELECT FROM %s AS c WHERE %s)", from(f.Schema, f.Table, f.Partitioned), wrong)
}

// CheckForeignKeys asks of every validated foreign key whether it holds, by
// looking at the rows, jobs of them at once. The second result is how many were
// looked at.
func CheckForeignKeys(ctx context.Context, conn *pgx.Conn, cat *Catalogue, jobs int) (CheckResult, int, error) {
	c := &checker{conn: conn, cat: cat, expect: Expect{Jobs: jobs, Loaded: &Loaded{}}}
	keys, err := query[foreignKey](ctx, conn, foreignKeysQuery)
	if err != nil {
		return CheckResult{}, 0, stepError("list the foreign keys", err)
	}
	result := CheckResult{Outcome: Passed}
	var looked int
	var todo []foreignKey
	for _, k := range keys {
		if k.Validated {
			todo = append(todo, k)
		}
	}
	type finding struct {
		broken  bool
		refused string
	}
	found := make([]finding, len(todo))
	err = c.parallel(ctx, len(todo), func(ctx context.Context, conn *pgx.Conn, i int) error {
		err := conn.QueryRow(ctx, todo[i].orphans()).Scan(&found[i].broken)
		if hasCode(err, codeInsufficient) {
			found[i].refused = "the role may not read both tables"
			return nil
		}
		if err != nil {
			return stepError("look at the foreign key "+todo[i].Constraint, err)
		}
		return nil
	})
	if err != nil {
		return result, 0, err
	}
	var refused int
	for i, k := range todo {
		switch {
		case found[i].refused != "":
			refused++
		case found[i].broken:
			result.sort(Difference{Kind: Different, Class: "foreign key", Identity: k.Constraint + " on " + postgres.QuoteName(k.Schema, k.Table), Detail: "a row refers to nothing in " + postgres.QuoteName(k.OtherSchema, k.OtherTable)})
			looked++
		default:
			looked++
		}
	}
	switch {
	case len(result.Differences) > 0:
		result.Outcome = Failed
	case refused > 0:
		result.Outcome, result.Reason = Skipped, fmt.Sprintf("of %d foreign keys the role may not read both tables", refused)
	}
	return result, looked, nil
}

// ownedSequencesQuery lists the sequences that columns own, with their columns.
const ownedSequencesQuery = `
SELECT sn.nspname::text, s.relname::text, tn.nspname::text, t.relname::text, a.attname::text, q.seqincrement > 0
  FROM pg_catalog.pg_class s
  JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = s.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
  JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
  JOIN pg_catalog.pg_type y ON y.oid = a.atttypid AND y.typname IN ('int2', 'int4', 'int8')
  JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
 WHERE s.relkind = 'S' ORDER BY 1, 2`

type sequenceOfColumn struct {
	Schema, Name, TableSchema, Table, Column string
	Ascends                                  bool
}

// CheckSequences asks of every sequence that a column owns whether it is past
// the column's greatest value (its smallest, for one that counts down). One that
// is behind in the source as well, as the sequences of the catalogue say, is
// only explained: the backup is of what was.
func CheckSequences(ctx context.Context, conn *pgx.Conn, cat *Catalogue) (CheckResult, int, error) {
	result := CheckResult{Outcome: Passed}
	owned, err := query[sequenceOfColumn](ctx, conn, ownedSequencesQuery)
	if err != nil {
		return result, 0, stepError("list the sequences", err)
	}
	var refused, looked int
	for _, q := range owned {
		extreme, order := "max", "<"
		if !q.Ascends {
			extreme, order = "min", ">"
		}
		var behind bool
		var last, value *int64
		err := conn.QueryRow(ctx, fmt.Sprintf("SELECT coalesce(s.last_value %s v.value, false), s.last_value, v.value FROM %s AS s, (SELECT pg_catalog.%s(%s)::bigint AS value FROM %s) AS v",
			order, postgres.QuoteName(q.Schema, q.Name), extreme, postgres.Quote(q.Column), postgres.QuoteName(q.TableSchema, q.Table))).Scan(&behind, &last, &value)
		if hasCode(err, codeInsufficient) {
			refused++
			continue
		}
		if err != nil {
			return result, looked, stepError("look at the sequence "+q.Name, err)
		}
		looked++
		if !behind {
			continue
		}
		d := Difference{Kind: Different, Class: "sequence", Identity: postgres.QuoteName(q.Schema, q.Name),
			Detail: fmt.Sprintf("at %d, and %s holds %d", *last, postgres.QuoteName(q.TableSchema, q.Table)+"."+postgres.Quote(q.Column), *value)}
		for _, was := range cat.Sequences {
			if was.Schema == q.Schema && was.Name == q.Name && was.LastValue == *last {
				d.Why = "it was behind in the source as well"
			}
		}
		result.sort(d)
	}
	switch {
	case len(result.Differences) > 0:
		result.Outcome = Failed
	case refused > 0:
		result.Outcome, result.Reason = Skipped, fmt.Sprintf("the role may not read %d of the sequences or their tables", refused)
	}
	return result, looked, nil
}
