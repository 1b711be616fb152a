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

// Remap is what of a copy points at third parties, and where it is to point.
type Remap struct {
	Servers []RemapServer
	Rows    []RemapRows
	// MustNotContain are texts that neither the tables of Rows nor the options
	// of a foreign server may hold afterwards.
	MustNotContain []string
}

// RemapServer gives a foreign server options. It keeps its others. With Mapping
// everyone gets a user mapping for it.
type RemapServer struct {
	Name    string
	Options []RemapOption
	Mapping []RemapOption
}

// mapping is the user mapping as the inventory names it.
func (s RemapServer) mapping() string { return "public on " + s.Name }

// RemapOption is an option of a foreign server. Its value may be a secret.
type RemapOption struct{ Name, Value string }

// RemapRows sets columns of rows.
type RemapRows struct {
	// Entry is what the configuration calls it.
	Entry string
	Table Name
	Set   []RemapColumn
	Where string // a condition in SQL, or empty for all rows
	// AtLeast is how many rows must be changed.
	AtLeast int
}

// RemapColumn sets a column to an expression in SQL, or if Literal to a text as
// it is, which may be a secret.
type RemapColumn struct {
	Name, Value string
	Literal     bool
}

func (r Remap) isEmpty() bool { return len(r.Servers)+len(r.Rows)+len(r.MustNotContain) == 0 }

// planRemap adds the step that remaps, once the rows of its tables are there
// and neutralised. What is built on them waits, as for their other rows.
func (d *loader) planRemap(g *graph) {
	remap := d.Own.Remap
	if len(remap.Servers)+len(remap.Rows) == 0 {
		return
	}
	s := &step{name: "remap", weight: 1, run: d.remap}
	if g.neutralise != nil {
		s.after(g.neutralise)
	}
	tables := map[int]bool{}
	for _, rows := range remap.Rows {
		id := g.tables.byName[rows.Table]
		s.after(g.rowsOf(id)...)
		for _, below := range g.tables.below(id) {
			tables[below] = true
		}
	}
	for id := range tables {
		g.rows[id] = append(g.rows[id], s)
	}
	g.steps = append(g.steps, s)
}

// remap points servers and rows somewhere else, in one transaction under the
// search path that sessions of the source's database had.
func (d *loader) remap(ctx context.Context, s *session) error {
	err := pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+d.searchPath()); err != nil {
			return err
		}
		for _, server := range d.Own.Remap.Servers {
			if err := d.remapServer(ctx, tx, server); err != nil {
				return err
			}
		}
		for _, rows := range d.Own.Remap.Rows {
			if err := d.remapRows(ctx, tx, rows); err != nil {
				return err
			}
		}
		return nil
	})
	return stepError("remap", err)
}

// remapServer sets options of a foreign server, and maps everyone to a user of
// it if the configuration says so.
func (d *loader) remapServer(ctx context.Context, tx pgx.Tx, server RemapServer) error {
	what := "remap server " + server.Name
	have, err := serverOptions(ctx, tx.Conn(), server.Name)
	if err != nil {
		return stepError(what, err)
	}
	var names []string
	for _, o := range slices.Concat(server.Options, server.Mapping) {
		names = append(names, o.Name)
	}
	for _, sql := range server.statements(have) {
		if _, err := tx.Exec(ctx, sql); err != nil {
			explained := envdb.Fail(envdb.ErrPreflight, "%w", stepError(what, err))
			return explained.WithNext("correct the options of %s in mirror.remap.servers; its foreign-data wrapper says which there are", server.Name)
		}
	}
	d.record.didRemap("server " + postgres.Quote(server.Name))
	if len(server.Mapping) > 0 {
		d.record.didRemap("user mapping " + server.mapping())
	}
	d.record.note(fmt.Sprintf("server %s was remapped: %s", server.Name, strings.Join(names, ", ")))
	return nil
}

// statements returns what gives a server its options, of which it has some.
func (s RemapServer) statements(have []RemapOption) []string {
	name := postgres.Quote(s.Name)
	var changes, mapping, sql []string
	for _, o := range s.Options {
		verb := "ADD "
		if slices.ContainsFunc(have, func(h RemapOption) bool { return h.Name == o.Name }) {
			verb = "SET "
		}
		changes = append(changes, verb+o.sql())
	}
	for _, o := range s.Mapping {
		mapping = append(mapping, o.sql())
	}
	if len(changes) > 0 {
		sql = append(sql, "ALTER SERVER "+name+" OPTIONS ("+strings.Join(changes, ", ")+")")
	}
	if len(mapping) > 0 {
		sql = append(sql, "DROP USER MAPPING IF EXISTS FOR PUBLIC SERVER "+name, "CREATE USER MAPPING FOR PUBLIC SERVER "+name+" OPTIONS ("+strings.Join(mapping, ", ")+")")
	}
	return sql
}

func (o RemapOption) sql() string { return postgres.Quote(o.Name) + " " + postgres.Literal(o.Value) }

// serverOptions returns the options of a foreign server.
func serverOptions(ctx context.Context, conn *pgx.Conn, name string) ([]RemapOption, error) {
	return query[RemapOption](ctx, conn, `
		SELECT o.option_name, coalesce(o.option_value, '') FROM pg_catalog.pg_foreign_server AS s, LATERAL pg_catalog.pg_options_to_table(s.srvoptions) AS o
		WHERE s.srvname = $1`, name)
}

// remapRows sets columns. Texts that may be secret go as parameters, which the
// server does not log with an error.
func (d *loader) remapRows(ctx context.Context, tx pgx.Tx, rows RemapRows) error {
	n, err := rows.update(ctx, tx.Conn())
	if err != nil {
		return rows.refused(err)
	}
	if n < int64(rows.AtLeast) {
		return envdb.Fail(envdb.ErrVerification, "%s: the update of %s hit %s, and must hit %d at least", rows.Entry, rows.Table, countOf(n, "row"), rows.AtLeast).
			WithNext("correct the where, or say at_least: %d", n)
	}
	d.record.note(fmt.Sprintf("%s was remapped: %s", rows.Table, countOf(n, "row")))
	return nil
}

// update runs the statement and returns how many rows it changed. Partitions,
// and what inherits from the table, are meant too.
func (r RemapRows) update(ctx context.Context, conn *pgx.Conn) (int64, error) {
	args := []any{pgx.QueryExecModeDescribeExec} // a text is read as the column's type
	var set []string
	for _, c := range r.Set {
		value := "(" + c.Value + "\n)"
		if c.Literal {
			args = append(args, c.Value)
			value = fmt.Sprintf("$%d", len(args)-1)
		}
		set = append(set, postgres.Quote(c.Name)+" = "+value)
	}
	sql := "UPDATE " + postgres.QuoteName(r.Table.Schema, r.Table.Name) + " SET " + strings.Join(set, ", ")
	if r.Where != "" {
		sql += " WHERE (" + r.Where + "\n)"
	}
	if len(args) == 1 {
		return executeOne(ctx, conn, sql)
	}
	tag, err := conn.Exec(ctx, sql, args...)
	return tag.RowsAffected(), err
}

// refused explains an update that the server did not make. Its message may
// quote a value, so it is left out where that may be a secret.
func (r RemapRows) refused(err error) error {
	explained := stepError(r.Entry, err)
	if !hasServerCode(err) {
		return explained
	}
	if slices.ContainsFunc(r.Set, func(c RemapColumn) bool { return c.Literal }) && !missesColumn(err) {
		explained = envdb.Fail(envdb.ErrPreflight, "%s: the server refused the update of %s (SQLSTATE %s)", r.Entry, r.Table, postgres.SQLState(err))
	}
	return envdb.Fail(envdb.ErrPreflight, "%w", explained).WithNext("correct the entry in the configuration")
}
