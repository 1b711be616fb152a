package logical

import (
	"context"
	"strings"

	"github.com/envdb/envdb/internal/postgres"
)

// relation is a table of the source, as the snapshot sees it: one that has
// rows, or the root of partitions.
type relation struct {
	OID         uint32
	Schema      string
	Name        string
	Kind        string // relkind: "r" or "p"
	Persistence string // relpersistence
	Heap        bool   // whether its rows lie in numbered blocks
	Extension   string
	Condition   string
	Readable    bool // whether the role may read all of its columns
	Hidden      bool // whether a row-level security policy would hide rows
	Reachable   bool // whether the role may use its schema
}

func (r *relation) sql() string { return postgres.QuoteName(r.Schema, r.Name) }

// relationsQuery lists what a backup locks. Of the tables that belong to an
// extension it lists those whose rows are the user's, as the extension says
// with pg_extension_config_dump(); all others come with the extension.
const relationsQuery = `
WITH config AS (
  SELECT x.extname, u.oid, NULLIF(u.condition, '') AS condition
    FROM pg_catalog.pg_extension x, unnest(x.extconfig, x.extcondition) AS u (oid, condition)
), member AS (
  SELECT objid FROM pg_catalog.pg_depend
   WHERE classid = 'pg_catalog.pg_class'::regclass AND refclassid = 'pg_catalog.pg_extension'::regclass AND deptype = 'e'
)
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
       coalesce(am.amname = 'heap', false),
       coalesce(config.extname, ''), coalesce(config.condition, ''),
       coalesce(has_table_privilege(c.oid, 'SELECT'), true),
       coalesce(row_security_active(c.oid), false),
       coalesce(has_schema_privilege(n.oid, 'USAGE'), true)
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
  LEFT JOIN config ON config.oid = c.oid
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND (config.oid IS NOT NULL OR c.oid NOT IN (SELECT objid FROM member))
 ORDER BY n.nspname, c.relname`

// columnsQuery lists the columns that COPY carries, in their order. Rows are
// COPY's text unless every column's type has a binary format that is the same
// everywhere.
const columnsQuery = `
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid
  FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 ORDER BY a.attrelid, a.attnum`

// source is a table whose rows are read.
type source struct {
	*relation
	table  Table
	ranges []blockRange
	size   int64 // of its storage, an estimate of what COPY sends
}

// listTables reads which tables there are, and how each is read.
func (a *attempt) listTables(ctx context.Context) error {
	relations, err := query[relation](ctx, a.sessions.leader, relationsQuery)
	if err != nil {
		return explain(err, "list the tables")
	}
	byOID := make(map[uint32]*source)
	var oids []uint32
	for _, r := range relations {
		a.relations = append(a.relations, &r)
		if r.Kind == "p" || a.only != nil && !a.only(Name{r.Schema, r.Name}) {
			continue
		}
		s := &source{relation: &r, table: a.describe(&r)}
		a.sources = append(a.sources, s)
		byOID[r.OID] = s
		oids = append(oids, r.OID)
	}
	if err := a.listColumns(ctx, byOID, oids); err != nil {
		return err
	}
	return a.routeRows(ctx, byOID)
}

func (a *attempt) describe(r *relation) Table {
	t := Table{
		Part: tablePart(r.Schema, r.Name), Schema: r.Schema, Name: r.Name, Format: formatBinary,
		Columns: []Column{}, Extension: r.Extension, Condition: r.Condition, Unlogged: r.Persistence == "u",
	}
	t.SchemaOnly = t.Unlogged && a.catalogue.Server.Standby
	return t
}

// listColumns fills in the columns of the tables, and their formats.
func (a *attempt) listColumns(ctx context.Context, tables map[uint32]*source, oids []uint32) error {
	type column struct {
		Table uint32
		Name  string
		Text  string
		Type  uint32
	}
	columns, err := query[column](ctx, a.sessions.leader, columnsQuery, oids)
	if err != nil {
		return explain(err, "list the columns")
	}
	for _, c := range columns {
		t := &tables[c.Table].table
		t.Columns = append(t.Columns, Column{Name: c.Name, Type: c.Text})
		if !portable(c.Type) {
			t.Format = formatText
		}
	}
	return nil
}

// tablePart names the part that holds a table's rows.
func tablePart(schema, name string) string {
	escape := strings.NewReplacer("%", "%25", "/", "%2F")
	return "table/" + escape.Replace(schema) + "/" + escape.Replace(name)
}
