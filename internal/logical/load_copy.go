package logical

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// The frame of a binary COPY stream, which the chunks come without. See the
// PostgreSQL manual, COPY, "Binary Format".
var (
	binaryHeader  = []byte("PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	binaryTrailer = []byte{0xff, 0xff}
)

// planRows adds the steps that load the tables, biggest first.
func (d *loader) planRows(g *graph) error {
	var ofExtensions []Table
	division := d.newDivision(g)
	for _, t := range d.cat.Tables {
		if t.SchemaOnly || d.skipsExtension(t.Extension) || d.givesWay(t) || d.masks.empties(t) {
			continue
		}
		t = d.masks.routed(t)
		if t.Extension != "" {
			ofExtensions = append(ofExtensions, t)
			continue
		}
		for _, p := range division.portions(t, d.reader.Chunks(t.Part)) {
			s := &step{name: "rows of " + t.title(), weight: 1 + sizeOf(p.refs)}
			s.run = func(ctx context.Context, on *session) error { return d.copyPortion(ctx, on, p) }
			g.steps = append(g.steps, s)
			for _, id := range g.fedBy(t) {
				g.rows[id] = append(g.rows[id], s)
			}
		}
	}
	if len(ofExtensions) > 0 {
		g.steps = append(g.steps, &step{name: "rows of extensions", weight: 1, run: func(ctx context.Context, on *session) error {
			return d.copyExtensions(ctx, on, ofExtensions)
		}})
	}
	return nil
}

// copyExtensions loads configuration tables, which their extensions made with
// their foreign keys: a table whose rows refer to ones that are not there yet
// is tried again after the others.
func (d *loader) copyExtensions(ctx context.Context, on *session, tables []Table) error {
	for len(tables) > 0 {
		var later []Table
		var why error
		for _, t := range tables {
			err := d.copyIn(ctx, on, t, d.reader.Chunks(t.Part), "")
			if err != nil && !hasCode(err, codeForeignKey) {
				return err
			}
			if err != nil {
				later, why = append(later, t), err
			}
		}
		if len(later) == len(tables) {
			return why
		}
		tables = later
	}
	return nil
}

// fedBy returns the tables that a table's rows may end up in: itself, or with
// LoadInto whatever is below the root.
func (g *graph) fedBy(t Table) []int {
	if t.LoadInto != nil {
		return g.tables.below(g.tables.byName[*t.LoadInto])
	}
	if id, ok := g.tables.byName[Name{t.Schema, t.Name}]; ok {
		return []int{id}
	}
	return nil // an extension's table, which has no entry
}

func sizeOf(refs []backup.Ref) int64 {
	var n int64
	for _, r := range refs {
		n += r.Size
	}
	return n
}

func (t Table) title() string { return "table " + t.Schema + "." + t.Name }

// sql names the table that the rows are loaded into.
func (t Table) sql() string {
	if t.LoadInto != nil {
		return postgres.QuoteName(t.LoadInto.Schema, t.LoadInto.Name)
	}
	return postgres.QuoteName(t.Schema, t.Name)
}

// copyPortion loads a portion of a table.
func (d *loader) copyPortion(ctx context.Context, s *session, p portion) error {
	if d.staged(p.table) {
		return d.copyStaged(ctx, s, p)
	}
	if !p.frozen {
		return d.copyIn(ctx, s, p.table, p.refs, "")
	}
	what := "load " + p.table.title()
	if err := s.exec(ctx, "BEGIN; TRUNCATE ONLY "+p.table.sql()); err != nil {
		return stepError(what, err)
	}
	if err := d.copyIn(ctx, s, p.table, p.refs, ", FREEZE"); err != nil {
		return err // the session ends, and the transaction with it
	}
	if err := s.exec(ctx, "COMMIT"); err != nil {
		return stepError(what, err)
	}
	return nil
}

// copyIn loads a run of chunks into a table by one COPY with further options.
func (d *loader) copyIn(ctx context.Context, s *session, t Table, refs []backup.Ref, options string) error {
	return d.copyTo(ctx, s, t, refs, copyInSQL(t, options))
}

// copyTo loads a run of a table's chunks by a COPY, masked if they are to be.
func (d *loader) copyTo(ctx context.Context, s *session, t Table, refs []backup.Ref, sql string) error {
	chunks := &chunkStream{ctx: ctx, reader: d.reader, runs: backup.Runs(refs, runMost), most: readAhead / int64(d.Jobs), free: s.memory}
	var rows io.Reader = &counted{framed(chunks, t.Format), d}
	masked := d.maskedStream(t, refs, chunks)
	if masked != nil {
		rows = framed(masked, t.Format)
	}
	tag, err := s.conn.PgConn().CopyFrom(ctx, rows, sql)
	if fetch := chunks.finish(); fetch != nil {
		// The server only says that the client gave up.
		return fmt.Errorf("load %s: %w", t.title(), fetch)
	}
	s.memory = chunks.memory()
	if masked != nil {
		if failed := masked.Err(); failed != nil {
			return failed
		}
		if err != nil {
			return d.copyError(t, err)
		}
		masked.Finish()
	}
	if err != nil {
		return stepError("load "+t.title(), err)
	}
	want := rowsIn(refs)
	if tag.RowsAffected() != want {
		return envdb.Fail(envdb.ErrVerification, "load %s: the backup holds %d rows and the server took %d", t.title(), want, tag.RowsAffected()).
			WithNext("%s", another(d.reader.String()))
	}
	d.copied.rows.Add(want)
	return nil
}

func rowsIn(refs []backup.Ref) int64 {
	var n int64
	for _, r := range refs {
		n += r.Rows
	}
	return n
}

// framed adds what a COPY stream of the format begins and ends with.
func framed(chunks io.Reader, format string) io.Reader {
	if format != formatBinary {
		return chunks
	}
	return io.MultiReader(bytes.NewReader(binaryHeader), chunks, bytes.NewReader(binaryTrailer))
}

// copyInSQL returns the COPY that loads a table. A table whose columns COPY
// does not carry, or that has none, gets no column list, for "()" is none.
func copyInSQL(t Table, options string) string {
	var columns string
	if len(t.Columns) > 0 {
		names := slices.Collect(func(yield func(string) bool) {
			for _, c := range t.Columns {
				if !yield(postgres.Quote(c.Name)) {
					return
				}
			}
		})
		columns = " (" + strings.Join(names, ", ") + ")"
	}
	return fmt.Sprintf("COPY %s%s FROM STDIN (FORMAT %s%s)", t.sql(), columns, t.Format, options)
}

// counted counts the bytes that pass and reports them.
type counted struct {
	io.Reader
	d *loader
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	done := c.d.copied.bytes.Add(int64(n))
	c.d.Report.Send(envdb.Progress{Step: "copy", Done: done, Total: c.d.copied.total, Unit: "bytes"})
	return n, err
}

// totalBytes is how much there is to load.
func totalBytes(cat *Catalogue) int64 {
	n := cat.LargeObjects.Bytes
	for _, t := range cat.Tables {
		n += t.Bytes
	}
	return n
}
