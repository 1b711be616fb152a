package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// maxString bounds one string. PostgreSQL's own limit for a value is 1 GB; a
// larger length is a corrupt one.
const maxString = 1 << 30

// decoder reads the primitives of the format. After the first error every
// read returns a zero value, so callers check err once.
type decoder struct {
	r          *bufio.Reader
	minor      byte
	intSize    int
	offsetSize int
	err        error
}

func newDecoder(r io.Reader) *decoder { return &decoder{r: bufio.NewReaderSize(r, 64<<10)} }

// fail records the first error.
func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
}

// failRead records an error of the reader; its end is a truncated archive.
func (d *decoder) failRead(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		d.fail("it ends in the middle of its table of contents")
		return
	}
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) byte() byte {
	if d.err != nil {
		return 0
	}
	b, err := d.r.ReadByte()
	if err != nil {
		d.failRead(err)
	}
	return b
}

// bytes reads n bytes. It allocates as they arrive, so that a corrupt length
// costs no more memory than the input has.
func (d *decoder) bytes(n int) []byte {
	if d.err != nil {
		return nil
	}
	const step = 1 << 20
	out := make([]byte, 0, min(n, step))
	for len(out) < n {
		have := len(out)
		out = append(out, make([]byte, min(n-have, step))...)
		if _, err := io.ReadFull(d.r, out[have:]); err != nil {
			d.failRead(err)
			return nil
		}
	}
	return out
}

// int reads a sign byte and a little-endian magnitude.
func (d *decoder) int() int {
	negative := d.byte() != 0
	var magnitude uint64
	for i, b := range d.bytes(d.intSize) {
		magnitude |= uint64(b) << (8 * i)
	}
	if magnitude > math.MaxInt32 {
		d.fail("an integer is out of range")
		return 0
	}
	if negative {
		return -int(magnitude)
	}
	return int(magnitude)
}

// optional reads a string; a negative length means that there is none.
func (d *decoder) optional() (s string, ok bool) {
	n := d.int()
	if n > maxString {
		d.fail("a string of %d bytes", n)
	}
	if d.err != nil || n < 0 {
		return "", false
	}
	return string(d.bytes(n)), true
}

// string reads a string; none is the empty one.
func (d *decoder) string() string {
	s, _ := d.optional()
	return s
}

// number reads an unsigned number that is written as a string.
func (d *decoder) number() uint32 {
	s, ok := d.optional()
	if !ok {
		if d.err == nil {
			d.fail("a number is missing")
		}
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		d.fail("%q is not a number", s)
	}
	return uint32(n)
}
