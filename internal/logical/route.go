package logical

import "context"

// rootsQuery finds the leaves of a partition tree in which a row's place
// depends on something that differs between databases: somewhere above the
// leaf, rows are spread by a hash of oids. Enum values and the reg types hash
// by oid, so do arrays, ranges and composites that may hold them; what types
// of extensions hash by is not known. pg_dump finds the enums only.
const rootsQuery = `
WITH RECURSIVE unsafe AS (
  SELECT p.partrelid
    FROM pg_catalog.pg_partitioned_table p
   CROSS JOIN LATERAL unnest(p.partattrs::int2[], p.partclass::oid[]) AS k (attnum, class)
    JOIN pg_catalog.pg_opclass o ON o.oid = k.class
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.attnum AND k.attnum <> 0
   WHERE p.partstrat = 'h'
     AND (o.oid >= 16384
       OR o.opcintype IN ('anyenum'::regtype, 'record'::regtype, 'anyrange'::regtype, 'anymultirange'::regtype)
       OR o.opcintype = 'anyarray'::regtype
          AND (k.attnum = 0 OR NOT a.atttypid = ANY($1::oid[]))
       OR o.opcintype = 'oid'::regtype
          AND (k.attnum = 0 OR a.atttypid <> 'oid'::regtype))
), tree AS (
  SELECT c.oid AS root, c.oid AS relid, c.oid IN (SELECT partrelid FROM unsafe) AS routed
    FROM pg_catalog.pg_class c WHERE c.relkind = 'p' AND NOT c.relispartition
  UNION ALL
  SELECT t.root, i.inhrelid, t.routed OR i.inhrelid IN (SELECT partrelid FROM unsafe)
    FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.relid
)
SELECT t.relid, n.nspname, r.relname
  FROM tree t
  JOIN pg_catalog.pg_class r ON r.oid = t.root
  JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
 WHERE t.routed`

// routeRows marks the tables whose rows must be loaded through the root of
// their partition tree.
func (a *attempt) routeRows(ctx context.Context, tables map[uint32]*source) error {
	type row struct {
		Leaf         uint32
		Schema, Name string
	}
	rows, err := query[row](ctx, a.sessions.leader, rootsQuery, portableTypes())
	if err != nil {
		return explain(err, "look for partitions by hash")
	}
	for _, r := range rows {
		if s := tables[r.Leaf]; s != nil {
			s.table.LoadInto = &Name{Schema: r.Schema, Name: r.Name}
		}
	}
	return nil
}
