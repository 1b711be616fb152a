package logical

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/envdb/envdb/backup"
)

const (
	// readAhead is how much all streams of a load together fetch ahead of what
	// is being sent, but each at least one chunk: a store far away answers
	// slowly, not little at a time.
	readAhead = 16 << 20
	// fetchesAhead is how many runs of chunks a stream fetches at once.
	fetchesAhead = 4
	// runMost is what one request reads of chunks that lie behind one another:
	// enough to make the way there cheap, and little enough to fetch ahead.
	runMost = 4 << 20
	// keptMemory is how much memory a session keeps from stream to stream.
	keptMemory = 32 << 20
)

// chunkStream reads consecutive chunks of a part as one stream. It fetches
// chunks while those before them are being sent.
type chunkStream struct {
	ctx    context.Context // of the one operation that the stream belongs to
	reader ChunkReader
	runs   [][]backup.Ref // that are still to be fetched
	most   int64          // bytes to fetch ahead, if that is more than one run

	mu      sync.Mutex // held by Read; a cancelled COPY may leave its last one behind
	rest    []byte     // of the current run
	current []byte     // memory of the current run
	free    [][]byte   // memory that holds no run
	ahead   []fetch    // under way, in order
	err     error      // the first error of a fetch, or io.EOF
}

// fetch is a run of chunks on its way.
type fetch struct {
	size int64
	done chan fetched
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

// advance makes the next run the current one and begins to fetch others.
func (s *chunkStream) advance() error {
	s.fetchAhead()
	if len(s.ahead) == 0 {
		return io.EOF
	}
	got := <-s.ahead[0].done
	s.ahead = s.ahead[1:]
	if got.err != nil {
		return got.err
	}
	s.release(s.current)
	s.current, s.rest = got.data, got.data
	s.fetchAhead()
	return nil
}

// fetchAhead begins to fetch as much as may be under way.
func (s *chunkStream) fetchAhead() {
	var size int64
	for _, f := range s.ahead {
		size += f.size
	}
	for len(s.runs) > 0 && len(s.ahead) < fetchesAhead {
		if size += sizeOf(s.runs[0]); size > s.most && len(s.ahead) > 0 {
			return
		}
		s.ahead = append(s.ahead, s.fetch(s.runs[0]))
		s.runs = s.runs[1:]
	}
}

// fetch gets a run in the background, into free memory if that is large
// enough.
func (s *chunkStream) fetch(run []backup.Ref) fetch {
	var buf []byte
	if n := len(s.free); n > 0 {
		buf, s.free = s.free[n-1], s.free[:n-1]
	}
	f := fetch{sizeOf(run), make(chan fetched, 1)}
	go func() {
		data, err := s.reader.FetchRun(s.ctx, run, buf)
		if err != nil {
			err = fmt.Errorf("%s from chunk %d: %w", run[0].Part, run[0].Ordinal, err)
		}
		f.done <- fetched{data, err}
	}()
	return f
}

func (s *chunkStream) release(memory []byte) {
	if memory != nil {
		s.free = append(s.free, memory)
	}
}

// finish ends the stream and waits until nothing uses the reader any more. It
// returns the error of a fetch that failed.
func (s *chunkStream) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.ahead {
		s.release((<-f.done).data)
	}
	s.release(s.current)
	// What the rest lies in may serve another stream from now on.
	s.runs, s.ahead, s.current, s.rest = nil, nil, nil, nil
	if s.err == nil || s.err == io.EOF {
		s.err = io.EOF
		return nil
	}
	return s.err
}

// memory returns what an ended stream no longer needs, for the session's next
// one, so that it does not pile up until it is collected. What a large row
// needed is not kept.
func (s *chunkStream) memory() [][]byte {
	var kept [][]byte
	size := 0
	for _, m := range s.free {
		if size += cap(m); size > keptMemory {
			break
		}
		kept = append(kept, m)
	}
	return kept
}
