package logical

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Check fails unless the servers of a database have the options that they were
// given, and none of the texts that must not be there is. The tables have their
// whole names; conn must be pinned. It changes nothing.
func (r Remap) Check(ctx context.Context, conn *pgx.Conn) error {
	for _, server := range r.Servers {
		have, err := serverOptions(ctx, conn, server.Name)
		if err != nil {
			return stepError("read the options of server "+server.Name, err)
		}
		for _, o := range server.Options {
			if !slices.Contains(have, o) {
				return remapBroken("option %s of server %s is not what mirror.remap.servers says", o.Name, server.Name)
			}
		}
		if err := server.checkMapping(ctx, conn); err != nil {
			return err
		}
	}
	for _, text := range r.MustNotContain {
		if err := r.search(ctx, conn, text); err != nil {
			return err
		}
	}
	return nil
}

// checkMapping fails unless everyone has the user mapping. Its options are not
// read: that takes a superuser, or the owner of the server.
func (s RemapServer) checkMapping(ctx context.Context, conn *pgx.Conn) error {
	if len(s.Mapping) == 0 {
		return nil
	}
	found, err := query[struct{ ID uint32 }](ctx, conn, "SELECT umid FROM pg_catalog.pg_user_mappings WHERE srvname = $1 AND umuser = 0", s.Name)
	if err != nil {
		return stepError("look for the user mapping of server "+s.Name, err)
	}
	if len(found) == 0 {
		return remapBroken("server %s has no user mapping", s.Name)
	}
	return nil
}

func remapBroken(format string, args ...any) error {
	return envdb.Fail(envdb.ErrVerification, "remap: "+format, args...).
		WithNext("look for what changes it afterwards: a file of mirror.neutralise, a migration; or add an entry to mirror.remap")
}

// search looks for a text, whatever its case.
func (r Remap) search(ctx context.Context, conn *pgx.Conn, text string) error {
	const options = `SELECT s.srvname::text FROM pg_catalog.pg_foreign_server AS s, LATERAL pg_catalog.pg_options_to_table(s.srvoptions) AS o
		WHERE pg_catalog.strpos(pg_catalog.lower(o.option_value), pg_catalog.lower($1::text)) > 0 ORDER BY 1 LIMIT 1`
	found, err := query[struct{ Name string }](ctx, conn, options, text)
	if err != nil {
		return stepError("search the options of foreign servers", err)
	}
	if len(found) > 0 {
		return remapBroken("server %s still holds %q", found[0].Name, text)
	}
	var searched []Name
	for _, rows := range r.Rows {
		if slices.Contains(searched, rows.Table) {
			continue
		}
		searched = append(searched, rows.Table)
		if err := searchTable(ctx, conn, rows.Table, text); err != nil {
			return err
		}
	}
	return nil
}

// searchTable looks for a text in every column of a table but those of bytes.
func searchTable(ctx context.Context, conn *pgx.Conn, table Name, text string) error {
	what := "search " + table.String()
	state, err := readTable(ctx, conn, table)
	if err != nil {
		return err
	}
	columns, err := readColumns(ctx, conn, state.OID)
	if err != nil {
		return err
	}
	var counts, names []string
	for _, c := range columns {
		if c.Type == "bytea" {
			continue
		}
		counts = append(counts, fmt.Sprintf("pg_catalog.count(*) FILTER (WHERE pg_catalog.strpos(pg_catalog.lower(%s::text), pg_catalog.lower($1::text)) > 0)", postgres.Quote(c.Name)))
		names = append(names, c.Name)
	}
	if len(counts) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, "SELECT ARRAY["+strings.Join(counts, ", ")+"]::bigint[] FROM "+postgres.QuoteName(table.Schema, table.Name), text)
	if err != nil {
		return stepError(what, err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]int64])
	if err != nil {
		return stepError(what, err)
	}
	for i, n := range found {
		if n > 0 {
			return remapBroken("column %s of %s still holds %q in %s", names[i], table, text, countOf(n, "row"))
		}
	}
	return nil
}

// missesColumn reports whether a statement named something that is not there,
// which the message quotes and nothing else.
func missesColumn(err error) bool {
	return hasCode(err, "42703", codeUndefinedTable, codeUndefinedFunction)
}
