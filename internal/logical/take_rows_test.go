package logical_test

import (
	"encoding/binary"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
)

// binaryRows splits a part in binary format into rows of fields. It is not the
// code under test: it walks from front to back and trusts nothing.
func binaryRows(t *testing.T, data []byte) [][][]byte {
	t.Helper()
	var rows [][][]byte
	for len(data) > 0 {
		if len(data) < 2 {
			t.Fatalf("%d bytes are left behind the last row", len(data))
		}
		fields := make([][]byte, int16(binary.BigEndian.Uint16(data)))
		data = data[2:]
		for i := range fields {
			size := int32(binary.BigEndian.Uint32(data))
			data = data[4:]
			if size >= 0 {
				fields[i], data = data[:size], data[size:]
			}
		}
		rows = append(rows, fields)
	}
	return rows
}

// sumOfColumn adds up an int8 column of a table in binary format.
func sumOfColumn(t *testing.T, m *memory, table logical.Table, column int) (sum int64) {
	t.Helper()
	for _, row := range binaryRows(t, m.content(t, table.Part)) {
		sum += int64(binary.BigEndian.Uint64(row[column]))
	}
	return sum
}

// checkChunks holds the chunks of every table against what they say of
// themselves and what the catalogue says of the table.
func checkChunks(t *testing.T, m *memory, c *logical.Catalogue) {
	t.Helper()
	for _, table := range c.Tables {
		var rows, size int64
		var sum envdb.Fingerprint
		for _, ref := range m.Chunks(table.Part) {
			data, err := m.Fetch(t.Context(), ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ref.Rows == 0 || len(data) == 0 {
				t.Errorf("%s has an empty chunk", table.Part)
			}
			rows, size, sum = rows+ref.Rows, size+ref.Size, sum.Add(ref.Fingerprint)
		}
		if rows != table.Rows || size != table.Bytes || sum != table.Fingerprint {
			t.Errorf("%s: chunks have %d rows, %d bytes, %s; the catalogue has %d, %d, %s",
				table.Part, rows, size, sum, table.Rows, table.Bytes, table.Fingerprint)
		}
	}
}
