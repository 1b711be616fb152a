package logical

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/mask"
	"github.com/envdb/envdb/internal/postgres"
)

// sampledFrom is the size from which on a scan that is not full reads only a
// part of a table: about so many bytes of its blocks.
const sampledFrom = 64 << 20

// ScanOptions say how a scan reads.
type ScanOptions struct {
	// Full reads the whole of large tables, too.
	Full bool
	Jobs int // 0 means 4
}

// Scanned is what a scan looked at.
type Scanned struct {
	Samples int   `json:"samples"` // values that were looked for
	Tables  int   `json:"tables"`  // and materialised views
	Parts   int   `json:"parts"`   // of the tables: those of which a part was read
	Bytes   int64 `json:"bytes"`   // that were read
	// Unread are the tables whose rows the role may not read.
	Unread []string `json:"unread,omitempty"`
}

// scanQuery lists the columns that could hold a text, of whatever type: of
// domains and arrays, the type below counts. Numbers, dates and the like cannot.
const scanQuery = `
	WITH RECURSIVE below(oid, type) AS (
		SELECT oid, oid FROM pg_catalog.pg_type
		UNION ALL SELECT b.oid, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END
		FROM below AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type AND (t.typtype = 'd' OR t.typcategory = 'A' AND t.typelem <> 0))
	SELECT n.nspname::text, c.relname::text, pg_catalog.pg_table_size(c.oid),
	       pg_catalog.array_agg(a.attname::text ORDER BY a.attnum),
	       pg_catalog.array_agg(CASE WHEN a.atttypid = 'pg_catalog.bytea'::regtype THEN 'bytes' WHEN t.oid = 'pg_catalog.tsvector'::regtype THEN 'words' ELSE 'text' END ORDER BY a.attnum)
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	JOIN below AS b ON b.oid = a.atttypid JOIN pg_catalog.pg_type AS t ON t.oid = b.type
	WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't'
	AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
	AND t.typtype IN ('b', 'c') AND t.typcategory NOT IN ('N', 'B', 'D', 'T', 'G', 'I', 'V', 'A')
	GROUP BY n.nspname, c.relname, c.oid ORDER BY 3 DESC, 1, 2`

// scannable is a table or a materialised view with what may hold a text.
type scannable struct {
	Schema, Name string
	Size         int64
	Columns      []string
	Kinds        []string // "text", "words" or "bytes"
}

// Scan looks for values that the load masked: in every column of the finished
// database that could hold them, in its materialised views and in the server's
// statistics about them. A value that is found is ErrVerification, which says
// where, and of which column it is, and not what it is.
func Scan(ctx context.Context, conn *pgx.Conn, loaded *Loaded, o ScanOptions) (*Scanned, error) {
	m := loaded.masks()
	if m == nil {
		return &Scanned{}, nil
	}
	s := &scan{ScanOptions: o, search: m.samples.Search(), scanned: Scanned{Samples: m.samples.Count()}}
	tables, err := query[scannable](ctx, conn, scanQuery)
	if err != nil {
		return nil, stepError("list what to scan", err)
	}
	c := &checker{conn: conn, expect: Expect{Jobs: o.Jobs}}
	err = c.parallel(ctx, len(tables), func(ctx context.Context, conn *pgx.Conn, i int) error { return s.table(ctx, conn, tables[i]) })
	if err != nil {
		return nil, err
	}
	return &s.scanned, s.statistics(ctx, conn)
}

type scan struct {
	ScanOptions
	search  *mask.Search
	mu      sync.Mutex
	scanned Scanned
}

// table looks through one table.
func (s *scan) table(ctx context.Context, conn *pgx.Conn, t scannable) error {
	columns := make([]string, len(t.Columns))
	for i, name := range t.Columns {
		columns[i] = postgres.Quote(name)
		if t.Kinds[i] == "bytes" {
			columns[i] = "pg_catalog.encode(" + columns[i] + ", 'escape')"
		}
	}
	sql := fmt.Sprintf("SELECT %s FROM ONLY %s", strings.Join(columns, ", "), postgres.QuoteName(t.Schema, t.Name))
	part := !s.Full && t.Size > sampledFrom
	if part {
		sql += fmt.Sprintf(" TABLESAMPLE SYSTEM (%.4f)", 100*float64(sampledFrom)/float64(t.Size))
	}
	look := &looking{Finder: s.search.Finder(), kinds: t.Kinds}
	err := s.read(ctx, conn, look, sql)
	if look.title != "" {
		return s.leaked(fmt.Sprintf("%s.%s.%s", t.Schema, t.Name, t.Columns[look.column]), look.title)
	}
	if err != nil && !hasCode(err, codeInsufficient) {
		return stepError("scan "+t.Schema+"."+t.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.scanned.Unread = append(s.scanned.Unread, t.Schema+"."+t.Name)
		return nil
	}
	s.scanned.Tables++
	if part {
		s.scanned.Parts++
	}
	return nil
}

// statistics looks through what the planner keeps of values.
func (s *scan) statistics(ctx context.Context, conn *pgx.Conn) error {
	const sql = `SELECT most_common_vals, histogram_bounds, most_common_elems FROM pg_catalog.pg_stats
		WHERE schemaname <> 'information_schema' AND schemaname !~ '^pg_'`
	const extended = `SELECT most_common_vals FROM pg_catalog.pg_stats_ext`
	for _, q := range []string{sql, extended} {
		look := &looking{Finder: s.search.Finder()}
		err := s.read(ctx, conn, look, q)
		if look.title != "" {
			return s.leaked("the statistics of a table (pg_stats)", look.title)
		}
		if err != nil {
			return stepError("scan the statistics", err)
		}
	}
	return nil
}

// read streams rows through what looks at them.
func (s *scan) read(ctx context.Context, conn *pgx.Conn, look *looking, sql string) error {
	_, err := conn.PgConn().CopyTo(ctx, look, "COPY ("+sql+") TO STDOUT")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scanned.Bytes += look.bytes
	return err
}

func (s *scan) leaked(where, whose string) error {
	return envdb.Fail(envdb.ErrVerification, "%s holds a value of %s, which is masked", where, whose).
		WithState("the copy was not made live").
		WithNext("mask that place too; or, if such a value may stand there, say scan: off for %s in the rules of the masking", whose)
}

// looking looks for masked values in COPY's text. It is the writer that the
// rows go to.
type looking struct {
	*mask.Finder
	kinds []string
	rest  []byte // of a row that has not ended
	bytes int64

	// title is of the column whose value was found, in the column of the row
	// with that number.
	title  string
	column int
}

// Write implements io.Writer. It fails when something is found: nobody wants
// to see the rest.
func (l *looking) Write(p []byte) (int, error) {
	l.bytes += int64(len(p))
	rows := p
	if len(l.rest) > 0 {
		rows = append(l.rest, p...)
	}
	for {
		row, after, ended := bytes.Cut(rows, []byte{'\n'})
		if !ended {
			l.rest = append(l.rest[:0], rows...)
			return len(p), nil
		}
		rows = after
		if l.look(row) {
			return len(p), errFound
		}
	}
}

var errFound = errors.New("a masked value was found")

func (l *looking) look(row []byte) bool {
	for i := 0; ; i++ {
		value, rest, more := bytes.Cut(row, []byte{'\t'})
		if i < len(l.kinds) && l.kinds[i] == "words" {
			l.title = l.FindWords(value)
		} else {
			l.title = l.Find(value)
		}
		if l.title != "" {
			l.column = i
			return true
		}
		if row = rest; !more {
			return false
		}
	}
}
