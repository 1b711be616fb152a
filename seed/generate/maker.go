package generate

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb/seed/fake"
	"github.com/envdb/envdb/seed/fixture"
)

// row is the row that is being made.
type row struct {
	number int64 // from 0
	// text holds the values so far; ends says where each ends.
	text []byte
	ends []int
	null []bool
	// picks is the row that each set of keys picked, -1 for none.
	picks []int64
}

// value returns a column's value, as it stands before COPY's escapes.
func (r *row) value(column int) []byte {
	begin := 0
	if column > 0 {
		begin = r.ends[column-1]
	}
	return r.text[begin:r.ends[column]]
}

// maker makes the values of a column.
type maker interface {
	// append appends the value of the row; ok is false for NULL.
	append(b []byte, r *row, random *rand.Rand) (value []byte, ok bool)
}

type sequence struct {
	start, step int64
	set         bool // whether the file says where to start
}

func (s sequence) maker(c Column, _ *Block, around Surroundings) (maker, error) {
	if start, found := around.Start[c.Name]; found && !s.set {
		s.start = start
	} else if !s.set {
		s.start = 1
	}
	return s, nil
}

func (s sequence) append(b []byte, r *row, _ *rand.Rand) ([]byte, bool) {
	return strconv.AppendInt(b, s.start+r.number*s.step, 10), true
}

type uuids struct{}

func (u uuids) maker(Column, *Block, Surroundings) (maker, error) { return u, nil }

const hexDigits = "0123456789abcdef"

// append makes a version 4 UUID.
func (uuids) append(b []byte, _ *row, random *rand.Rand) ([]byte, bool) {
	high, low := random.Uint64(), random.Uint64()
	high = high&^0xf000 | 0x4000
	low = low&^(3<<62) | 1<<63
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b = append(b, '-')
		}
		word := high
		if i >= 16 {
			word = low
		}
		b = append(b, hexDigits[word>>(60-4*(i%16))&15])
	}
	return b, true
}

type constant struct{ value fixture.Value }

func (k constant) maker(c Column, _ *Block, around Surroundings) (maker, error) {
	if k.value.Kind == fixture.Null {
		return nothing{}, nil
	}
	if c.Unique {
		return nil, c.fail("is unique, and always the same value")
	}
	text, err := around.Text(c.Name, k.value)
	return fixed(text), err
}

// nothing is always NULL.
type nothing struct{}

func (nothing) append(b []byte, _ *row, _ *rand.Rand) ([]byte, bool) { return b, false }

// fixed is always the same text.
type fixed string

func (f fixed) append(b []byte, _ *row, _ *rand.Rand) ([]byte, bool) { return append(b, f...), true }

type choice struct {
	values []fixture.Value
	bounds []float64 // sums of the weights up to each value; nil if all weigh the same
	texts  []string
	nulls  []bool
	inTurn bool
}

func (k choice) maker(c Column, b *Block, around Surroundings) (maker, error) {
	if c.Unique && b.Rows > int64(len(k.values)) {
		return nil, c.fail("is unique, and a choice of %d values is not enough for %d rows", len(k.values), b.Rows)
	}
	k.inTurn = c.Unique
	for _, v := range k.values {
		text := ""
		if v.Kind != fixture.Null {
			var err error
			if text, err = around.Text(c.Name, v); err != nil {
				return nil, err
			}
		}
		k.texts, k.nulls = append(k.texts, text), append(k.nulls, v.Kind == fixture.Null)
	}
	return k, nil
}

func (k choice) append(b []byte, r *row, random *rand.Rand) ([]byte, bool) {
	i := 0
	switch {
	case k.inTurn:
		i = int(r.number)
	case k.bounds == nil:
		i = random.IntN(len(k.texts))
	default:
		x := random.Float64() * k.bounds[len(k.bounds)-1]
		for i < len(k.bounds)-1 && x >= k.bounds[i] {
			i++
		}
	}
	return append(b, k.texts[i]...), !k.nulls[i]
}

type numbers struct {
	least, most int64 // in units of the last decimal
	decimals    int
	walk        *walk // for unique numbers
}

func (n numbers) maker(c Column, b *Block, around Surroundings) (maker, error) {
	if !c.Unique {
		return n, nil
	}
	size := uint64(n.most-n.least) + 1
	if size != 0 && uint64(b.Rows) > size {
		return nil, c.fail("is unique, and the range has %d numbers for %d rows", size, b.Rows)
	}
	n.walk = newWalk(size, rand.New(rand.NewPCG(fake.Seed(around.Seed, b.Table, c.Name, "walk"))))
	return n, nil
}

func (n numbers) append(b []byte, r *row, random *rand.Rand) ([]byte, bool) {
	var x uint64
	switch size := uint64(n.most-n.least) + 1; {
	case n.walk != nil:
		x = n.walk.at(uint64(r.number))
	case size == 0:
		x = random.Uint64()
	default:
		x = random.Uint64N(size)
	}
	return appendScaled(b, n.least+int64(x), n.decimals), true
}

// appendScaled writes a number that counts its last decimal.
func appendScaled(b []byte, n int64, decimals int) []byte {
	if decimals == 0 {
		return strconv.AppendInt(b, n, 10)
	}
	u := uint64(n)
	if n < 0 {
		b, u = append(b, '-'), -u
	}
	begin := len(b)
	b = strconv.AppendUint(b, u, 10)
	for len(b)-begin <= decimals {
		b = slices.Insert(b, begin, '0')
	}
	return slices.Insert(b, len(b)-decimals, '.')
}

type times struct{ from, to moment }

func (t times) maker(c Column, _ *Block, around Surroundings) (maker, error) {
	from, to := t.from.at(around.Clock), t.to.at(around.Clock)
	if to.Before(from) {
		return nil, c.fail("the time ends before it begins")
	}
	return span{from.Unix(), uint64(to.Unix()-from.Unix()) + 1}, nil
}

// span makes moments, in whole seconds.
type span struct {
	from int64
	size uint64
}

func (s span) append(b []byte, _ *row, random *rand.Rand) ([]byte, bool) {
	at := time.Unix(s.from+int64(random.Uint64N(s.size)), 0).UTC()
	b = at.AppendFormat(b, "2006-01-02 15:04:05")
	return append(b, "+00"...), true
}

type fakes struct{ kind fake.Kind }

// mostFakes is how many values a kind of fake data is made of in a large block,
// which draws from them: making a name up takes longer than storing it.
const mostFakes = 1 << 15

func (k fakes) maker(c Column, b *Block, around Surroundings) (maker, error) {
	f := faker{kind: k.kind, from: fake.New(around.Seed, b.Table, c.Name, "fake"), unique: c.Unique}
	if _, err := k.kind.Value(f.from); err != nil {
		return nil, c.fail("%w", err)
	}
	if b.Rows > 4*mostFakes {
		f.pool = make([]string, mostFakes)
		for i := range f.pool {
			f.pool[i], _ = k.kind.Value(f.from) // it made one up before
		}
	}
	return f, nil
}

// faker makes data up. Where it must be unique, it carries the row's number:
// before the @ of an address, behind anything else.
type faker struct {
	kind   fake.Kind
	from   fake.Faker
	pool   []string // what a large block draws from, or nil
	unique bool
}

// text makes one up, or draws one.
func (f faker) text(random *rand.Rand) string {
	if f.pool != nil {
		return f.pool[random.IntN(len(f.pool))]
	}
	text, _ := f.kind.Value(f.from) // it made a value up when the stream began
	return text
}

func (f faker) append(b []byte, r *row, random *rand.Rand) ([]byte, bool) {
	text := f.text(random)
	if !f.unique {
		return append(b, text...), true
	}
	if user, host, isAddress := strings.Cut(text, "@"); isAddress {
		b = strconv.AppendInt(append(b, user...), r.number+1, 10)
		return append(append(b, '@'), host...), true
	}
	return strconv.AppendInt(append(append(b, text...), ' '), r.number+1, 10), true
}

type filler struct{ least, most int }

func (f filler) maker(c Column, _ *Block, _ Surroundings) (maker, error) {
	if c.Unique {
		return nil, c.fail("is unique; use {format: \"…{row}\"}")
	}
	return f, nil
}

// letters are 32, so that five random bits are one; blanks make words of them.
const letters = "etaoinshrdlucmfwypvbgkjqxz eta o"

func (f filler) append(b []byte, _ *row, random *rand.Rand) ([]byte, bool) {
	n := f.least + random.IntN(f.most-f.least+1)
	for n > 0 {
		for bits, left := random.Uint64(), min(n, 12); left > 0; left-- {
			b = append(b, letters[bits&31])
			bits >>= 5
			n--
		}
	}
	return b, true
}

type reference struct{}

func (reference) maker(c Column, _ *Block, around Surroundings) (maker, error) {
	p, found := around.Parents[c.Name]
	if !found {
		return nil, c.fail("refers to %s, whose keys are not known", c.References)
	}
	if c.Unique {
		return nil, c.fail("is unique and refers to another table, which is not supported")
	}
	return referrer{p, -1}, nil
}

// referrer gives the key of the row that was picked.
type referrer struct {
	parent Parent
	pick   int // which of the row's picks
}

func (f referrer) append(b []byte, r *row, _ *rand.Rand) ([]byte, bool) {
	i, keys := r.picks[f.pick], f.parent.Keys
	switch {
	case i < 0:
		return b, false
	case keys.Tuples != nil:
		return append(b, keys.Tuples[i][f.parent.Column]...), true
	case keys.Own:
		return strconv.AppendInt(b, keys.First+i*keys.Step, 10), true
	}
	return strconv.AppendInt(b, keys.First+i, 10), true
}

type format struct{ text string }

// placeholder is {row}, {row:06} or {column}.
var placeholder = regexp.MustCompile(`\{([A-Za-z_][A-Za-z0-9_]*)(?::0?(\d{1,2}))?\}`)

func (f format) maker(c Column, b *Block, _ Surroundings) (maker, error) {
	own := slices.IndexFunc(b.Columns, func(other Column) bool { return other.Name == c.Name })
	var pieces formatted
	rest, unique := f.text, false
	for {
		at := placeholder.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		piece := piece{before: rest[:at[0]], column: -1}
		name := rest[at[2]:at[3]]
		if at[4] >= 0 {
			piece.width, _ = strconv.Atoi(rest[at[4]:at[5]]) // it matched digits
		}
		if name != "row" {
			piece.column = slices.IndexFunc(b.Columns, func(other Column) bool { return other.Name == name })
			if piece.column < 0 || piece.column >= own {
				return nil, c.fail("the format has {%s}, and no column of that name stands before it in the block", name).
					WithNext("use {row}, or a column that stands above")
			}
		}
		unique = unique || piece.column < 0 || b.Columns[piece.column].Unique
		pieces.pieces = append(pieces.pieces, piece)
		rest = rest[at[1]:]
	}
	pieces.after = rest
	if c.Unique && !unique {
		return nil, c.fail("is unique, and its format has neither {row} nor a unique column")
	}
	return pieces, nil
}

type formatted struct {
	pieces []piece
	after  string
}

type piece struct {
	before string
	column int // -1 for the row's number
	width  int
}

func (f formatted) append(b []byte, r *row, _ *rand.Rand) ([]byte, bool) {
	for _, p := range f.pieces {
		b = append(b, p.before...)
		begin := len(b)
		if p.column < 0 {
			b = strconv.AppendInt(b, r.number+1, 10)
		} else {
			b = append(b, r.value(p.column)...)
		}
		for len(b)-begin < p.width {
			b = slices.Insert(b, begin, '0')
		}
	}
	return append(b, f.after...), true
}
