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

	mu    sync.Mutex // held by Read; a cancelled COPY may leave its last one behind
	rest  []byte
	spare []byte
	next  chan fetched
	err   error // the first error of a fetch, or io.EOF
}

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
		s.fetch(nil)
	}
	got, more := <-s.next
	if !more {
		return io.EOF
	}
	if got.err != nil {
		return got.err
	}
	old := s.spare
	s.rest, s.spare = got.data, got.data
	s.fetch(old)
	return nil
}

// fetch gets the next chunk in the background, into buf if it is large enough.
func (s *chunkStream) fetch(buf []byte) {
	s.next = make(chan fetched, 1)
	if len(s.refs) == 0 {
		close(s.next)
		return
	}
	ref, next := s.refs[0], s.next
	s.refs = s.refs[1:]
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
			<-s.next
		}
	}
	if s.err == io.EOF {
		return nil
	}
	return s.err
}
