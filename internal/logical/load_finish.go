package logical

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// refresh fills the materialised views that were populated, in the order of
// their dependencies. It runs after the privileges and policies are there,
// because a view is filled with the rights of its owner, as on the source.
func (d *loader) refresh(ctx context.Context, s *session) error {
	todo, err := d.viewsToRefresh(ctx, s)
	if err != nil || len(todo) == 0 {
		return err
	}
	// With row_security off, a view over a table whose policies apply to its
	// owner would fail instead of being what it is on the source.
	if err := s.exec(ctx, "SET row_security = on"); err != nil {
		return postgres.Explain(err, "set up the session")
	}
	for i, v := range todo {
		if err := d.refreshView(ctx, s, v); err != nil {
			return err
		}
		d.Report.Send(envdb.Progress{Step: "refresh materialized views", Done: int64(i + 1), Total: int64(len(todo)), Unit: "objects"})
	}
	return postgres.Explain(s.exec(ctx, "SET row_security = off"), "set up the session")
}

// remoteViewsQuery lists the materialised views whose rows come from foreign
// tables, by way of views and partitions too.
const remoteViewsQuery = `
	WITH RECURSIVE reads(view, oid) AS (
		SELECT oid, oid FROM pg_catalog.pg_class WHERE relkind = 'm'
		UNION SELECT r.view, n.oid FROM reads AS r, LATERAL (
			SELECT dep.refobjid AS oid FROM pg_catalog.pg_rewrite AS w JOIN pg_catalog.pg_depend AS dep
				ON dep.classid = 'pg_catalog.pg_rewrite'::regclass AND dep.objid = w.oid AND dep.refclassid = 'pg_catalog.pg_class'::regclass
				WHERE w.ev_class = r.oid
			UNION ALL SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = r.oid) AS n)
	SELECT DISTINCT s.nspname::text, v.relname::text
	FROM reads AS r JOIN pg_catalog.pg_class AS f ON f.oid = r.oid AND f.relkind = 'f'
	JOIN pg_catalog.pg_class AS v ON v.oid = r.view JOIN pg_catalog.pg_namespace AS s ON s.oid = v.relnamespace`

// viewsToRefresh returns the views that were populated. A neutralised copy
// does not reach for other servers, so it leaves those empty that would.
func (d *loader) viewsToRefresh(ctx context.Context, s *session) ([]MaterializedView, error) {
	remote := map[Name]bool{}
	if d.Neutralise != nil {
		rows, err := s.conn.Query(ctx, remoteViewsQuery)
		if err != nil {
			return nil, postgres.Explain(err, "list the materialized views")
		}
		names, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Name])
		if err != nil {
			return nil, postgres.Explain(err, "list the materialized views")
		}
		for _, n := range names {
			remote[n] = true
		}
	}
	var todo []MaterializedView
	for _, v := range d.cat.MaterializedViews {
		switch {
		case !v.Populated:
		case remote[Name{v.Schema, v.Name}]:
			d.record.didNeutralise(fmt.Sprintf("materialized view %s.%s is not populated: it reads foreign tables", v.Schema, v.Name))
			d.record.leftOut("MATERIALIZED VIEW DATA " + v.Schema + "." + v.Name)
		default:
			todo = append(todo, v)
		}
	}
	return todo, nil
}

// refreshView refreshes one view. A view whose functions rely on a search path
// works under the path that the source's database had.
func (d *loader) refreshView(ctx context.Context, s *session, v MaterializedView) error {
	sql := "REFRESH MATERIALIZED VIEW " + postgres.QuoteName(v.Schema, v.Name)
	err := s.exec(ctx, sql)
	if missesName(err) {
		if again := s.exec(ctx, d.withSearchPath(sql)); again == nil {
			d.record.note(fmt.Sprintf("materialized view %s.%s was refreshed under the database's search_path, on which its functions rely", v.Schema, v.Name))
			return nil
		}
	}
	if err != nil {
		return d.refusedRefresh(ctx, s, v, err)
	}
	return nil
}

// withSearchPath wraps a statement such that it alone runs under the search
// path that sessions of the source's database had. Sent as one query the two
// are one implicit transaction, which a failure ends.
func (d *loader) withSearchPath(sql string) string {
	return "SET LOCAL search_path = " + d.searchPath() + ";" + sql
}

// searchPath is the search path of the source's database, as SQL.
func (d *loader) searchPath() string { return searchPath(d.cat) }

func searchPath(cat *Catalogue) string {
	for _, s := range cat.Database.Settings {
		if s.Role == "" && s.Name == "search_path" && s.Value != "" {
			return s.Value
		}
	}
	return `"$user", public`
}

// last creates what acts on other statements or on the world: publications,
// subscriptions and, when nothing else remains to be done, event triggers.
func (d *loader) last(ctx context.Context, s *session) error {
	for _, e := range d.plan.last {
		if err := d.restore(ctx, s, e); err != nil {
			return err
		}
	}
	return nil
}
