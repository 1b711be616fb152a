package logical

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// preserveWhole brings all rows of a table. Those of the backup were not
// loaded.
func (d *loader) preserveWhole(ctx context.Context, on *session, p *preserving) (rows, removed int64, err error) {
	if err := d.live.exec(ctx, "SET LOCAL search_path = ''"); err != nil { // as the other session has it
		return 0, 0, err
	}
	rows, err = pipeRows(ctx, d.live.conn, on.conn, p.copyOut(), p.copyIn(p.sql()))
	return rows, 0, err
}

// waiting is where preserved rows lie until those of the backup have made room.
const waiting = "pg_temp.envdb_preserved"

// preserveSome brings the rows that the condition is true of. Rows of the
// backup go for which it is true, or which have the primary key of one that
// comes.
func (d *loader) preserveSome(ctx context.Context, on *session, p *preserving) (rows, removed int64, err error) {
	path := "SET LOCAL search_path = " + d.searchPath()
	if err := d.live.exec(ctx, path); err != nil {
		return 0, 0, err
	}
	columns := strings.Join(p.columns, ", ")
	err = on.exec(ctx, fmt.Sprintf("BEGIN; %s; CREATE TEMPORARY TABLE envdb_preserved ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA", path, columns, p.sql()))
	if err != nil {
		return 0, 0, err
	}
	if rows, err = pipeRows(ctx, d.live.conn, on.conn, p.copyOut(), p.copyIn(waiting)); err != nil {
		return 0, 0, err
	}
	for _, sql := range p.makeRoom(d.primaryKey(p)) {
		n, err := executeOne(ctx, on.conn, sql)
		if err != nil {
			return 0, 0, err
		}
		removed += n
	}
	err = on.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s; COMMIT", p.sql(), columns, columns, waiting))
	return rows, removed, err
}

// makeRoom returns the statements that remove what gives way. The condition
// names columns as it likes, so nothing else is in scope for it.
func (p *preserving) makeRoom(key []string) []string {
	statements := []string{"DELETE FROM " + p.from(p.nextKind) + p.condition()}
	if len(key) == 0 {
		return statements
	}
	var same []string
	for _, c := range key {
		same = append(same, fmt.Sprintf("next.%s = kept.%s", c, c))
	}
	return append(statements, fmt.Sprintf("DELETE FROM %s AS next USING %s AS kept WHERE %s", p.from(p.nextKind), waiting, strings.Join(same, " AND ")))
}

// copyOut reads the rows of the live version, copyIn takes them into a table.
func (p *preserving) copyOut() string {
	return fmt.Sprintf("COPY (SELECT %s FROM %s%s) TO STDOUT (FORMAT %s)", strings.Join(p.columns, ", "), p.from(p.liveKind), p.condition(), p.format)
}

func (p *preserving) copyIn(table string) string {
	return fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT %s)", table, strings.Join(p.columns, ", "), p.format)
}

// errGaveUp ends the reading of rows that nobody takes any more.
var errGaveUp = errors.New("the other side gave up")

// pipeRows copies rows from one session to another as they come. If both sides
// fail, the error is that of the side that failed first.
func pipeRows(ctx context.Context, from, to *pgx.Conn, out, in string) (int64, error) {
	r, w := io.Pipe()
	var group errgroup.Group
	var read, written error
	var rows int64
	group.Go(func() error {
		_, read = from.PgConn().CopyTo(ctx, w, out)
		return w.CloseWithError(read)
	})
	group.Go(func() error {
		tag, err := to.PgConn().CopyFrom(ctx, r, in)
		rows, written = tag.RowsAffected(), err
		return r.CloseWithError(errGaveUp)
	})
	if err := group.Wait(); err != nil { // closing a pipe never fails
		return 0, err
	}
	if read != nil && !errors.Is(read, errGaveUp) {
		return 0, fmt.Errorf("read the live version: %w", read)
	}
	return rows, written
}

// refusedRows says what to do about rows that do not fit.
func refusedRows(p *preserving, err error) error {
	explained := stepError(p.origin()+": "+p.title(), err)
	if !hasServerCode(err) {
		return explained
	}
	if _, next := envdb.Advice(explained); next != "" {
		return explained
	}
	return envdb.Fail(envdb.ErrVerification, "%w", explained).
		WithNext("a row of the live version does not fit into the table of the backup: correct it there, narrow the where of %s, or remove it from preserve", p.Table)
}

// ownedQuery lists the sequences that belong to integer columns of tables ($1
// oids).
const ownedQuery = `
	SELECT n.nspname::text, c.relname::text, a.attname::text, sn.nspname::text, s.relname::text, q.seqincrement > 0, q.seqmin, q.seqmax
	FROM pg_catalog.pg_depend AS d
	JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = d.objid
	JOIN pg_catalog.pg_class AS s ON s.oid = d.objid JOIN pg_catalog.pg_namespace AS sn ON sn.oid = s.relnamespace
	JOIN pg_catalog.pg_class AS c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
	WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
	AND d.refobjid = ANY(SELECT pg_catalog.to_regclass(t)::oid FROM pg_catalog.unnest($1::text[]) AS t)
	AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)`

// ownedSequence is a sequence that belongs to a column.
type ownedSequence struct {
	Schema, Table, Column string
	SequenceSchema, Name  string
	Ascending             bool
	Least, Most           int64
}

// raiseSequences moves the sequences of preserved tables behind the highest
// value in use: the backup knows only how far the source was.
func (d *loader) raiseSequences(ctx context.Context, s *session) error {
	var tables []string
	for _, p := range d.preserved {
		tables = append(tables, p.sql())
		for _, name := range p.parts {
			if name != p.Table {
				tables = append(tables, postgres.QuoteName(name.Schema, name.Name))
			}
		}
	}
	owned, err := query[ownedSequence](ctx, s.conn, ownedQuery, tables)
	if err != nil {
		return stepError("list the sequences of preserved tables", err)
	}
	for _, o := range owned {
		if err := d.raise(ctx, s, o); err != nil {
			return stepError("move sequence "+o.SequenceSchema+"."+o.Name, err)
		}
	}
	return nil
}

// raise moves one sequence, if it is behind.
func (d *loader) raise(ctx context.Context, s *session, o ownedSequence) error {
	furthest, behind := "max", "<"
	if !o.Ascending {
		furthest, behind = "min", ">"
	}
	name := postgres.QuoteName(o.SequenceSchema, o.Name)
	sql := fmt.Sprintf(`SELECT pg_catalog.setval(%s::regclass, used.value, true)
		FROM (SELECT pg_catalog.%s(%s)::bigint AS value FROM %s) AS used, %s AS now
		WHERE used.value BETWEEN $1 AND $2 AND (now.last_value %s used.value OR now.last_value = used.value AND NOT now.is_called)`,
		postgres.Literal(name), furthest, postgres.Quote(o.Column), postgres.QuoteName(o.Schema, o.Table), name, behind)
	values, err := query[struct{ Value int64 }](ctx, s.conn, sql, o.Least, o.Most)
	for _, v := range values {
		d.record.movedSequence(Sequence{Schema: o.SequenceSchema, Name: o.Name, LastValue: v.Value, IsCalled: true})
	}
	return err
}
