package generate

import (
	"io"
	"math/rand/v2"

	"github.com/envdb/envdb/seed/fake"
)

// Rows streams the rows of a block in the text format of COPY.
type Rows struct {
	rows    int64
	columns []columnMaker
	keys    []keyPicker
	row     row
	out     []byte // what was made and not yet read
	read    int
}

type columnMaker struct {
	maker
	random *rand.Rand
	null   float64
}

// keyPicker picks the row that one or more columns refer to.
type keyPicker struct {
	*Keys
	random *rand.Rand
	size   int64
}

// Stream returns the stream of the block's rows, its columns in their order.
func (b *Block) Stream(around Surroundings) (*Rows, error) {
	s := &Rows{rows: b.Rows, row: row{ends: make([]int, len(b.Columns)), null: make([]bool, len(b.Columns))}}
	picks := map[*Keys]int{}
	for _, c := range b.Columns {
		made, err := c.kind.maker(c, b, around)
		if err != nil {
			return nil, err
		}
		if f, isReference := made.(referrer); isReference {
			if f.pick, err = s.picker(c, b, around, f.parent.Keys, picks); err != nil {
				return nil, err
			}
			made = f
		}
		s.columns = append(s.columns, columnMaker{made, random(around.Seed, b.Table, c.Name), c.Null})
	}
	s.row.picks = make([]int64, len(s.keys))
	return s, nil
}

func random(seed ...string) *rand.Rand { return rand.New(rand.NewPCG(fake.Seed(seed...))) }

// picker returns which of the picks is that of the keys.
func (s *Rows) picker(c Column, b *Block, around Surroundings, keys *Keys, known map[*Keys]int) (int, error) {
	if i, found := known[keys]; found {
		return i, nil
	}
	if !keys.Own && keys.size() == 0 && b.Rows > 0 && c.Null < 1 {
		return 0, c.fail("refers to %s, which has no rows", c.References).
			WithNext("load or generate rows of %s, in a file of any place", c.References)
	}
	known[keys] = len(s.keys)
	s.keys = append(s.keys, keyPicker{keys, random(around.Seed, b.Table, c.Name, "keys"), keys.size()})
	return known[keys], nil
}

// enough is how much is made ahead of what is read.
const enough = 64 << 10

// Read implements io.Reader.
func (s *Rows) Read(p []byte) (int, error) {
	if s.read == len(s.out) {
		s.out, s.read = s.out[:0], 0
		for len(s.out) < enough && s.row.number < s.rows {
			s.make()
			s.row.number++
		}
		if len(s.out) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, s.out[s.read:])
	s.read += n
	return n, nil
}

// Made returns how many rows were made so far.
func (s *Rows) Made() int64 { return s.row.number }

// make makes the next row.
func (s *Rows) make() {
	r := &s.row
	for i, k := range s.keys {
		r.picks[i] = k.pick(r.number)
	}
	r.text = r.text[:0]
	for i, c := range s.columns {
		null := c.null > 0 && c.random.Float64() < c.null
		if !null {
			var ok bool
			r.text, ok = c.append(r.text, r, c.random)
			null = !ok
		}
		r.ends[i], r.null[i] = len(r.text), null
	}
	for i := range s.columns {
		if i > 0 {
			s.out = append(s.out, '\t')
		}
		if r.null[i] {
			s.out = append(s.out, '\\', 'N')
			continue
		}
		s.out = appendEscaped(s.out, r.value(i))
	}
	s.out = append(s.out, '\n')
}

// pick returns the row that is referred to.
func (k *keyPicker) pick(number int64) int64 {
	switch {
	case k.Own && number == 0:
		return -1
	case k.Own:
		return k.random.Int64N(number)
	case k.size == 0:
		return -1
	}
	return k.random.Int64N(k.size)
}

// special are the bytes that COPY's text format escapes.
var special = [256]byte{'\\': '\\', '\t': 't', '\n': 'n', '\r': 'r', '\b': 'b', '\f': 'f', '\v': 'v'}

// appendEscaped appends a value as COPY's text format has it.
func appendEscaped(b, value []byte) []byte {
	begin := 0
	for i, c := range value {
		if special[c] != 0 {
			b = append(b, value[begin:i]...)
			b = append(b, '\\', special[c])
			begin = i + 1
		}
	}
	return append(b, value[begin:]...)
}
