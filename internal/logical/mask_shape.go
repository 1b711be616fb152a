package logical

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/mask"
)

// shapesQuery lists the tables of a database but for those of extensions, with
// the tables above each.
const shapesQuery = `
	SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'r',
	       ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits AS i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno)
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
	ORDER BY n.nspname, c.relname`

// shapeColumnsQuery lists their columns. Of a domain it says the type below.
const shapeColumnsQuery = `
	WITH RECURSIVE below(oid, type, modifier) AS (
		SELECT oid, typbasetype, typtypmod FROM pg_catalog.pg_type WHERE typtype = 'd'
		UNION ALL SELECT b.oid, t.typbasetype, t.typtypmod FROM below AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND t.typtype = 'd')
	SELECT a.attrelid, a.attname::text,
	       coalesce((SELECT pg_catalog.format_type(b.type, b.modifier) FROM below AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type
	                 WHERE b.oid = a.atttypid AND t.typtype <> 'd'), pg_catalog.format_type(a.atttypid, a.atttypmod)),
	       a.attgenerated <> '', a.attnotnull,
	       EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
	FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
	ORDER BY a.attrelid, a.attnum`

// ReadShapes reads what rules of a masking need to know of a database. The
// session must be a pinned one: types are named with an empty search path.
func ReadShapes(ctx context.Context, conn *pgx.Conn) ([]mask.Shape, error) {
	type table struct {
		OID          uint32
		Schema, Name string
		Holds        bool
		Parents      []uint32
	}
	tables, err := query[table](ctx, conn, shapesQuery)
	if err != nil {
		return nil, stepError("list the tables", err)
	}
	shapes, at, oids := make([]mask.Shape, len(tables)), map[uint32]int{}, []uint32{}
	for i, t := range tables {
		shapes[i] = mask.Shape{Name: mask.Name{Schema: t.Schema, Name: t.Name}, Holds: t.Holds}
		at[t.OID] = i
		oids = append(oids, t.OID)
	}
	for i, t := range tables {
		for _, parent := range t.Parents {
			if up, ok := at[parent]; ok {
				shapes[i].Parents = append(shapes[i].Parents, shapes[up].Name)
			}
		}
	}
	type column struct {
		Table                      uint32
		Name, Type                 string
		Generated, NotNull, Unique bool
	}
	columns, err := query[column](ctx, conn, shapeColumnsQuery, oids)
	if err != nil {
		return nil, stepError("list the columns", err)
	}
	for _, c := range columns {
		t := &shapes[at[c.Table]]
		t.Columns = append(t.Columns, mask.ShapeColumn{Name: c.Name, Type: c.Type, Generated: c.Generated, NotNull: c.NotNull, Unique: c.Unique})
	}
	return shapes, nil
}
