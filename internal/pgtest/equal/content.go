package equal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// relationsQuery lists what has rows: tables by themselves (ONLY), and the
// topmost hash-partitioned table over an enum in place of all below it.
const relationsQuery = `
WITH RECURSIVE enums AS (
    SELECT oid FROM pg_catalog.pg_type WHERE typtype = 'e'
  UNION
    SELECT t.oid FROM enums AS e
    JOIN pg_catalog.pg_type AS t ON e.oid IN (t.typelem, t.typbasetype)
        OR e.oid IN (SELECT atttypid FROM pg_catalog.pg_attribute WHERE attrelid = t.typrelid AND attnum > 0)
), shaky AS (
    SELECT p.partrelid AS oid FROM pg_catalog.pg_partitioned_table AS p
    WHERE p.partstrat = 'h' AND EXISTS (
        SELECT FROM pg_catalog.pg_attribute AS a
        WHERE a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs::int2[]) AND a.atttypid IN (SELECT oid FROM enums))
), below AS (
    SELECT i.inhrelid AS oid FROM pg_catalog.pg_inherits AS i JOIN shaky ON i.inhparent = shaky.oid
  UNION
    SELECT i.inhrelid FROM pg_catalog.pg_inherits AS i JOIN below ON i.inhparent = below.oid
)
SELECT format('%I.%I', n.nspname, c.relname),
       CASE WHEN c.relkind = 'p' THEN format('%I.%I', n.nspname, c.relname) ELSE format('ONLY %I.%I', n.nspname, c.relname) END
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND c.relpersistence <> 't' AND c.oid NOT IN (SELECT oid FROM below)
  AND (c.relkind = 'r' OR c.oid IN (SELECT oid FROM shaky))`

// tables compares the rows of every table.
func tables(ctx context.Context, a, b side) ([]string, error) {
	return compareRelations(ctx, "table", relationsQuery, a, b)
}

const matviewsQuery = `
SELECT format('%I.%I', n.nspname, c.relname), CASE WHEN c.relispopulated THEN format('%I.%I', n.nspname, c.relname) ELSE '' END
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'm'`

// materializedViews compares the rows of every materialised view; one that is
// not populated has nothing to read.
func materializedViews(ctx context.Context, a, b side) ([]string, error) {
	return compareRelations(ctx, "materialised view", matviewsQuery, a, b)
}

// compareRelations compares the rows of the relations that query lists as name
// and expression to read from, "" for one that cannot be read.
func compareRelations(ctx context.Context, kind, query string, a, b side) ([]string, error) {
	left, err := pairs(ctx, a.conn, query)
	if err != nil {
		return nil, err
	}
	right, err := pairs(ctx, b.conn, query)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range slices.Sorted(maps.Keys(left)) {
		from, both := right[name]
		switch {
		case !both:
			found = append(found, fmt.Sprintf("%s only in a: %s", kind, name))
		case from == "" && left[name] == "":
		case from == "":
			found = append(found, fmt.Sprintf("%s %s: populated only in a", kind, name))
		case left[name] == "":
			found = append(found, fmt.Sprintf("%s %s: populated only in b", kind, name))
		default:
			difference, err := compareRows(ctx, left[name], from, a, b)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if difference != "" {
				found = append(found, fmt.Sprintf("%s %s: %s", kind, name, difference))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(right)) {
		if _, both := left[name]; !both {
			found = append(found, fmt.Sprintf("%s only in b: %s", kind, name))
		}
	}
	return found, nil
}

// compareRows returns how the rows differ as multisets, or "".
func compareRows(ctx context.Context, fromA, fromB string, a, b side) (string, error) {
	left, err := read(ctx, a.conn, fromA)
	if err != nil {
		return "", err
	}
	right, err := read(ctx, b.conn, fromB)
	if err != nil {
		return "", err
	}
	onlyA, exampleA := left.less(right)
	onlyB, exampleB := right.less(left)
	if onlyA == 0 && onlyB == 0 {
		return "", nil
	}
	text := fmt.Sprintf("%d rows in a, %d in b; %d only in a, %d only in b", left.total, right.total, onlyA, onlyB)
	if onlyA > 0 {
		text += "\n\t- " + exampleA
	}
	if onlyB > 0 {
		text += "\n\t+ " + exampleB
	}
	return text, nil
}

// rows is a multiset of rows as COPY prints them.
type rows struct {
	total int
	count map[[sha256.Size]byte]int
	shown map[[sha256.Size]byte]string // the beginning of each row, of a few
	rest  []byte                       // a row whose end has not been read yet
}

// shownRows and shownBytes bound what is kept to show a difference with.
const (
	shownRows  = 100_000
	shownBytes = 120
)

// read returns the rows of a relation.
func read(ctx context.Context, conn *pgx.Conn, from string) (*rows, error) {
	r := &rows{count: map[[sha256.Size]byte]int{}, shown: map[[sha256.Size]byte]string{}}
	if _, err := conn.PgConn().CopyTo(ctx, r, "COPY (SELECT * FROM "+from+") TO STDOUT"); err != nil {
		return nil, err
	}
	return r, nil
}

// Write takes the output of COPY in the text format, in which a newline ends a
// row and is part of none.
func (r *rows) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if !ended {
			r.rest = append(r.rest, p...)
			return n, nil
		}
		r.add(append(r.rest, line...))
		r.rest, p = r.rest[:0], rest
	}
}

func (r *rows) add(row []byte) {
	key := sha256.Sum256(row)
	r.total++
	if r.count[key]++; r.count[key] == 1 && len(r.shown) < shownRows {
		r.shown[key] = shorten(string(row))
	}
}

// less returns how many rows r has that other has not, and an example.
func (r *rows) less(other *rows) (int, string) {
	missing, example := 0, "(not kept)"
	for key, n := range r.count {
		if more := n - other.count[key]; more > 0 {
			missing += more
			if text, kept := r.shown[key]; kept && (example == "(not kept)" || text < example) {
				example = text
			}
		}
	}
	return missing, example
}

func shorten(text string) string {
	if len(text) <= shownBytes {
		return text
	}
	return strings.ToValidUTF8(text[:shownBytes], "") + "…"
}

// sequences compares the state of every sequence.
func sequences(ctx context.Context, a, b side) ([]string, error) {
	left, err := sequenceStates(ctx, a.conn)
	if err != nil {
		return nil, err
	}
	right, err := sequenceStates(ctx, b.conn)
	if err != nil {
		return nil, err
	}
	return compareMaps(left, right), nil
}

// sequenceStates reads the sequences themselves: pg_sequences hides is_called.
func sequenceStates(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	names, err := pairs(ctx, conn, `SELECT c.oid::regclass::text, ''
		FROM pg_catalog.pg_class AS c WHERE c.relkind = 'S' AND c.relpersistence <> 't'`)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	for name := range names {
		var last int64
		var called bool
		if err := conn.QueryRow(ctx, "SELECT last_value, is_called FROM "+name).Scan(&last, &called); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		states["sequence "+name] = fmt.Sprintf("last_value %d, is_called %t", last, called)
	}
	return states, nil
}
