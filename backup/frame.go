package backup

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// The kinds of a frame's body.
const (
	frameRaw  = 0
	frameZstd = 1
)

// frameOverhead is how much longer than its plaintext a frame can be.
const frameOverhead = 1

// chunkLevel was chosen for a writer that keeps up with COPY on one core; the
// next level stores some 5 % less and takes twice the time.
const chunkLevel = zstd.SpeedFastest

// codec makes frames and reads them. It keeps its encoders and decoders.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() (*codec, error) {
	// A single segment always states its content size.
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(chunkLevel), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, fmt.Errorf("make a zstd encoder: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("make a zstd decoder: %w", err)
	}
	return &codec{encoder: encoder, decoder: decoder}, nil
}

// frame appends the frame of plain to dst[:0].
func (c *codec) frame(dst, plain []byte) []byte {
	dst = c.encoder.EncodeAll(plain, append(dst[:0], frameZstd))
	if len(dst)-frameOverhead >= len(plain) {
		dst = append(append(dst[:0], frameRaw), plain...)
	}
	return dst
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
