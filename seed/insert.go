package seed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// shape is a prepared INSERT for rows that give the same columns.
type shape struct {
	name string
	sql  string
}

// atOnce is how many rows are sent before the server is waited for.
const atOnce = 500

// insertRows inserts rows one by one, but without a round trip for each. The
// server says which of them it refused.
func (l *loader) insertRows(ctx context.Context, u *unit, rows []*insert) error {
	for batch := range slices.Chunk(rows, atOnce) {
		for _, r := range batch {
			l.noteVolatile(u.table, r)
		}
		if err := l.insertBatch(ctx, u, batch); err != nil {
			return err
		}
		u.rows += int64(len(batch))
		l.progress(u, 0)
	}
	return nil
}

func (l *loader) insertBatch(ctx context.Context, u *unit, batch []*insert) error {
	for _, r := range batch {
		if err := l.prepare(ctx, r); err != nil {
			return l.rowFault(err, u, r)
		}
	}
	pipeline := l.conn.PgConn().StartPipeline(ctx)
	for _, r := range batch {
		pipeline.SendQueryPrepared(l.shapes[r.shapeKey()].name, r.arguments(), nil, nil)
	}
	err := pipeline.Sync()
	var failed *insert
	for i := 0; err == nil && i < len(batch); i++ {
		if err = batch[i].result(pipeline); err != nil {
			failed = batch[i]
		}
	}
	closing := pipeline.Close()
	if failed != nil {
		return l.rowFault(err, u, failed)
	}
	return errors.Join(err, closing)
}

// result reads what the server says to the row's INSERT.
func (r *insert) result(pipeline *pgconn.Pipeline) error {
	results, err := pipeline.GetResults()
	if err != nil {
		return err
	}
	reader, isRows := results.(*pgconn.ResultReader)
	if !isRows {
		return fmt.Errorf("unexpected answer %T to an INSERT", results)
	}
	for reader.NextRow() {
		r.found = nil
		for _, v := range reader.Values() {
			r.found = append(r.found, string(v))
		}
	}
	_, err = reader.Close()
	return err
}

// shapeKey is the same for rows that one statement inserts.
func (r *insert) shapeKey() string {
	return r.table.sql() + "\x00" + r.shape() + fmt.Sprint(len(r.later) > 0)
}

// prepare has the server parse the row's INSERT, once for all of its shape.
func (l *loader) prepare(ctx context.Context, r *insert) error {
	key := r.shapeKey()
	if l.shapes[key] != nil {
		return nil
	}
	if len(l.shapes) >= mostShapes {
		if err := l.dropShapes(ctx); err != nil {
			return err
		}
	}
	l.serial++
	s := &shape{name: fmt.Sprintf("envdb_seed_%d", l.serial), sql: r.sql()}
	if _, err := l.conn.PgConn().Prepare(ctx, s.name, s.sql, nil); err != nil {
		return err
	}
	l.shapes[key] = s
	return nil
}

// mostShapes bounds the statements that the server keeps: every RAW= is one.
const mostShapes = 2 * atOnce

func (l *loader) dropShapes(ctx context.Context) error {
	for key, s := range l.shapes {
		if err := l.conn.PgConn().Deallocate(ctx, s.name); err != nil {
			return fmt.Errorf("deallocate a statement: %w", err)
		}
		delete(l.shapes, key)
	}
	return nil
}

// sql is the row's INSERT. A column that is always an identity takes the value
// of the fixture all the same.
func (r *insert) sql() string {
	if len(r.cells) == 0 {
		return "INSERT INTO " + r.table.sql() + " DEFAULT VALUES" + r.returning()
	}
	var columns, values []string
	overriding, n := "", 0
	for _, c := range r.cells {
		columns = append(columns, c.column.name)
		if c.sql != "" {
			values = append(values, c.sql)
		} else {
			n++
			values = append(values, fmt.Sprintf("$%d", n))
		}
		if c.column.identity == "a" {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s)%s VALUES (%s)%s",
		r.table.sql(), quoteAll(columns), overriding, strings.Join(values, ", "), r.returning())
}

// returning asks for what finds the row again, if it must be found.
func (r *insert) returning() string {
	if len(r.later) == 0 {
		return ""
	}
	return " RETURNING " + strings.Join(r.finders(), ", ")
}

// finders are the expressions that find the row: its primary key, or where it
// lies.
func (r *insert) finders() []string {
	if primary := r.table.primary(); len(primary) > 0 {
		texts := make([]string, len(primary))
		for i, name := range primary {
			texts[i] = quote(name) + "::text"
		}
		return texts
	}
	return []string{"tableoid::text", "ctid::text"}
}

func (r *insert) arguments() [][]byte {
	var values [][]byte
	for _, c := range r.cells {
		switch {
		case c.sql != "":
		case c.text == nil:
			values = append(values, nil)
		default:
			values = append(values, []byte(*c.text))
		}
	}
	return values
}

// fillIn gives the rows what was NULL at first.
func (l *loader) fillIn(ctx context.Context, o *order) error {
	for _, u := range o.units {
		for _, part := range u.loads {
			for _, r := range part.rows {
				if len(r.later) == 0 {
					continue
				}
				if err := l.update(ctx, r); err != nil {
					return l.rowFault(err, u, r)
				}
			}
		}
	}
	return nil
}

func (l *loader) update(ctx context.Context, r *insert) error {
	var sets, finds []string
	var values [][]byte
	for _, c := range r.later {
		if c.sql != "" {
			sets = append(sets, quote(c.column.name)+" = "+c.sql)
			continue
		}
		values = append(values, []byte(*c.text))
		sets = append(sets, fmt.Sprintf("%s = $%d", quote(c.column.name), len(values)))
	}
	for i, finder := range r.finders() {
		values = append(values, []byte(r.found[i]))
		finds = append(finds, fmt.Sprintf("%s = $%d", strings.TrimSuffix(finder, "::text"), len(values)))
	}
	sql := "UPDATE " + r.table.sql() + " SET " + strings.Join(sets, ", ") + " WHERE " + strings.Join(finds, " AND ")
	tag, err := l.conn.PgConn().ExecParams(ctx, sql, values, nil, nil, nil).Close()
	if err == nil && tag.RowsAffected() != 1 {
		return r.at.Fail("%d rows of %s were found to fill %s in, instead of one", tag.RowsAffected(), r.table, r.later[0].column.name).
			WithNext("a trigger changes rows as they are inserted; make the constraint DEFERRABLE instead")
	}
	return err
}
