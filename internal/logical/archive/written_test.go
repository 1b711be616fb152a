package archive_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/envdb/envdb/internal/logical/archive"
)

// written makes archives of versions whose pg_dump is not at hand.
type written struct {
	bytes.Buffer
	minor byte
}

func (w *written) int(n int) {
	sign := byte(0)
	if n < 0 {
		sign, n = 1, -n
	}
	w.WriteByte(sign)
	w.Write(binary.LittleEndian.AppendUint32(nil, uint32(n)))
}

func (w *written) text(s string) {
	w.int(len(s))
	w.WriteString(s)
}

func (w *written) header() {
	w.WriteString("PGDMP")
	w.Write([]byte{1, w.minor, 0, 4, 8, 1})
	if w.minor >= 15 {
		w.WriteByte(1)
	} else {
		w.int(-1)
	}
	for n := range 7 {
		w.int(n)
	}
	w.text("shop")
	w.text("17.2")
	w.text("17.2")
}

func (w *written) entry(id int, kind, tag, definition, drop, schema, accessMethod string, relKind byte, depends ...int) {
	w.int(id)
	w.int(0)
	w.text("1259")
	w.text(fmt.Sprint(16384 + id))
	w.text(tag)
	w.text(kind)
	w.int(int(archive.SectionPreData))
	w.text(definition)
	w.text(drop)
	w.int(-1)
	w.text(schema)
	w.text("")
	w.text(accessMethod)
	if w.minor >= 16 {
		w.int(int(relKind))
	}
	w.text("own er")
	w.text("false")
	for _, d := range depends {
		w.text(fmt.Sprint(d))
	}
	w.int(-1)
	w.WriteByte(3)
	w.Write(make([]byte, 8))
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, minor := range []byte{14, 15, 16} {
		t.Run(fmt.Sprintf("1.%d", minor), func(t *testing.T) {
			t.Parallel()
			w := &written{minor: minor}
			w.header()
			w.int(2)
			w.entry(7, "TABLE", "or ders", "CREATE TABLE …;\n", "DROP TABLE …;\n", "shop", "columnar", 'p')
			w.entry(9, "FUNCTION", "f(integer)", "CREATE FUNCTION …;\n", "DROP FUNCTION shop.f(a integer);\n", "shop", "", 0, 7, 7, 3)
			a, err := archive.Read(w)
			if err != nil {
				t.Fatal(err)
			}
			table, function := a.Entries[0], a.Entries[1]
			wantSQL := "CREATE TABLE …;\n"
			wantMethod := "columnar"
			if minor >= 16 {
				wantSQL += `ALTER TABLE "shop"."or ders" SET ACCESS METHOD "columnar";` + "\n"
				wantMethod = ""
			}
			if table.SQL() != wantSQL || table.DefaultAccessMethod() != wantMethod {
				t.Errorf("got %q and %q, want %q and %q", table.SQL(), table.DefaultAccessMethod(), wantSQL, wantMethod)
			}
			if got, want := table.OwnerSQL(table.Owner), `ALTER TABLE "shop"."or ders" OWNER TO "own er";`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got, want := function.OwnerSQL("o"), `ALTER FUNCTION shop.f(a integer) OWNER TO "o";`; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := fmt.Sprint(function.DependsOn); got != "[7 3]" {
				t.Errorf("depends on %s", got)
			}
			if got := function.String(); got != "FUNCTION shop.f(integer)" {
				t.Errorf("got %q", got)
			}
		})
	}
}
