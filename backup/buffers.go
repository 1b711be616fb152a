package backup

import "sync"

const (
	// bufferStep is what the size of a buffer is a multiple of, so that one
	// fits the next chunk too.
	bufferStep = 4 << 20
	// bufferKept is the size of the largest buffer that is kept: a larger one
	// was made for a row that is larger than other chunks.
	bufferKept = 32 << 20
)

// buffers are kept from one frame to the next. There are as many as frames are
// made at the same time. The zero value is ready, for concurrent use.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
}

// take returns an empty buffer that holds size bytes without growing. One that
// is made for a chunk is large enough at once: growing step by step would leave
// garbage of more than its size each time.
func (b *buffers) take(size int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := len(b.free) - 1; last >= 0 {
		buf := b.free[last]
		b.free = b.free[:last]
		if cap(buf) >= size {
			return buf[:0]
		}
	}
	return make([]byte, 0, (size+bufferStep-1)/bufferStep*bufferStep)
}

// give returns a buffer that is not used any more.
func (b *buffers) give(buf []byte) {
	if cap(buf) > bufferKept {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, buf)
}
