package logical

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/envdb/envdb/backup"
)

// chunkStream reads consecutive chunks of a part as one stream. It fetches a
// chunk while the one before it is being sent.
type chunkStream struct {
	ctx    context.Context // of the one operation that the stream belongs to
	reader ChunkReader
	refs   []backup.Ref

	mu      sync.Mutex // held by Read; a cancelled COPY may leave its last one behind
	rest    []byte     // of the current chunk
	current []byte     // memory of the current chunk
	spare   []byte     // memory that holds no chunk
	next    chan fetched
	err     error // the first error of a fetch, or io.EOF
}

// chunkMemory is what a stream keeps chunks in: the current one and the next.
// Sessions keep it from stream to stream, so that it does not pile up until it
// is collected.
type chunkMemory [2][]byte

// keptMemory is the size above which memory is given back: a large row needed
// it.
const keptMemory = 32 << 20

type fetched struct {
	data []byte
	err  error
}

// Read implements io.Reader.
func (s *chunkStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.err = s.advance(); s.err != nil {
			return 0, s.err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// advance makes the next chunk the current one and begins to fetch the one
// after it.
func (s *chunkStream) advance() error {
	if s.next == nil {
		s.fetch()
	}
	got, more := <-s.next
	if !more {
		return io.EOF
	}
	if got.err != nil {
		return got.err
	}
	s.spare, s.current, s.rest = s.current, got.data, got.data
	s.fetch()
	return nil
}

// fetch gets the next chunk in the background, into the spare memory if that is
// large enough.
func (s *chunkStream) fetch() {
	s.next = make(chan fetched, 1)
	if len(s.refs) == 0 {
		close(s.next)
		return
	}
	ref, next := s.refs[0], s.next
	buf := s.spare
	s.refs, s.spare = s.refs[1:], nil
	go func() {
		data, err := s.reader.Fetch(s.ctx, ref, buf)
		if err != nil {
			err = fmt.Errorf("chunk %d of %s: %w", ref.Ordinal, ref.Part, err)
		}
		next <- fetched{data, err}
	}()
}

// finish ends the stream and waits until nothing uses the reader any more. It
// returns the error of a fetch that failed.
func (s *chunkStream) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = io.EOF
		if s.next != nil {
			s.spare = (<-s.next).data
		}
	}
	s.rest = nil // what it lies in may serve another stream from now on
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// memory returns what an ended stream no longer needs.
func (s *chunkStream) memory() chunkMemory {
	m := chunkMemory{s.current, s.spare}
	for i := range m {
		if cap(m[i]) > keptMemory {
			m[i] = nil
		}
	}
	return m
}
