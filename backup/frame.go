package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/envdb/envdb/backup/seal"
)

// The kinds of a frame's body.
const (
	frameRaw  = 0
	frameZstd = 1
)

// frameOverhead is how much longer than its plaintext a frame can be, before
// it is sealed.
const frameOverhead = 1

// longestFrame returns how large a buffer must be for frame not to need another
// one: zstd tells within a block of up to 128 KiB that it does not compress,
// and spends a few bytes on saying so.
func longestFrame(plain int) int {
	return plain + plain>>12 + frameOverhead + seal.Overhead + 64
}

// chunkLevel was chosen for a writer that keeps up with COPY on one core; the
// next level stores some 5 % less and takes twice the time.
const chunkLevel = zstd.SpeedFastest

// codec makes frames and reads them. It keeps its encoders and decoders.
type codec struct {
	repository string
	key        seal.Key // the zero Key if nothing is sealed
	encoder    *zstd.Encoder
	decoder    *zstd.Decoder
}

// spot is where a sealed frame lies; it opens nowhere else.
type spot struct {
	object  string // key in the store
	ordinal int64  // of a chunk in its pack, offset of an index block, or 0
}

func newCodec(repository string) (*codec, error) {
	// A single segment always states its content size.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(chunkLevel), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	return &codec{repository: repository, encoder: encoder, decoder: decoder}, nil
}

// sealed reports whether frames are sealed.
func (c *codec) sealed() bool { return !c.key.IsZero() }

// shortest returns the length of the shortest stored frame.
func (c *codec) shortest() int64 {
	if c.sealed() {
		return frameOverhead + seal.Overhead
	}
	return frameOverhead
}

// frame returns the frame of plain in dst's memory if it fits, with room around
// it for seal, which makes of it what is stored.
func (c *codec) frame(dst, plain []byte) []byte {
	head, room := 0, 0
	if c.sealed() {
		head, room = seal.NonceSize, seal.Overhead-seal.NonceSize
	}
	dst = slices.Grow(dst[:0], head+frameOverhead)[:head]
	dst = c.encoder.EncodeAll(plain, append(dst, frameZstd))
	if len(dst)-head-frameOverhead >= len(plain) {
		dst = append(append(dst[:head], frameRaw), plain...)
	}
	return slices.Grow(dst, room)
}

// seal returns what is stored of what frame returned, in its memory.
func (c *codec) seal(frame []byte, at spot) []byte {
	if !c.sealed() {
		return frame
	}
	return c.key.SealInPlace(frame, c.associated(at))
}

// unseal returns the frame that was stored at a spot, in the memory of stored.
func (c *codec) unseal(stored []byte, at spot) ([]byte, error) {
	if !c.sealed() {
		return stored, nil
	}
	return c.key.OpenInPlace(stored, c.associated(at))
}

// associated returns the associated data that bind a frame to its spot.
func (c *codec) associated(at spot) []byte {
	ad := make([]byte, 0, len("envdb1")+len(c.repository)+len(at.object)+3+8)
	for _, part := range []string{"envdb1", c.repository, at.object} {
		ad = append(append(ad, part...), 0)
	}
	return binary.BigEndian.AppendUint64(ad, uint64(at.ordinal))
}

// unframe returns the plaintext of a frame in dst's memory if it fits, having
// checked that it has the given size and hash.
func (c *codec) unframe(dst, frame []byte, size int64, sum [sha256.Size]byte) ([]byte, error) {
	plain, err := c.open(dst, frame, size)
	if err != nil {
		return nil, err
	}
	if int64(len(plain)) != size {
		return nil, fmt.Errorf("it has %d bytes instead of %d", len(plain), size)
	}
	if got := sha256.Sum256(plain); got != sum {
		return nil, fmt.Errorf("its SHA-256 is %x instead of %x", got, sum)
	}
	return plain, nil
}

func (c *codec) open(dst, frame []byte, size int64) ([]byte, error) {
	if len(frame) == 0 {
		return nil, errors.New("it is empty")
	}
	kind, body := frame[0], frame[1:]
	switch kind {
	case frameRaw:
		return append(dst[:0], body...), nil
	case frameZstd:
	default:
		return nil, fmt.Errorf("its frame has the unknown kind %d", kind)
	}
	// A damaged header may ask for any amount of memory.
	var header zstd.Header
	if err := header.Decode(body); err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	if !header.HasFCS || header.FrameContentSize != uint64(size) {
		return nil, fmt.Errorf("it announces %d bytes instead of %d", header.FrameContentSize, size)
	}
	if int64(cap(dst)) < size {
		dst = make([]byte, 0, size)
	}
	plain, err := c.decoder.DecodeAll(body, dst[:0])
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return plain, nil
}
