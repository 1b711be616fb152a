package logical

import (
	"errors"
	"slices"

	"github.com/envdb/envdb"
)

// Where a chunk ends is decided by the rows in it, not by counting from the
// start: an inserted row moves only the cut next to it, and the chunks behind
// it are the ones of the backup before.
type cuts struct {
	min    int // no chunk but the last of a range is smaller
	spread int // mean length of what follows until a row that ends it; a power of two
	max    int // no chunk of several rows is larger
}

// wideCuts make chunks of 8 MiB on average.
func wideCuts() cuts { return cuts{min: 4 << 20, spread: 4 << 20, max: 16 << 20} }

// narrowBelow is the size of a table, TOAST included, from which its chunks are
// wide. A change in a smaller one shall not store a large part of it again,
// whereas a large one has chunks enough, and the index of a backup is shorter.
const narrowBelow = 2 << 30

// cutsFor returns how a table, or the like, of the given size is cut. When it
// grows past narrowBelow it is stored anew, once.
func cutsFor(bytes int64) cuts {
	if bytes < narrowBelow {
		return cuts{min: 1 << 20, spread: 1 << 20, max: 4 << 20}
	}
	return wideCuts()
}

// ends reports whether a row of the given hash and size ends a chunk: by the
// row alone, with a probability that makes spread the mean number of bytes
// until one does.
func (c cuts) ends(hash envdb.Fingerprint, size int) bool {
	return size >= c.spread || hash.Lo < uint64(size)*(1<<63/(uint64(c.spread)>>1))
}

const (
	rowNotable = 64 << 20 // a larger row is reported
	// cutterSlack is what a cutter's buffer holds beside the largest chunk, so
	// that it seldom has to grow.
	cutterSlack = wireBuffer
)

// piece is a run of complete rows. Data is valid until the next one.
type piece struct {
	rows        int64
	fingerprint envdb.Fingerprint
	data        []byte
}

// cutter takes a COPY stream, in pieces of any size, and emits its rows as
// chunks. It holds at most one chunk, one row, and what was added at once.
type cutter struct {
	framing framing
	cuts    cuts
	emit    func(piece) error
	// notable is told the size of a row above rowNotable.
	notable func(size int)

	buf    []byte // a chunk's complete rows, then what is known of the next rows
	begun  bool   // the header is over
	ended  bool   // the trailer was seen
	filled int    // length of the complete rows in buf
	rows   int64
	sum    envdb.Fingerprint
}

// reset prepares the cutter for another stream, and keeps its buffer.
func (c *cutter) reset(format string, cuts cuts, emit func(piece) error) {
	c.framing, c.cuts, c.emit = newFraming(format), cuts, emit
	c.begun, c.ended = false, false
	c.filled, c.rows, c.sum = 0, 0, envdb.Fingerprint{}
	if room := cuts.max + cutterSlack; cap(c.buf) < room {
		c.buf = make([]byte, 0, room)
	}
	c.buf = c.buf[:0]
}

// add takes the next bytes of the stream; advance makes chunks of them.
func (c *cutter) add(p []byte) { c.buf = append(c.buf, p...) }

// extend takes the next n bytes of the stream, which the caller writes into
// what it returns. They are a row, or the larger part of one; if it will not be
// in the chunk at hand, that is emitted first, so that both need not fit.
func (c *cutter) extend(n int) ([]byte, error) {
	if c.filled > 0 && c.filled+n > c.cuts.max {
		if err := c.cut(); err != nil {
			return nil, err
		}
	}
	c.buf = slices.Grow(c.buf, n)
	c.buf = c.buf[:len(c.buf)+n]
	return c.buf[len(c.buf)-n:], nil
}

// advance finds the rows in what was added, and emits every chunk that they
// complete.
func (c *cutter) advance() error {
	if !c.begun {
		if err := c.skipHeader(); err != nil || !c.begun {
			return err
		}
	}
	for !c.ended {
		n, end, err := c.framing.next(c.buf[c.filled:])
		if err != nil {
			return err
		}
		if end {
			c.ended = true
			c.buf = slices.Delete(c.buf, c.filled, c.filled+n)
			break
		}
		if n == 0 {
			return nil
		}
		if err := c.take(n); err != nil {
			return err
		}
	}
	if len(c.buf) > c.filled {
		return errors.New("COPY sent data behind its trailer")
	}
	return nil
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
	if c.filled > 0 && c.filled+n > c.cuts.max {
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
	if c.filled >= c.cuts.min && c.cuts.ends(hash, n) || c.filled >= c.cuts.max {
		return c.cut()
	}
	return nil
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
	if cap(c.buf) > 2*wideCuts().max { // grown by a large row; give it back
		c.buf = append(make([]byte, 0, c.cuts.max+cutterSlack), rest...)
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
