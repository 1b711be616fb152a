package seed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/envdb/envdb"
)

// DumpSpec says what fixtures are written of.
type DumpSpec struct {
	// Tables are names as in fixtures; none means every table that is not a
	// partition, without goose's own.
	Tables []string
	// Dir is where the files go; it is made if it is not there.
	Dir string
	// Overwrite lets files be replaced.
	Overwrite bool
}

// Dump writes the rows of tables as fixtures, a YAML file for each table, and
// returns the files. The rows are those of one moment, sorted by the primary
// key, or without one by all columns. Loading the files gives the same rows:
// every value is written as PostgreSQL writes it, and quoted so that it is read
// as it is. Columns that the database generates are left out.
func Dump(ctx context.Context, conn *pgx.Conn, spec DumpSpec) (files []string, err error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin to dump: %w", err)
	}
	defer func() {
		if rollback := tx.Rollback(context.WithoutCancel(ctx)); !errors.Is(rollback, pgx.ErrTxClosed) && !conn.IsClosed() {
			err = errors.Join(err, rollback)
		}
	}()
	const session = `SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, DMY'; SET LOCAL IntervalStyle = 'postgres';
SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; SET LOCAL xmlbinary = 'base64'; SET LOCAL row_security = off`
	if _, err := conn.PgConn().Exec(ctx, session).ReadAll(); err != nil {
		return nil, fmt.Errorf("set up the session: %w", err)
	}
	cat, err := readCatalogue(ctx, conn)
	if err != nil {
		return nil, err
	}
	tables, err := dumpedTables(ctx, conn, cat, spec.Tables)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(spec.Dir, 0o777); err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "%w", err)
	}
	for _, t := range tables {
		file, err := dumpTable(ctx, conn, cat, t, spec)
		if err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// dumpedTables returns the tables that names mean, or all.
func dumpedTables(ctx context.Context, conn *pgx.Conn, cat *catalogue, names []string) ([]*table, error) {
	var tables []*table
	for _, name := range names {
		t := cat.find(name)
		if t == nil {
			var known []string
			for _, t := range cat.tables {
				known = append(known, t.String())
			}
			p := envdb.Fail(envdb.ErrNotFound, "there is no table %q", name).WithState("nothing was written")
			if near := nearest(name, known); near != "" {
				return nil, p.WithNext("did you mean %q?", near)
			}
			return nil, p
		}
		if !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	}
	if len(names) > 0 {
		return tables, nil
	}
	const wanted = `SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`
	rows, err := conn.Query(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	oids, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	for _, t := range cat.tables {
		if slices.Contains(oids, t.oid) && t.name != goose.DefaultTablename {
			tables = append(tables, t)
		}
	}
	return tables, err
}

// dumpTable writes the file of a table, aside first.
func dumpTable(ctx context.Context, conn *pgx.Conn, cat *catalogue, t *table, spec DumpSpec) (path string, err error) {
	name, keyed := fileFor(cat, t)
	path = filepath.Join(spec.Dir, name)
	if _, err := os.Lstat(path); err == nil && !spec.Overwrite {
		return "", envdb.Fail(envdb.ErrRefused, "%s is there already", path).
			WithState("it was not changed").WithNext("write into another directory (--dir), or replace the files that are there (--overwrite)")
	}
	out, err := os.CreateTemp(spec.Dir, ".dump-*")
	if err != nil {
		return "", envdb.Fail(envdb.ErrPreflight, "%w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(out.Name()))
		}
	}()
	w := &dumper{out: bufio.NewWriter(out), table: t}
	err = w.write(ctx, conn, keyed)
	if err = errors.Join(err, w.out.Flush(), out.Chmod(fs.FileMode(0o644)), out.Close()); err != nil {
		return "", fmt.Errorf("dump %s: %w", t, err)
	}
	return path, os.Rename(out.Name(), path)
}

// fileFor names the file of a table. A table whose name is no file's, or means
// something else as one, stands as a key in a file that is called otherwise.
func fileFor(cat *catalogue, t *table) (name string, keyed bool) {
	name = t.String()
	fits := cat.find(name) == t && !strings.ContainsAny(name, "/\\\x00") && !strings.HasPrefix(name, ".") && len(name) < 200
	if fits {
		return name + ".yml", false
	}
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune("/\\\x00.", r) {
			return '_'
		}
		return r
	}, name)
	return fmt.Sprintf("%s-%d.yml", safe, t.oid), true
}

// dumper writes rows as YAML.
type dumper struct {
	out    *bufio.Writer
	table  *table
	indent string
}

func (w *dumper) write(ctx context.Context, conn *pgx.Conn, keyed bool) error {
	columns := slices.DeleteFunc(slices.Clone(w.table.columns), func(c *column) bool { return c.generated })
	if len(columns) == 0 {
		return w.emptyRows(ctx, conn)
	}
	if keyed {
		fmt.Fprintf(w.out, "%s:\n", quoted(w.table.schema+"."+w.table.name))
		w.indent = "  "
	}
	rows, err := conn.Query(ctx, w.query(columns), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	defer rows.Close()
	none := true
	for rows.Next() {
		none = false
		lead := "- "
		for i, raw := range rows.RawValues() {
			w.out.WriteString(w.indent + lead + keyName(columns[i].name) + ": ")
			w.out.WriteString(columns[i].yaml(raw))
			w.out.WriteByte('\n') // Flush tells of errors
			lead = "  "
		}
	}
	if none {
		w.out.WriteString(w.indent + "[]\n")
	}
	return rows.Err()
}

// query selects the rows in an order that does not change.
func (w *dumper) query(columns []*column) string {
	var texts, orders []string
	for _, c := range columns {
		texts = append(texts, quote(c.name)+"::text")
	}
	for _, name := range w.table.primary() {
		order := "t." + quote(name)
		if w.table.column(name).category == "S" {
			order += ` COLLATE "C"`
		}
		orders = append(orders, order)
	}
	if len(orders) == 0 {
		for _, c := range columns {
			orders = append(orders, "t."+quote(c.name)+`::text COLLATE "C"`)
		}
	}
	only := "ONLY "
	if w.table.partitioned {
		only = ""
	}
	return fmt.Sprintf("SELECT %s FROM %s%s AS t ORDER BY %s", strings.Join(texts, ", "), only, w.table.sql(), strings.Join(orders, ", "))
}

// emptyRows writes the rows of a table that has nothing but what the database
// generates.
func (w *dumper) emptyRows(ctx context.Context, conn *pgx.Conn) error {
	var n int64
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+w.table.sql()).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		w.out.WriteString("[]\n")
	}
	for range n {
		w.out.WriteString("- {}\n")
	}
	return nil
}
