package logical

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// readNames reads what a copy must not let act on the world.
func (a *attempt) readNames(ctx context.Context) (err error) {
	if a.catalogue.Publications, err = a.readStrings(ctx, "SELECT pubname FROM pg_catalog.pg_publication ORDER BY 1"); err != nil {
		return explain(err, "list the publications")
	}
	a.catalogue.Subscriptions, err = a.readStrings(ctx, `
SELECT subname FROM pg_catalog.pg_subscription
 WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) ORDER BY 1`)
	if err != nil {
		return explain(err, "list the subscriptions")
	}
	a.catalogue.EventTriggers, err = query[EventTrigger](ctx, a.sessions.leader,
		"SELECT evtname, evtenabled::text FROM pg_catalog.pg_event_trigger ORDER BY 1")
	if err != nil {
		return explain(err, "list the event triggers")
	}
	return nil
}

func (a *attempt) readStrings(ctx context.Context, sql string) ([]string, error) {
	rows, err := a.sessions.leader.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// matviewsQuery lists materialised views with what each one reads, as far as
// PostgreSQL records it: through views, and through functions whose body is
// SQL that was parsed when they were created.
const matviewsQuery = `
WITH RECURSIVE uses AS (
  SELECT r.ev_class AS class, d.refclassid, d.refobjid
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
   WHERE d.refclassid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass)
     AND NOT (d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = r.ev_class)
), reach AS (
  SELECT c.oid AS matview, u.refclassid, u.refobjid
    FROM pg_catalog.pg_class c JOIN uses u ON u.class = c.oid WHERE c.relkind = 'm'
  UNION
  SELECT r.matview, n.refclassid, n.refobjid
    FROM reach r
   CROSS JOIN LATERAL (
     SELECT u.refclassid, u.refobjid FROM uses u
      WHERE r.refclassid = 'pg_catalog.pg_class'::regclass AND u.class = r.refobjid
     UNION ALL
     SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_depend d
      WHERE r.refclassid = 'pg_catalog.pg_proc'::regclass
        AND d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = r.refobjid
        AND d.refclassid IN ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass)
   ) n
)
SELECT c.oid, n.nspname, c.relname, c.relispopulated,
       ARRAY(SELECT DISTINCT r.refobjid FROM reach r JOIN pg_catalog.pg_class m ON m.oid = r.refobjid AND m.relkind = 'm'
              WHERE r.matview = c.oid AND r.refclassid = 'pg_catalog.pg_class'::regclass AND r.refobjid <> c.oid ORDER BY 1)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'm'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname`

type matview struct {
	OID          uint32
	Schema, Name string
	Populated    bool
	Reads        []uint32
}

// readMaterializedViews lists the materialised views, each behind those that it
// reads, which is the order to refresh them in.
func (a *attempt) readMaterializedViews(ctx context.Context) error {
	views, err := query[matview](ctx, a.sessions.leader, matviewsQuery)
	if err != nil {
		return explain(err, "list the materialised views")
	}
	a.catalogue.MaterializedViews = []MaterializedView{}
	for _, v := range inOrder(views) {
		a.catalogue.MaterializedViews = append(a.catalogue.MaterializedViews, MaterializedView{Schema: v.Schema, Name: v.Name, Populated: v.Populated})
	}
	return nil
}

// inOrder sorts the views behind those that they read. Views that read each
// other, which only functions make possible, keep the order they came in.
func inOrder(views []matview) []matview {
	byOID := make(map[uint32]matview, len(views))
	for _, v := range views {
		byOID[v.OID] = v
	}
	var ordered []matview
	placed := make(map[uint32]bool)
	var place func(matview)
	place = func(v matview) {
		if placed[v.OID] {
			return
		}
		placed[v.OID] = true
		for _, oid := range v.Reads {
			if read, ok := byOID[oid]; ok {
				place(read)
			}
		}
		ordered = append(ordered, v)
	}
	for _, v := range views {
		place(v)
	}
	return ordered
}
