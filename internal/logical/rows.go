package logical

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The formats of COPY that a table's rows are kept in.
const (
	formatBinary = "binary"
	formatText   = "text"
)

// framing finds the rows in a COPY stream. See "COPY", section "File Formats",
// in the PostgreSQL manual.
type framing interface {
	// header returns how many bytes at the start of the stream are no row, or
	// -1 if b is too short to tell.
	header(b []byte) (int, error)
	// next returns the length of the row that b begins with, or 0 if b does
	// not hold all of it yet. It is called with the same row, and more of it,
	// until it has returned its length. end reports that b begins with the
	// trailer instead.
	next(b []byte) (n int, end bool, err error)
	// hashed returns the bytes of a row that HashRow takes.
	hashed(row []byte) []byte
	// trailed reports whether the format ends in a trailer.
	trailed() bool
}

func newFraming(format string) framing {
	if format == formatBinary {
		return &binaryRows{}
	}
	return &textRows{}
}

// textRows splits COPY's text format: one line per row. Newlines within values
// are escaped, so every newline ends a row.
type textRows struct {
	seen int // bytes of the current row that hold no newline
}

func (*textRows) header([]byte) (int, error) { return 0, nil }

func (r *textRows) next(b []byte) (int, bool, error) {
	i := bytes.IndexByte(b[r.seen:], '\n')
	if i < 0 {
		r.seen = len(b)
		return 0, false, nil
	}
	n := r.seen + i + 1
	r.seen = 0
	return n, false, nil
}

func (*textRows) hashed(row []byte) []byte { return row[:len(row)-1] }
func (*textRows) trailed() bool            { return false }

// binarySignature begins a stream in COPY's binary format.
const binarySignature = "PGCOPY\n\xff\r\n\x00"

// binaryRows splits COPY's binary format: a field count, and each field behind
// its length.
type binaryRows struct {
	seen int // bytes of the current row that are complete fields, or 0 before its count was read
	left int // fields of the current row behind them
}

func (*binaryRows) header(b []byte) (int, error) {
	fixed := len(binarySignature) + 8
	if len(b) < fixed {
		return -1, nil
	}
	if string(b[:len(binarySignature)]) != binarySignature {
		return 0, errors.New("COPY sent no binary header")
	}
	if flags := binary.BigEndian.Uint32(b[len(binarySignature):]); flags != 0 {
		return 0, fmt.Errorf("COPY sent a binary header with unknown flags %#x", flags)
	}
	extension := int(binary.BigEndian.Uint32(b[fixed-4:]))
	if len(b)-fixed < extension {
		return -1, nil
	}
	return fixed + extension, nil
}

func (r *binaryRows) next(b []byte) (int, bool, error) {
	if r.seen == 0 {
		if len(b) < 2 {
			return 0, false, nil
		}
		count := int(int16(binary.BigEndian.Uint16(b)))
		if count == -1 {
			return 2, true, nil
		}
		if count < 0 {
			return 0, false, fmt.Errorf("COPY sent a row of %d fields", count)
		}
		r.left, r.seen = count, 2
	}
	seen, left := r.seen, r.left
	for ; left > 0 && len(b)-seen >= 4; left-- {
		size := int(int32(binary.BigEndian.Uint32(b[seen:])))
		if size < -1 {
			return 0, false, fmt.Errorf("COPY sent a field of %d bytes", size)
		}
		size = max(size, 0) // -1 is NULL
		if len(b)-seen-4 < size {
			break
		}
		seen += 4 + size
	}
	if left > 0 {
		r.seen, r.left = seen, left
		return 0, false, nil
	}
	r.seen = 0
	return seen, false, nil
}

func (*binaryRows) hashed(row []byte) []byte { return row }
func (*binaryRows) trailed() bool            { return true }
