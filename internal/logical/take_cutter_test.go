package logical

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/envdb/envdb"
)

// stream is a COPY stream made by hand, and the rows in it.
type stream struct {
	format string
	bytes  []byte
	rows   [][]byte // as they are in a chunk
}

func textStream(rows [][]byte) stream {
	s := stream{format: formatText}
	for _, r := range rows {
		s.rows = append(s.rows, append(bytes.Clone(r), '\n'))
		s.bytes = append(s.bytes, s.rows[len(s.rows)-1]...)
	}
	return s
}

func binaryStream(rows [][]byte) stream {
	s := stream{format: formatBinary, bytes: append([]byte(binarySignature), 0, 0, 0, 0, 0, 0, 0, 3, 'e', 'x', 't')}
	for i, r := range rows {
		row := []byte{0, 2}
		if i%3 == 0 {
			row = binary.BigEndian.AppendUint32(row, 0xffffffff) // NULL
		} else {
			row = binary.BigEndian.AppendUint32(row, 4)
			row = binary.BigEndian.AppendUint32(row, uint32(i))
		}
		row = append(binary.BigEndian.AppendUint32(row, uint32(len(r))), r...)
		s.rows = append(s.rows, row)
		s.bytes = append(s.bytes, row...)
	}
	s.bytes = append(s.bytes, 0xff, 0xff)
	return s
}

// cutUp sends the stream in writes of random sizes, at most n.
func cutUp(t *testing.T, s stream, n int) []piece {
	t.Helper()
	var pieces []piece
	var c cutter
	c.reset(s.format, wideCuts(), func(p piece) error {
		p.data = bytes.Clone(p.data)
		pieces = append(pieces, p)
		return nil
	})
	for rest := s.bytes; len(rest) > 0; {
		size := min(1+rand.IntN(n), len(rest))
		c.add(rest[:size])
		if err := c.advance(); err != nil {
			t.Fatal(err)
		}
		rest = rest[size:]
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
	return pieces
}

func someRows(n, size int) [][]byte {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = []byte(fmt.Sprintf("%d\t%0*d", i, 1+random.IntN(2*size), random.Uint64()))
	}
	return rows
}

func TestCutterKeepsEveryRowInOrder(t *testing.T) {
	t.Parallel()
	rows := someRows(20000, 1000)
	for _, s := range []stream{textStream(rows), binaryStream(rows), textStream(nil), binaryStream(nil)} {
		for _, n := range []int{100, 8 << 10, 1 << 20} {
			pieces := cutUp(t, s, n)
			var got []byte
			var count int64
			var sum, want envdb.Fingerprint
			for i, p := range pieces {
				if i < len(pieces)-1 && len(p.data) < wideCuts().min || len(p.data) > wideCuts().max {
					t.Errorf("%s: chunk %d of %d has %d bytes", s.format, i, len(pieces), len(p.data))
				}
				got = append(got, p.data...)
				count += p.rows
				sum = sum.Add(p.fingerprint)
			}
			for _, row := range s.rows {
				want = want.Add(HashRow(newFraming(s.format).hashed(row)))
			}
			if !bytes.Equal(got, bytes.Join(s.rows, nil)) || count != int64(len(s.rows)) || sum != want {
				t.Errorf("%s in writes of %d: %d rows in %d bytes, want %d", s.format, n, count, len(got), len(s.rows))
			}
		}
	}
}

// A row that is put in, changed or taken out must not move the cuts far from it.
func TestCutsSurviveInsertions(t *testing.T) {
	t.Parallel()
	rows := someRows(40000, 1000)
	before := cutUp(t, textStream(rows), 1<<16)
	changed := append(append(append([][]byte{}, rows[:1000]...), []byte("a row between")), rows[1000:]...)
	known := make(map[[32]byte]bool)
	for _, p := range before {
		known[sha256.Sum256(p.data)] = true
	}
	fresh := 0
	for _, p := range cutUp(t, textStream(changed), 1<<16) {
		if !known[sha256.Sum256(p.data)] {
			fresh++
		}
	}
	if fresh > 2 || len(before) < 4 {
		t.Errorf("%d of %d chunks are new after one row was inserted", fresh, len(before))
	}
}

// cutTable cuts a table of n rows of 1 KB, of which those in changed are other
// than they were, and returns the sizes of its chunks by their hashes.
func cutTable(t *testing.T, cut cuts, n int, changed blockRange) map[[32]byte]int {
	t.Helper()
	chunks := make(map[[32]byte]int)
	var c cutter
	c.reset(formatText, cut, func(p piece) error {
		chunks[sha256.Sum256(p.data)] = len(p.data)
		return nil
	})
	row := bytes.Repeat([]byte("x"), 1024)
	row[len(row)-1] = '\n'
	for i := range int64(n) {
		version := 0
		if changed.from <= i && i < changed.to {
			version = 1
		}
		copy(row, fmt.Appendf(nil, "%08d\t%d\t", i, version))
		c.add(row)
		if err := c.advance(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
	return chunks
}

// A backup after a change of 1 % in one place stores at most 3 % of the table:
// of one of 256 MiB, and of the smallest that is cut into wide chunks.
func TestChangeInOnePlaceStoresLittle(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]struct {
		cut  cuts
		rows int
	}{"narrow": {cutsFor(256 << 20), 256 << 10}, "wide": {cutsFor(narrowBelow), narrowBelow >> 10 / 8}} {
		if name == "wide" { // at an eighth of the scale
			table.cut = cuts{min: table.cut.min / 8, spread: table.cut.spread / 8, max: table.cut.max / 8}
		}
		first := int64(table.rows) / 3
		before := cutTable(t, table.cut, table.rows, blockRange{})
		fresh := 0
		for sum, size := range cutTable(t, table.cut, table.rows, blockRange{first, first + int64(table.rows)/100}) {
			if _, known := before[sum]; !known {
				fresh += size
			}
		}
		if share := float64(fresh) / float64(table.rows<<10); share > 0.03 || share < 0.01 {
			t.Errorf("%s: %.2f %% of the table is stored anew", name, 100*share)
		}
		t.Logf("%s: %d chunks, %d bytes anew", name, len(before), fresh)
	}
}

func TestLargeRowIsAChunkOfItsOwnAndIsReported(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), rowNotable+1)
	s := textStream([][]byte{[]byte("before"), large, []byte("behind")})
	var sizes, notable []int
	c := cutter{notable: func(size int) { notable = append(notable, size) }}
	c.reset(s.format, wideCuts(), func(p piece) error { sizes = append(sizes, len(p.data)); return nil })
	c.add(s.bytes)
	if err := c.advance(); err != nil {
		t.Fatal(err)
	}
	if err := c.finish(); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 3 || sizes[1] != len(large)+1 || len(notable) != 1 {
		t.Errorf("chunks of %v bytes, reported %v", sizes, notable)
	}
	if cap(c.buf) > 2*wideCuts().max {
		t.Errorf("the cutter keeps %d bytes", cap(c.buf))
	}
}

func TestCutterRefusesABrokenStream(t *testing.T) {
	t.Parallel()
	whole := binaryStream(someRows(3, 10)).bytes
	text := []byte("a\tb\nhalf a ro")
	cases := map[string]struct {
		format string
		bytes  []byte
	}{
		"binary without trailer":   {formatBinary, whole[:len(whole)-2]},
		"binary that breaks off":   {formatBinary, whole[:len(whole)-9]},
		"binary of a header only":  {formatBinary, whole[:12]},
		"no binary at all":         {formatBinary, bytes.Repeat([]byte("text\n"), 10)},
		"binary with unknown flag": {formatBinary, append([]byte(binarySignature+"\x00\x01\x00\x00\x00\x00\x00\x00"), 0xff, 0xff)},
		"data behind the trailer":  {formatBinary, append(bytes.Clone(whole), 'x')},
		"field of negative length": {formatBinary, append([]byte(binarySignature+"\x00\x00\x00\x00\x00\x00\x00\x00"), 0, 1, 0xff, 0xff, 0xff, 0xf0)},
		"row of negative count":    {formatBinary, append([]byte(binarySignature+"\x00\x00\x00\x00\x00\x00\x00\x00"), 0xff, 0xf0)},
		"text that breaks off":     {formatText, text},
		"nothing where binary was": {formatBinary, nil},
	}
	for name, broken := range cases {
		var c cutter
		c.reset(broken.format, wideCuts(), func(piece) error { return nil })
		c.add(broken.bytes)
		err := c.advance()
		if err == nil {
			err = c.finish()
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRangesCoverATableOnceAndStayAsItGrows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ blocks, bytes int64 }{
		{0, 0}, {1, 1 << 40}, {100, 1 << 20}, {13, 4200 << 20}, {100_000, 800 << 20}, {1 << 22, 1 << 35}, {10_000, 10_000 << 13}, {7, 65 << 20},
	} {
		ranges := split(c.blocks, c.bytes)
		next := int64(0)
		for i, r := range ranges {
			if r.from != next || (r.to == 0) != (i == len(ranges)-1) {
				t.Fatalf("%v: range %d is %v", c, i, r)
			}
			next = r.to
			if held := (r.to - r.from) * c.bytes / max(c.blocks, 1); r.to != 0 && r.to-r.from > 1 && (held > rangeBytes || held < rangeBytes/2) {
				t.Errorf("%v: range %d holds %d bytes", c, i, held)
			}
		}
		grown := split(c.blocks*3, c.bytes*3)
		for i := range len(ranges) - 1 {
			if grown[i] != ranges[i] {
				t.Errorf("%v: range %d is %v, and %v in a table three times as large", c, i, ranges[i], grown[i])
			}
		}
	}
}

// A table is read in ranges where the other workers would else have nothing to
// do; what can be shared out as it is, is read from end to end.
func TestOnlyTheLargestIsSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		sizes   []int64
		workers int
		split   []bool
	}{
		{"one table", []int64{2000}, 2, []bool{true}},
		{"one worker", []int64{2000, 10}, 1, []bool{false, false}},
		{"a shop", []int64{1500, 400, 400}, 2, []bool{false, false, false}},
		{"one giant", []int64{9000, 400, 400}, 2, []bool{true, false, false}},
		{"equals", []int64{500, 500, 500, 500}, 4, []bool{false, false, false, false}},
		{"more workers than tables", []int64{500, 500}, 8, []bool{true, true}},
		{"nothing at all", []int64{0, 0}, 4, []bool{true, true}},
	} {
		var total int64
		for _, size := range c.sizes {
			total += size
		}
		from := splitFrom(total, c.workers)
		for i, size := range c.sizes {
			if got := size >= from; got != c.split[i] {
				t.Errorf("%s: a table of %d is split: %v", c.name, size, got)
			}
		}
	}
}
