package seed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/seed/fixture"
)

// catalogue is what the loader knows of the database's tables.
type catalogue struct {
	tables []*table
	byName map[[2]string]*table
	byOID  map[uint32]*table
	path   []string // the schemas in which a bare name is looked for
	// volatile are the functions outside of PostgreSQL's own that may give
	// another value each time.
	volatile map[string]bool
}

// table is a table that may get rows.
type table struct {
	oid          uint32
	schema, name string
	partitioned  bool
	owned        bool // by the session's role, or one that it is a member of
	columns      []*column
	keys         []key // primary key first
	foreign      []*foreignKey
}

// column is a column of a table; type and category are those of the base type,
// where the column's own is a domain.
type column struct {
	name      string
	number    int16
	typ       string // as format_type writes it
	base      string // name in pg_type
	category  string // typcategory; "A" is an array
	element   string // base type of an array's elements
	notNull   bool
	def       string // the default's expression
	identity  string // "a" for always, "d" for by default
	generated bool
	serial    bool // whether it owns a sequence
}

// key is a primary key or something else that is unique.
type key struct {
	name    string
	columns []string
	primary bool
}

// foreignKey is a constraint that refers to another table.
type foreignKey struct {
	name       string
	columns    []string
	parent     *table
	references []string
	deferrable bool
	validated  bool
	full       bool // MATCH FULL
}

// String names the table for people: without its schema where that is public.
func (t *table) String() string {
	if t.schema == "public" {
		return t.name
	}
	return t.schema + "." + t.name
}

// sql names the table as SQL.
func (t *table) sql() string { return quote(t.schema) + "." + quote(t.name) }

func (t *table) column(name string) *column {
	i := slices.IndexFunc(t.columns, func(c *column) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return t.columns[i]
}

func (t *table) columnNames() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// primary returns the columns of the primary key.
func (t *table) primary() []string {
	if len(t.keys) > 0 && t.keys[0].primary {
		return t.keys[0].columns
	}
	return nil
}

const tablesSQL = `
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', pg_catalog.pg_has_role(c.relowner, 'USAGE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY n.nspname, c.relname`

const columnsSQL = `
WITH RECURSIVE base AS (
    SELECT oid AS typ, oid, typtype, typbasetype, typcategory, typname, typelem FROM pg_catalog.pg_type
    UNION ALL
    SELECT b.typ, t.oid, t.typtype, t.typbasetype, t.typcategory, t.typname, t.typelem
    FROM base b JOIN pg_catalog.pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT a.attrelid, a.attname, a.attnum, pg_catalog.format_type(a.atttypid, a.atttypmod), b.typname, b.typcategory::text, coalesce(e.typname, ''),
       a.attnotnull OR d.typnotnull, coalesce(pg_catalog.pg_get_expr(x.adbin, x.adrelid), ''), a.attidentity::text, a.attgenerated <> '',
       EXISTS (SELECT FROM pg_catalog.pg_depend s JOIN pg_catalog.pg_class q ON q.oid = s.objid AND q.relkind = 'S'
               WHERE s.classid = 'pg_catalog.pg_class'::regclass AND s.refclassid = 'pg_catalog.pg_class'::regclass
                 AND s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.deptype IN ('a', 'i'))
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
JOIN base b ON b.typ = a.atttypid AND b.typtype <> 'd'
JOIN pg_catalog.pg_type d ON d.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
LEFT JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`

// Unique indexes over expressions have no columns to tell.
const keysSQL = `
SELECT i.indrelid, x.relname, i.indisprimary,
       ARRAY(SELECT a.attname FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(n, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.at <= i.indnkeyatts ORDER BY k.at)::text[]
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
WHERE i.indisunique AND i.indisvalid
ORDER BY i.indrelid, i.indisprimary DESC, x.relname`

// What PostgreSQL adds for each partition of a table that is referred to says
// nothing new, and is left out.
const foreignSQL = `
SELECT f.conrelid, f.conname, f.confrelid, f.condeferrable, f.convalidated, f.confmatchtype = 'f',
       ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY k(n, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.n ORDER BY k.at)::text[],
       ARRAY(SELECT a.attname FROM unnest(f.confkey) WITH ORDINALITY k(n, at)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.n ORDER BY k.at)::text[]
FROM pg_catalog.pg_constraint f
LEFT JOIN pg_catalog.pg_constraint p ON p.oid = f.conparentid
WHERE f.contype = 'f' AND (p.oid IS NULL OR p.confrelid = f.confrelid)
ORDER BY f.conrelid, f.conname`

const volatileSQL = `
SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.provolatile = 'v' AND p.prokind = 'f' AND n.nspname NOT IN ('pg_catalog', 'information_schema')`

// readCatalogue reads the tables of the database.
func readCatalogue(ctx context.Context, conn *pgx.Conn) (*catalogue, error) {
	cat := &catalogue{byName: map[[2]string]*table{}, byOID: map[uint32]*table{}, volatile: map[string]bool{}}
	for _, part := range []struct {
		sql  string
		scan func(pgx.CollectableRow) error
	}{
		{tablesSQL, cat.addTable},
		{columnsSQL, cat.addColumn},
		{keysSQL, cat.addKey},
		{foreignSQL, cat.addForeign},
		{"SELECT unnest(pg_catalog.current_schemas(false))::text", cat.addSchema},
		{volatileSQL, cat.addVolatile},
	} {
		rows, err := conn.Query(ctx, part.sql)
		if err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
		for rows.Next() {
			if err := part.scan(rows); err != nil {
				rows.Close()
				return nil, fmt.Errorf("read the catalogue: %w", err)
			}
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("read the catalogue: %w", err)
		}
	}
	if !slices.Contains(cat.path, "public") {
		cat.path = append(cat.path, "public")
	}
	return cat, nil
}

func (cat *catalogue) addTable(row pgx.CollectableRow) error {
	t := new(table)
	if err := row.Scan(&t.oid, &t.schema, &t.name, &t.partitioned, &t.owned); err != nil {
		return err
	}
	cat.tables = append(cat.tables, t)
	cat.byName[[2]string{t.schema, t.name}] = t
	cat.byOID[t.oid] = t
	return nil
}

func (cat *catalogue) addColumn(row pgx.CollectableRow) error {
	var of uint32
	c := new(column)
	err := row.Scan(&of, &c.name, &c.number, &c.typ, &c.base, &c.category, &c.element, &c.notNull, &c.def, &c.identity, &c.generated, &c.serial)
	if t := cat.byOID[of]; t != nil {
		t.columns = append(t.columns, c)
	}
	return err
}

func (cat *catalogue) addKey(row pgx.CollectableRow) error {
	var of uint32
	var k key
	err := row.Scan(&of, &k.name, &k.primary, &k.columns)
	if t := cat.byOID[of]; t != nil {
		t.keys = append(t.keys, k)
	}
	return err
}

func (cat *catalogue) addForeign(row pgx.CollectableRow) error {
	var of, to uint32
	f := new(foreignKey)
	err := row.Scan(&of, &f.name, &to, &f.deferrable, &f.validated, &f.full, &f.columns, &f.references)
	f.parent = cat.byOID[to]
	if t := cat.byOID[of]; t != nil && f.parent != nil {
		t.foreign = append(t.foreign, f)
	}
	return err
}

func (cat *catalogue) addSchema(row pgx.CollectableRow) error {
	var schema string
	err := row.Scan(&schema)
	cat.path = append(cat.path, schema)
	return err
}

func (cat *catalogue) addVolatile(row pgx.CollectableRow) error {
	var name string
	err := row.Scan(&name)
	cat.volatile[name] = true
	return err
}

// find returns the table that a name means, or nil: a table of the search path,
// else schema.table, else the only table of the name in any schema.
func (cat *catalogue) find(name string) *table {
	for _, schema := range cat.path {
		if t := cat.byName[[2]string{schema, name}]; t != nil {
			return t
		}
	}
	for i := range name {
		if name[i] == '.' {
			if t := cat.byName[[2]string{name[:i], name[i+1:]}]; t != nil {
				return t
			}
		}
	}
	if same := cat.named(name); len(same) == 1 {
		return same[0]
	}
	return nil
}

// named returns the tables of a name in all schemas.
func (cat *catalogue) named(name string) []*table {
	var same []*table
	for _, t := range cat.tables {
		if t.name == name {
			same = append(same, t)
		}
	}
	return same
}

// table returns the table that a name in a file means.
func (cat *catalogue) table(name string, at fixture.Position) (*table, error) {
	if t := cat.find(name); t != nil {
		return t, nil
	}
	if same := cat.named(name); len(same) > 1 {
		var names []string
		for _, t := range same {
			names = append(names, t.String())
		}
		return nil, at.Fail("the table %q is in several schemas", name).WithNext("write one of %s", strings.Join(names, ", "))
	}
	p := at.Fail("there is no table %q", name)
	var names []string
	for _, t := range cat.tables {
		names = append(names, t.String())
	}
	if near := nearest(name, names); near != "" {
		return nil, p.WithNext("did you mean %q?", near)
	}
	return nil, p.WithNext("a fixture file is called like its table, or its keys are tables; are the migrations complete?")
}
