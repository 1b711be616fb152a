package mask

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/envdb/envdb"
)

// room is how much a reader reads and writes at once, unless a row is larger.
const room = 64 << 10

// Reader masks the rows of a stream: rows of COPY in the masker's format,
// without the head and the tail of the binary one.
type Reader struct {
	*Masker
	in       io.Reader
	mu       sync.Mutex // held by Read; a cancelled COPY may leave its last one behind
	sampling sampling
	// row counts the rows, before those of this stream included.
	row int64

	buf     []byte // what was read
	from    int    // where the first row in it begins
	out     []byte // what is masked
	sent    int
	ended   error // of in
	failed  error
	scratch []byte
}

// Reader returns the masked stream. Before is how many rows of the table come
// before it, and rows how many are in it.
func (m *Masker) Reader(in io.Reader, before, rows int64) *Reader {
	return &Reader{Masker: m, in: in, row: before, sampling: m.samples.begin(m, rows)}
}

// Err returns why the masking failed, if it did.
func (r *Reader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Finish hands over the samples.
func (r *Reader) Finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples.add(r.sampling)
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.sent == len(r.out) {
		if r.failed != nil {
			return 0, r.failed
		}
		if r.ended != nil && r.from == len(r.buf) {
			return 0, r.ended
		}
		r.out, r.sent = r.out[:0], 0
		r.fill()
	}
	n := copy(p, r.out[r.sent:])
	r.sent += n
	return n, nil
}

// fill masks the rows that are there, and reads more if there is none.
func (r *Reader) fill() {
	next := r.textRow
	if r.binary {
		next = r.binaryRow
	}
	for len(r.out) < room && r.from < len(r.buf) {
		n, err := next(r.buf[r.from:])
		if err != nil {
			r.failed = err
			return
		}
		if n == 0 {
			break
		}
		r.from += n
	}
	if len(r.out) > 0 {
		return
	}
	if r.ended != nil {
		r.failed = fmt.Errorf("mask %s: the backup's rows end in the middle of one", r.table)
		return
	}
	r.more()
}

// more reads on.
func (r *Reader) more() {
	left := copy(r.buf, r.buf[r.from:])
	r.buf, r.from = r.buf[:left], 0
	if cap(r.buf)-left < room/2 {
		r.buf = append(make([]byte, 0, max(room, 2*cap(r.buf))), r.buf...)
	}
	n, err := r.in.Read(r.buf[left:cap(r.buf)])
	r.buf, r.ended = r.buf[:left+n], err
	if err != nil && !errors.Is(err, io.EOF) {
		r.failed = err
	}
}

// binaryRow masks the row that b begins with and returns its length, or 0 if b
// does not hold all of it.
func (r *Reader) binaryRow(b []byte) (int, error) {
	length, err := r.binaryLength(b)
	if length == 0 || err != nil {
		return 0, err
	}
	sampled := r.begin()
	r.out = binary.BigEndian.AppendUint16(r.out, uint16(len(r.fields)+len(r.hashed)))
	at, hashes := 2, r.scratch[:0]
	for i, f := range r.fields {
		size := int(int32(binary.BigEndian.Uint32(b[at:])))
		if size < 0 {
			r.out, at = append(r.out, b[at:at+4]...), at+4
			hashes = r.hash(hashes, i, nil)
			continue
		}
		value := b[at+4 : at+4+size]
		if sampled {
			r.sampling.see(i, value)
		}
		hashes = r.hash(hashes, i, value)
		if f == nil {
			r.out = append(r.out, b[at:at+4+size]...)
		} else if r.out, err = framed(r.out, value, f); err != nil {
			return 0, r.problem(i, err)
		}
		at += 4 + size
	}
	r.out, r.scratch = append(r.out, hashes...), hashes
	return length, nil
}

// binaryLength returns the length of the row that b begins with, or 0.
func (r *Reader) binaryLength(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	if n := int(binary.BigEndian.Uint16(b)); n != len(r.fields) {
		return 0, fmt.Errorf("mask %s: a row of the backup has %d columns, and the table %d", r.table, n, len(r.fields))
	}
	at := 2
	for range r.fields {
		if len(b) < at+4 {
			return 0, nil
		}
		at += 4 + max(0, int(int32(binary.BigEndian.Uint32(b[at:]))))
		if len(b) < at {
			return 0, nil
		}
	}
	return at, nil
}

// hash appends the hash of a value as a field, if the column is one of those
// that are hashed.
func (r *Reader) hash(dst []byte, column int, value []byte) []byte {
	for _, i := range r.hashed {
		if i != column {
			continue
		}
		switch {
		case r.binary && value == nil:
			return binary.BigEndian.AppendUint32(dst, nullLength)
		case value == nil:
			return append(dst, "\t\\N"...)
		}
		s := r.key.sum(value)
		if r.binary {
			return hex.AppendEncode(binary.BigEndian.AppendUint32(dst, 2*uint32(len(s))), s[:])
		}
		return hex.AppendEncode(append(dst, '\t'), s[:])
	}
	return dst
}

// textRow is binaryRow for the text format.
func (r *Reader) textRow(b []byte) (int, error) {
	length := bytes.IndexByte(b, '\n') + 1
	if length == 0 {
		return 0, nil
	}
	sampled := r.begin()
	line := b[:length-1]
	hashes := r.scratch[:0]
	for i, f := range r.fields {
		raw, rest, more := bytes.Cut(line, []byte{'\t'})
		if line = rest; more == (i == len(r.fields)-1) {
			return 0, fmt.Errorf("mask %s: a row of the backup has not as many columns as the table", r.table)
		}
		if i > 0 {
			r.out = append(r.out, '\t')
		}
		if f == nil && r.columns[i] == nil || string(raw) == `\N` {
			r.out = append(r.out, raw...)
			if string(raw) == `\N` {
				hashes = r.hash(hashes, i, nil)
			}
			continue
		}
		value := unescaped(raw)
		if sampled {
			r.sampling.see(i, value)
		}
		hashes = r.hash(hashes, i, value)
		if f == nil {
			r.out = append(r.out, raw...)
			continue
		}
		masked, null, err := f(nil, value)
		switch {
		case err != nil:
			return 0, r.problem(i, err)
		case null:
			r.out = append(r.out, `\N`...)
		default:
			r.out = escaped(r.out, masked)
		}
	}
	r.out, r.scratch = append(append(r.out, hashes...), '\n'), hashes
	return length, nil
}

// begin counts a row, and reports whether it is sampled.
func (r *Reader) begin() bool {
	r.row++
	return r.sampling.next()
}

// problem says which value could not be masked, and not what it is.
func (r *Reader) problem(column int, err error) error {
	c := r.columns[column]
	return envdb.Fail(nil, "mask %s: row %d, column %s (rule %s, %s): %w", r.table, r.row, c.Name, c.Rule.Rule, c.Rule.At, err).
		WithNext("correct the row at its source, or write an expression for the column: {sql: …}")
}

// unescaped returns a value of COPY's text format as it is.
func unescaped(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' && i+1 < len(raw) {
			i++
			if c = raw[i]; controls[c] != 0 {
				c = controls[c]
			}
		}
		out = append(out, c)
	}
	return out
}

// controls are the letters behind a backslash that COPY writes for control
// characters; letters are the way back.
var (
	controls = [256]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}
	letters  = [256]byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v', '\\': '\\'}
)

// escaped appends a value as COPY's text format has it.
func escaped(dst, value []byte) []byte {
	for _, c := range value {
		if letters[c] != 0 {
			dst, c = append(dst, '\\'), letters[c]
		}
		dst = append(dst, c)
	}
	return dst
}
