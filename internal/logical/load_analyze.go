package logical

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// analyzeQuery lists what to analyze, with its size in pages. ANALYZE of a
// partitioned table reads its partitions too, so those are not listed. It
// reads foreign tables below as well, over the network: a tree that has one is
// analyzed in those parts that have none.
const analyzeQuery = `
	WITH RECURSIVE below(top, oid) AS (
		SELECT oid, oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p', 'm')
		UNION SELECT b.top, i.inhrelid FROM below AS b JOIN pg_catalog.pg_inherits AS i ON i.inhparent = b.oid),
	tree AS (
		SELECT b.top, sum(c.relpages)::bigint AS pages, bool_or(c.relkind = 'f') AS remote
		FROM below AS b JOIN pg_catalog.pg_class AS c ON c.oid = b.oid GROUP BY b.top)
	SELECT n.nspname::text, c.relname::text, t.pages, t.remote
	FROM tree AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.top JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast'
	AND (c.relkind <> 'm' OR c.relispopulated)
	AND (NOT c.relispartition OR EXISTS (
		SELECT FROM pg_catalog.pg_inherits AS i JOIN tree AS up ON up.top = i.inhparent WHERE i.inhrelid = c.oid AND up.remote))`

// planAnalyze adds steps that gather the statistics of ordinary tables as soon
// as nothing is built on them any more: they fill the time in which the last
// indexes are built elsewhere, and materialised views are refreshed with plans
// that know the tables. Partitions and what has children wait for analyze.
func (d *loader) planAnalyze(g *graph, barrier []*step) {
	last := map[int][]*step{}
	for _, e := range d.plan.graph {
		for _, id := range e.DependsOn {
			last[id] = append(last[id], g.entries[e.ID])
		}
	}
	for _, e := range d.plan.pre {
		if len(g.rows[e.ID]) == 0 || len(g.tables.parents[e.ID]) > 0 || len(g.tables.children[e.ID]) > 0 {
			continue
		}
		s := &step{name: "analyze " + e.String(), weight: 1, locks: []lock{{key: lockKey{e.ID, false}, exclusive: true}, {key: lockKey{e.ID, true}}}}
		s.run = func(ctx context.Context, on *session) error { return d.analyzeEarly(ctx, on, Name{e.Schema, e.Tag}) }
		s.after(slices.Concat(g.rows[e.ID], barrier, last[e.ID])...)
		g.steps = append(g.steps, s)
	}
}

// analyzeEarly gathers the statistics of a table. What the server refuses is
// left to analyze: the functions of an index may need privileges that are not
// granted yet.
func (d *loader) analyzeEarly(ctx context.Context, s *session, table Name) error {
	err := s.exec(ctx, "ANALYZE "+postgres.QuoteName(table.Schema, table.Name))
	if refused := new(pgconn.PgError); errors.As(err, &refused) {
		return nil
	}
	if err == nil {
		d.record.wasAnalyzed(table)
	}
	return postgres.Explain(err, "analyze "+table.Schema+"."+table.Name)
}

// analyze gathers the statistics that are still missing, in parallel.
func (d *loader) analyze(ctx context.Context, s *session) error {
	type found struct {
		Schema, Name string
		Pages        int64
		Remote       bool
	}
	rows, err := s.conn.Query(ctx, analyzeQuery)
	if err != nil {
		return postgres.Explain(err, "list the tables to analyze")
	}
	todo, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return postgres.Explain(err, "list the tables to analyze")
	}
	var steps []*step
	for _, r := range todo {
		if d.record.isAnalyzed(Name{r.Schema, r.Name}) {
			continue
		}
		if r.Remote {
			d.record.note(fmt.Sprintf("%s.%s has no statistics of its own: a foreign table is below it", r.Schema, r.Name))
			continue
		}
		what, sql := "analyze "+r.Schema+"."+r.Name, "ANALYZE "+postgres.QuoteName(r.Schema, r.Name)
		steps = append(steps, &step{name: what, weight: r.Pages, run: func(ctx context.Context, on *session) error {
			err := on.exec(ctx, sql)
			if err == nil || missesName(err) && on.exec(ctx, d.withSearchPath(sql)) == nil {
				return nil
			}
			return d.insufficient(what, err)
		}})
	}
	d.Report.Send(envdb.Progress{Step: "analyze", Total: int64(len(steps)), Unit: "objects"})
	return d.runSteps(ctx, steps)
}

// Analyze gathers the statistics of every table of a database that was loaded
// from the catalogue and changed since.
func Analyze(ctx context.Context, l Loading, cat *Catalogue) error {
	d := &loader{Loading: l.withDefaults(), cat: cat}
	s, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close(ctx)
	return d.analyze(ctx, s)
}
