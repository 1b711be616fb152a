package logical

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/postgres"
)

// chunkKeys are the keys of a chunk's rows: for every column of the key its values
// as a parameter of a query, of all rows and of the first and the last.
type chunkKeys struct{ all, ends [][]byte }

// keysIn takes the keys out of a chunk.
func (t TableChunks) keysIn(data []byte) (chunkKeys, error) {
	places := make([]int, len(t.key.Columns))
	arrays := make([]binaryArray, len(t.key.Columns))
	for i, column := range t.key.Columns {
		if places[i] = slices.IndexFunc(t.Table.Columns, func(c Column) bool { return c.Name == column }); places[i] < 0 {
			return chunkKeys{}, fmt.Errorf("look up rows of %s: the backup has no column %s", t.Table.title(), postgres.Quote(column))
		}
		arrays[i].of = t.key.Types[i]
		if t.Table.Format == formatText {
			arrays[i].of = pgtype.TextOID
		}
	}
	frames := newFraming(t.Table.Format)
	var fields [][]byte
	for len(data) > 0 {
		n, _, err := frames.next(data)
		if err != nil {
			return chunkKeys{}, err
		}
		if n == 0 {
			return chunkKeys{}, fmt.Errorf("look up rows of %s: a chunk ends within a row", t.Table.title())
		}
		row := frames.hashed(data[:n])
		data = data[n:]
		if t.Table.Format == formatText {
			fields = textFields(fields[:0], row)
		} else {
			fields = binaryFields(fields[:0], row)
		}
		for i, place := range places {
			if place >= len(fields) {
				return chunkKeys{}, fmt.Errorf("look up rows of %s: a row has %d fields", t.Table.title(), len(fields))
			}
			arrays[i].add(fields[place])
		}
	}
	var keys chunkKeys
	for _, a := range arrays {
		keys.all = append(keys.all, a.encode())
		keys.ends = append(keys.ends, a.ends().encode())
	}
	return keys, nil
}

// binaryArray is an array without NULLs in PostgreSQL's binary format
// (array_send).
type binaryArray struct {
	of    uint32
	count uint32
	body  []byte
	last  int // where the last value begins in the body
}

func (a *binaryArray) add(value []byte) {
	a.last = len(a.body)
	a.body = binary.BigEndian.AppendUint32(a.body, uint32(len(value)))
	a.body = append(a.body, value...)
	a.count++
}

// ends returns the array of the first and the last value.
func (a *binaryArray) ends() *binaryArray {
	ends := &binaryArray{of: a.of}
	if a.count > 0 {
		first := binary.BigEndian.Uint32(a.body)
		ends.add(a.body[4 : 4+first])
		ends.add(a.body[a.last+4:])
	}
	return ends
}

func (a *binaryArray) encode() []byte {
	head := make([]byte, 0, 20+len(a.body))
	for _, n := range []uint32{1, 0, a.of, a.count, 1} { // dimensions, no NULL, type, length, lower bound
		head = binary.BigEndian.AppendUint32(head, n)
	}
	return append(head, a.body...)
}

// binaryFields splits a row of COPY's binary format. NULL is nil.
func binaryFields(fields [][]byte, row []byte) [][]byte {
	for row = row[2:]; len(row) > 0; {
		size := int(int32(binary.BigEndian.Uint32(row)))
		row = row[4:]
		if size < 0 {
			fields = append(fields, nil)
			continue
		}
		fields = append(fields, row[:size])
		row = row[size:]
	}
	return fields
}

// textFields splits a line of COPY's text format. NULL is nil.
func textFields(fields [][]byte, line []byte) [][]byte {
	for field := range bytes.SplitSeq(line, []byte{'\t'}) {
		if string(field) == `\N` {
			fields = append(fields, nil)
			continue
		}
		fields = append(fields, unescaped(field))
	}
	return fields
}

// escapes are those that COPY TO writes (CopyAttributeOutText).
var escapes = strings.NewReplacer("\\", `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\v", `\v`)

func unescaped(field []byte) []byte {
	if bytes.IndexByte(field, '\\') < 0 {
		return field
	}
	out := make([]byte, 0, len(field))
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c == '\\' && i+1 < len(field) {
			i++
			if at := strings.IndexByte("bfnrtv", field[i]); at >= 0 {
				c = "\b\f\n\r\t\v"[at]
			} else {
				c = field[i]
			}
		}
		out = append(out, c)
	}
	return out
}

// foundRows is what the rows that were found sum up to.
type foundRows struct {
	rows        int64
	fingerprint envdb.Fingerprint
}

// ask fetches the rows that have the keys.
func (t TableChunks) ask(ctx context.Context, conn *pgx.Conn, keys [][]byte) (foundRows, error) {
	return t.askWith(ctx, conn, t.lookUpSQL(), keys)
}

// askWith runs a query whose first parameters are keys, and whose others are texts.
func (t TableChunks) askWith(ctx context.Context, conn *pgx.Conn, sql string, keys [][]byte, texts ...[]byte) (foundRows, error) {
	format := int16(pgx.BinaryFormatCode)
	if t.Table.Format == formatText {
		format = pgx.TextFormatCode
	}
	formats := slices.Repeat([]int16{pgx.BinaryFormatCode}, len(keys))
	for range texts {
		formats = append(formats, pgx.TextFormatCode)
	}
	var found foundRows
	reader := conn.PgConn().ExecParams(ctx, sql, slices.Concat(keys, texts), nil, formats, []int16{format})
	var row []byte
	for reader.NextRow() {
		row = appendRow(row[:0], t.Table.Format, reader.Values())
		found.rows++
		found.fingerprint = found.fingerprint.Add(HashRow(row))
	}
	_, err := reader.Close()
	return found, err
}

// lookUpSQL returns the query of the rows with given keys.
func (t TableChunks) lookUpSQL() string {
	columns := make([]string, len(t.Table.Columns))
	for i, c := range t.Table.Columns {
		columns[i] = "t." + postgres.Quote(c.Name)
	}
	return t.joined(strings.Join(columns, ", "))
}

// joined returns the query of something of the rows with given keys.
func (t TableChunks) joined(of string) string {
	var arrays, aliases, matches []string
	for i, column := range t.key.Columns {
		value := fmt.Sprintf("k.k%d", i)
		array := t.key.TypeNames[i] + "[]"
		if t.Table.Format == formatText {
			array, value = "text[]", fmt.Sprintf("(%s)::%s", value, t.key.TypeNames[i])
		}
		arrays = append(arrays, fmt.Sprintf("pg_catalog.unnest($%d::%s)", i+1, array))
		aliases = append(aliases, fmt.Sprintf("k%d", i))
		matches = append(matches, fmt.Sprintf("t.%s OPERATOR(%s) %s", postgres.Quote(column), t.key.Equality[i], value))
	}
	from := "ONLY " + t.Table.sql()
	if t.key.Partitioned {
		from = t.Table.sql()
	}
	return fmt.Sprintf("SELECT %s FROM ROWS FROM (%s) AS k(%s) JOIN %s AS t ON %s", of, strings.Join(arrays, ", "), strings.Join(aliases, ", "), from, strings.Join(matches, " AND "))
}

// askWhereTheyLie reports whether the rows of a chunk are there, all of them and as
// they were. COPY put them down one after the other, so that they are read in one
// go between the places of the first and the last; looked up one by one they cost
// five times as much. If they are not found like that nothing is said yet: others
// may lie between them, or somebody changed one.
func (t TableChunks) askWhereTheyLie(ctx context.Context, conn *pgx.Conn, keys chunkKeys, ref backup.Ref) (there bool, err error) {
	if t.key.Partitioned {
		return false, nil
	}
	// A row may be a little more than twice as large in its page as in COPY's format.
	most := 3*ref.Size/pageBytes + 64
	const places = `SELECT min(ctid)::text, max(ctid)::text, coalesce(((max(ctid)::text)::point)[0] - ((min(ctid)::text)::point)[0] > $%d::bigint, true) FROM (%s) AS places`
	sql := fmt.Sprintf(places, len(keys.all)+1, t.joined("t.ctid"))
	formats := append(slices.Repeat([]int16{pgx.BinaryFormatCode}, len(keys.all)), pgx.TextFormatCode)
	result := conn.PgConn().ExecParams(ctx, sql, append(slices.Clone(keys.ends), []byte(strconv.FormatInt(most, 10))), nil, formats, nil).Read()
	if result.Err != nil {
		return false, result.Err
	}
	if len(result.Rows) != 1 || string(result.Rows[0][2]) != "f" {
		return false, nil
	}
	n := len(keys.all)
	sql = t.lookUpSQL() + fmt.Sprintf(" AND t.ctid >= $%d::tid AND t.ctid <= $%d::tid", n+1, n+2)
	found, err := t.askWith(ctx, conn, sql, keys.all, result.Rows[0][0], result.Rows[0][1])
	return found == foundRows{ref.Rows, ref.Fingerprint}, err
}

// pageBytes is the size of PostgreSQL's pages, unless it was built otherwise.
const pageBytes = 8 << 10

// appendRow appends a row as HashRow takes it, from the fields of a result.
func appendRow(row []byte, format string, fields [][]byte) []byte {
	if format == formatText {
		for i, field := range fields {
			if i > 0 {
				row = append(row, '\t')
			}
			if field == nil {
				row = append(row, `\N`...)
			} else {
				row = append(row, escapes.Replace(string(field))...)
			}
		}
		return row
	}
	row = binary.BigEndian.AppendUint16(row, uint16(len(fields)))
	for _, field := range fields {
		if field == nil {
			row = binary.BigEndian.AppendUint32(row, ^uint32(0))
			continue
		}
		row = binary.BigEndian.AppendUint32(row, uint32(len(field)))
		row = append(row, field...)
	}
	return row
}
