package logical

import (
	"context"
	"slices"
)

// acting lists what a neutralised database must not have, as queries that
// return its names.
var acting = []struct{ class, query string }{
	{"publication", `SELECT pubname::text FROM pg_catalog.pg_publication`},
	{"user mapping", `SELECT pg_catalog.format('%s on %s', usename, srvname) FROM pg_catalog.pg_user_mappings`},
	{"enabled subscription", `SELECT subname::text FROM pg_catalog.pg_subscription
		WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND (subenabled OR subslotname IS NOT NULL)`},
	{"enabled event trigger", `SELECT evtname::text FROM pg_catalog.pg_event_trigger AS e WHERE evtenabled <> 'D' AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')`},
}

// harmless looks for what could still act on the world in a neutralised
// database. It does not rely on what the load said it did.
func (c *checker) harmless(ctx context.Context) (CheckResult, error) {
	if !c.expect.Neutralised {
		return skippedCheck("the copy is raw"), nil
	}
	var result CheckResult
	queries := acting
	var jobs bool
	if err := c.conn.QueryRow(ctx, jobsExist).Scan(&jobs); err != nil {
		return result, stepError("look for jobs of pg_cron", err)
	}
	if jobs {
		queries = append(queries[:len(queries):len(queries)], struct{ class, query string }{
			"active job of pg_cron", `SELECT jobid::text FROM cron.job WHERE active`})
	}
	for _, q := range queries {
		names, err := query[struct{ Name string }](ctx, c.conn, q.query)
		if err != nil {
			return result, stepError("look for each "+q.class, err)
		}
		for _, n := range names {
			d := Difference{Kind: Extra, Class: q.class, Identity: n.Name}
			if slices.Contains(c.expect.Loaded.Remapped, q.class+" "+n.Name) {
				d.Why = "remapped: it is what the configuration says"
			}
			result.sort(d)
		}
	}
	left, err := c.secretsLeft(ctx)
	if err != nil {
		return result, err
	}
	for _, d := range left {
		result.sort(d)
	}
	return result, nil
}
