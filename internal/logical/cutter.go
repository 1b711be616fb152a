package logical

import (
	"errors"
	"slices"

	"github.com/envdb/envdb"
)

// Where a chunk ends is decided by the rows in it, not by counting from the
// start: an inserted row moves only the cut next to it, and the chunks behind
// it are the ones of the backup before.
const (
	chunkMin    = 4 << 20  // no chunk but the last of a range is smaller
	chunkSpread = 4 << 20  // mean length of what follows until a row that ends it
	chunkMax    = 16 << 20 // no chunk of several rows is larger
	rowNotable  = 64 << 20 // a larger row is reported
)

// piece is a run of complete rows. Data is valid until the next one.
type piece struct {
	rows        int64
	fingerprint envdb.Fingerprint
	data        []byte
}

// cutter is an io.Writer that takes a COPY stream, in pieces of any size, and
// emits its rows as chunks. It holds at most one chunk and one row.
type cutter struct {
	framing framing
	emit    func(piece) error
	// notable is told the size of a row above rowNotable.
	notable func(size int)

	buf    []byte // a chunk's complete rows, then what is known of the next row
	begun  bool   // the header is over
	ended  bool   // the trailer was seen
	filled int    // length of the complete rows in buf
	rows   int64
	sum    envdb.Fingerprint
}

// reset prepares the cutter for another stream, and keeps its buffer.
func (c *cutter) reset(format string, emit func(piece) error) {
	c.framing, c.emit = newFraming(format), emit
	c.begun, c.ended = false, false
	c.buf, c.filled, c.rows, c.sum = c.buf[:0], 0, 0, envdb.Fingerprint{}
}

// Write takes the next bytes of the stream.
func (c *cutter) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p...)
	if !c.begun {
		if err := c.skipHeader(); err != nil || !c.begun {
			return len(p), err
		}
	}
	for !c.ended {
		n, end, err := c.framing.next(c.buf[c.filled:])
		if err != nil {
			return 0, err
		}
		if end {
			c.ended = true
			c.buf = slices.Delete(c.buf, c.filled, c.filled+n)
			break
		}
		if n == 0 {
			return len(p), nil
		}
		if err := c.take(n); err != nil {
			return 0, err
		}
	}
	if len(c.buf) > c.filled {
		return 0, errors.New("COPY sent data behind its trailer")
	}
	return len(p), nil
}

func (c *cutter) skipHeader() error {
	n, err := c.framing.header(c.buf)
	if err != nil || n < 0 {
		return err
	}
	c.buf = slices.Delete(c.buf, 0, n)
	c.begun = true
	return nil
}

// take adds the next n bytes, a row, to the chunk, and cuts before or behind
// it where a cut belongs.
func (c *cutter) take(n int) error {
	if c.filled > 0 && c.filled+n > chunkMax {
		if err := c.cut(); err != nil {
			return err
		}
	}
	row := c.buf[c.filled : c.filled+n]
	hash := HashRow(c.framing.hashed(row))
	c.filled += n
	c.rows++
	c.sum = c.sum.Add(hash)
	if n > rowNotable && c.notable != nil {
		c.notable(n)
	}
	if c.filled >= chunkMin && endsChunk(hash, n) || c.filled >= chunkMax {
		return c.cut()
	}
	return nil
}

// endsChunk decides by the row alone, with a probability that makes chunkSpread
// the mean number of bytes until a row says yes.
func endsChunk(hash envdb.Fingerprint, size int) bool {
	return size >= chunkSpread || hash.Lo < uint64(size)*(1<<63/(chunkSpread>>1))
}

// cut emits the complete rows and moves what follows them to the front.
func (c *cutter) cut() error {
	if c.rows == 0 {
		return nil
	}
	if err := c.emit(piece{rows: c.rows, fingerprint: c.sum, data: c.buf[:c.filled]}); err != nil {
		return err
	}
	rest := c.buf[c.filled:]
	if cap(c.buf) > 2*chunkMax { // grown by a large row; give it back
		c.buf = slices.Clone(rest)
	} else {
		c.buf = c.buf[:copy(c.buf, rest)]
	}
	c.filled, c.rows, c.sum = 0, 0, envdb.Fingerprint{}
	return nil
}

// finish emits the last chunk. It fails if the stream broke off.
func (c *cutter) finish() error {
	if len(c.buf) > c.filled || c.framing.trailed() && !c.ended {
		return errors.New("COPY ended in the middle of a row")
	}
	return c.cut()
}
