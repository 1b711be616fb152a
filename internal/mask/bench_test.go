package mask_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/envdb/envdb/internal/mask"
)

// BenchmarkReader masks five columns of rows in COPY's binary format.
func BenchmarkReader(b *testing.B) {
	k, err := mask.NewKey(secret)
	if err != nil {
		b.Fatal(err)
	}
	shape := mask.Shape{Name: public("people"), Holds: true}
	rules := mask.TableRules{Name: shape.Name}
	var names []string
	for _, c := range []struct{ name, typeName, rule string }{
		{"id", "bigint", mask.Keep}, {"email", "text", mask.Email}, {"name", "text", mask.FullName}, {"phone", "character varying(20)", mask.Phone},
		{"street", "text", mask.Address}, {"born", "date", mask.ShiftDate}, {"note", "text", mask.Keep},
	} {
		names = append(names, c.name)
		shape.Columns = append(shape.Columns, mask.ShapeColumn{Name: c.name, Type: c.typeName})
		rules.Columns = append(rules.Columns, mask.ColumnRule{Column: c.name, Rule: named(c.rule)})
	}
	const rows = 10_000
	var in []byte
	for i := range rows {
		in = append(in, 0, byte(len(names)))
		for _, value := range [][]byte{
			binary.BigEndian.AppendUint64(nil, uint64(i)), fmt.Appendf(nil, "user%d@corp.example", i), fmt.Appendf(nil, "Some Body %d", i),
			fmt.Appendf(nil, "+49 170 %07d", i), fmt.Appendf(nil, "%d Real Road", i), binary.BigEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte("x"), 80),
		} {
			in = append(binary.BigEndian.AppendUint32(in, uint32(len(value))), value...)
		}
	}
	plan, _ := mask.Match(&mask.Rules{Tables: []mask.TableRules{rules}}, []mask.Shape{shape}, false, 0)
	samples := mask.NewSamples()
	m := plan.Table(shape.Name).Masker(k, names, true, rows, samples)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.Copy(io.Discard, m.Reader(bytes.NewReader(in), 0, rows)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
