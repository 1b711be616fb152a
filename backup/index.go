package backup

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/envdb/envdb"
)

const (
	indexMagic   = "envdbix1"
	blockDivisor = 256  // the mean number of entries in a block
	blockLongest = 4096 // the largest number
	longestPart  = 4096 // bytes of a part's name
	idLength     = 15   // bytes of a backup id
	// entryShortest is the length of the shortest entry.
	entryShortest = 56
)

// entry is a chunk of a backup: some 140 bytes of memory, the part name being
// shared.
type entry struct {
	part        string
	ordinal     uint64
	rows        int64
	fingerprint envdb.Fingerprint
	size        int64
	sum         [sha256.Size]byte
	place
}

// place is where a chunk lies.
type place struct {
	pack   PackID
	index  int32
	offset int64
	length int64
}

func compareEntries(a, b entry) int {
	return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.ordinal, b.ordinal))
}

// cuts reports whether a block begins at the chunk by its name alone.
func cuts(part string, ordinal uint64) bool {
	name := binary.BigEndian.AppendUint64(append([]byte(part), 0), ordinal)
	sum := sha256.Sum256(name)
	return binary.BigEndian.Uint64(sum[:8])%blockDivisor == 0
}

// blocks yields the sorted entries in their blocks.
func blocks(entries []entry, yield func([]entry) error) error {
	start := 0
	for i := 1; i <= len(entries); i++ {
		if i < len(entries) && i-start < blockLongest && !cuts(entries[i].part, entries[i].ordinal) {
			continue
		}
		if err := yield(entries[start:i]); err != nil {
			return err
		}
		start = i
	}
	return nil
}

// encodeBlock appends the plaintext of a block to dst[:0].
func encodeBlock(dst []byte, entries []entry) []byte {
	var packs []PackID
	number := map[PackID]uint64{}
	for _, e := range entries {
		if _, known := number[e.pack]; !known {
			number[e.pack] = uint64(len(packs))
			packs = append(packs, e.pack)
		}
	}
	dst = binary.AppendUvarint(dst[:0], uint64(len(packs)))
	for _, p := range packs {
		dst = append(dst, p.Backup...)
		dst = binary.AppendUvarint(dst, uint64(p.Number))
	}
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	part := ""
	for _, e := range entries {
		name := e.part
		if name == part {
			name = ""
		}
		part = e.part
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		dst = binary.AppendUvarint(dst, e.ordinal)
		dst = binary.AppendUvarint(dst, uint64(e.rows))
		dst = binary.BigEndian.AppendUint64(dst, e.fingerprint.Hi)
		dst = binary.BigEndian.AppendUint64(dst, e.fingerprint.Lo)
		dst = binary.AppendUvarint(dst, uint64(e.size))
		dst = append(dst, e.sum[:]...)
		for _, n := range []uint64{number[e.pack], uint64(e.index), uint64(e.offset), uint64(e.length)} {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	return dst
}

// decodeBlock appends the entries of a block's plaintext to dst.
func decodeBlock(dst []entry, plain []byte) ([]entry, error) {
	d := decoder{rest: plain}
	packs := make([]PackID, d.count(idLength+1))
	for i := range packs {
		id, err := envdb.ParseBackupID(string(d.bytes(idLength)))
		if err != nil {
			return dst, err
		}
		packs[i] = PackID{Backup: id, Number: int(d.number(math.MaxInt32))}
	}
	part := ""
	for range d.count(entryShortest) {
		if name := d.bytes(int(d.number(longestPart))); len(name) > 0 {
			part = string(name)
		}
		e := entry{part: part, ordinal: d.uvarint(), rows: d.number(math.MaxInt64)}
		e.fingerprint = envdb.Fingerprint{Hi: d.uint64(), Lo: d.uint64()}
		e.size = d.number(math.MaxInt32)
		copy(e.sum[:], d.bytes(sha256.Size))
		pack := d.number(math.MaxInt32)
		e.index, e.offset, e.length = int32(d.number(math.MaxInt32)), d.number(math.MaxInt64), d.number(math.MaxInt64)
		if d.err == nil && pack >= int64(len(packs)) {
			d.err = errors.New("an entry refers to a pack that the block does not list")
		}
		if d.err != nil {
			return dst, d.err
		}
		e.pack = packs[pack]
		dst = append(dst, e)
	}
	if len(d.rest) > 0 && d.err == nil {
		d.err = fmt.Errorf("%d bytes too many", len(d.rest))
	}
	return dst, d.err
}

// decoder reads a block. After an error it returns zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) number(largest int64) int64 {
	v := d.uvarint()
	if v > uint64(largest) {
		d.fail()
		return 0
	}
	return int64(v)
}

// count reads the number of items of at least the given length each, so that a
// damaged number asks for no more memory than the block could fill.
func (d *decoder) count(itemLength int) int {
	return int(d.number(int64(len(d.rest) / itemLength)))
}

func (d *decoder) bytes(n int) []byte {
	if d.err != nil || n > len(d.rest) {
		d.fail()
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint64() uint64 {
	b := d.bytes(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errors.New("the block is cut short or damaged")
	}
	d.rest = nil
}
