package mask

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	// perColumn is how many values of a column are looked for afterwards.
	perColumn = 1000
	// leastSample is how long a value must be to be looked for, in characters:
	// shorter ones stand anywhere.
	leastSample = 6
	// mostSample is how much of a long value is looked at, in bytes, and
	// mostKept how much of a text is kept.
	mostSample = 4 << 10
	mostKept   = 512
)

// Samples are some of the values that were masked: distinct, long, and of each
// column of the rules. They live in memory, and only for the run.
type Samples struct {
	mu   sync.Mutex
	rows map[*ColumnRule]int64
	seen map[*ColumnRule]*seenValues
}

type seenValues struct {
	title  string
	values map[string]bool
}

// NewSamples returns an empty collection.
func NewSamples() *Samples {
	return &Samples{rows: map[*ColumnRule]int64{}, seen: map[*ColumnRule]*seenValues{}}
}

// Count returns how many values there are.
func (s *Samples) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, v := range s.seen {
		n += len(v.values)
	}
	return n
}

// expect says how many rows of the column will come.
func (s *Samples) expect(c *Column, rows int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows[c.Rule] += rows
}

// sampling takes the values of one stream.
type sampling struct {
	*Masker
	row, every int64
	values     [][]string // by column
}

// begin returns a sampling that takes as many rows as are this stream's share,
// twice over, because values may be equal or short.
func (s *Samples) begin(m *Masker, rows int64) sampling {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := int64(0)
	for _, c := range m.columns {
		if c != nil && !c.Rule.Unscanned {
			most = max(most, s.rows[c.Rule])
		}
	}
	every := most / (2 * perColumn)
	if most == 0 {
		every = rows + 1 // nothing is looked for
	}
	return sampling{Masker: m, every: max(1, every), values: make([][]string, len(m.columns))}
}

// next reports whether the next row is one that is taken.
func (s *sampling) next() bool {
	s.row++
	return s.row%s.every == 0
}

// see takes a value, as it stands in the stream without escapes.
func (s *sampling) see(column int, value []byte) {
	c := s.columns[column]
	if c == nil || c.Rule.Unscanned || len(s.values[column]) >= 2*perColumn {
		return
	}
	for _, shown := range s.shown(c, value) {
		if utf8.RuneCountInString(shown) >= leastSample && !invented(shown) {
			s.values[column] = append(s.values[column], strings.Clone(shown[:min(len(shown), mostKept)]))
		}
	}
}

// shown returns the texts in a value that one would recognise elsewhere. Dates
// and small numbers are none: they stand everywhere.
func (s *sampling) shown(c *Column, value []byte) []string {
	value = value[:min(len(value), mostSample)]
	switch c.sort.kind {
	case text, other:
		return []string{strings.TrimRight(string(value), " ")}
	case document:
		return jsonTexts(value)
	case uuid:
		if s.binary && len(value) == 16 {
			return []string{string(appendUUID(nil, [16]byte(value)))}
		}
		return []string{string(value)}
	case integer:
		return longNumber(c.sort, value, s.binary)
	case texts:
		return elements(value, s.binary)
	case bytea:
		if !s.binary {
			value, _ = hex.AppendDecode(nil, bytes.TrimPrefix(value, []byte(`\x`)))
		}
		if utf8.Valid(value) {
			return []string{string(value)}
		}
	}
	return nil
}

// longNumber returns a number of many digits, such as that of a card.
func longNumber(of sort, value []byte, inBinary bool) []string {
	const least = 10
	shown := string(value)
	if inBinary {
		if of.bytes != 8 || len(value) != 8 {
			return nil
		}
		shown = strconv.FormatInt(int64(binary.BigEndian.Uint64(value)), 10)
	}
	if len(shown) < least {
		return nil
	}
	return []string{shown}
}

// elements returns the elements of an array of texts.
func elements(value []byte, inBinary bool) []string {
	var found []string
	array := textArray
	if inBinary {
		array = binaryArray
	}
	_, _, _ = array(func(dst, in []byte) ([]byte, bool, error) {
		found = append(found, string(in))
		return dst, false, nil
	})(nil, value) // a part of an array gives some of them
	return found
}

// jsonTexts returns the strings of a document that are no keys; of a cut one,
// those that are whole.
func jsonTexts(doc []byte) []string {
	var found []string
	for {
		open := bytes.IndexByte(doc, '"')
		if open < 0 {
			return found
		}
		doc = doc[open+1:]
		end := 0
		for end < len(doc) && doc[end] != '"' {
			if doc[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(doc) {
			return found
		}
		content, rest := doc[:end], bytes.TrimLeft(doc[end+1:], " \t\r\n")
		if doc = rest; len(rest) == 0 || rest[0] != ':' {
			found = append(found, string(content))
		}
	}
}

// add hands over what a stream's sampling took.
func (s *Samples) add(from sampling) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range from.columns {
		if c == nil || len(from.values[i]) == 0 {
			continue
		}
		seen := s.seen[c.Rule]
		if seen == nil {
			seen = &seenValues{c.Title(), map[string]bool{}}
			s.seen[c.Rule] = seen
		}
		for _, v := range from.values[i] {
			if len(seen.values) >= perColumn {
				break
			}
			seen.values[v] = true
		}
	}
}
