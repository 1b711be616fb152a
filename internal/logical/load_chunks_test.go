package logical

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb/backup"
)

// farAway is a reader whose fetches end only when the test lets them.
type farAway struct {
	ChunkReader
	begun chan uint64
	let   chan struct{}
	fail  map[uint64]error

	mu      sync.Mutex
	running int
	most    int
	bytes   int64
	largest int64
}

func (f *farAway) FetchRun(_ context.Context, run []backup.Ref, buf []byte) ([]byte, error) {
	ref := run[0]
	f.change(1, ref.Size)
	defer f.change(-1, -ref.Size)
	f.begun <- ref.Ordinal
	<-f.let
	if err := f.fail[ref.Ordinal]; err != nil {
		return nil, err
	}
	data := append(buf[:0], make([]byte, ref.Size)...)
	binary.BigEndian.PutUint64(data, ref.Ordinal)
	return data, nil
}

func (f *farAway) change(n int, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running, f.bytes = f.running+n, f.bytes+size
	f.most, f.largest = max(f.most, f.running), max(f.largest, f.bytes)
}

// runsOf returns runs of one chunk each.
func runsOf(n int, size int64) [][]backup.Ref {
	runs := make([][]backup.Ref, n)
	for i := range runs {
		runs[i] = []backup.Ref{{Part: "table/public/t", Ordinal: uint64(i), Size: size}}
	}
	return runs
}

func TestStreamFetchesAhead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		size  int64
		ahead int
	}{
		"small chunks":   {1 << 10, fetchesAhead},
		"middling":       {6 << 20, 2},
		"large":          {16 << 20, 1},
		"above the most": {17 << 20, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 5
			far := &farAway{begun: make(chan uint64, n), let: make(chan struct{}, n)}
			s := &chunkStream{ctx: t.Context(), reader: far, runs: runsOf(n, tt.size), most: 16 << 20}
			all := make(chan []byte)
			go func() {
				data, _ := io.ReadAll(s)
				all <- data
			}()
			for range tt.ahead {
				<-far.begun // they run at once: none has ended yet
			}
			for range n {
				far.let <- struct{}{}
			}
			data := <-all
			if err := s.finish(); err != nil {
				t.Fatal(err)
			}
			if int64(len(data)) != n*tt.size {
				t.Fatalf("read %d bytes; want %d", len(data), n*tt.size)
			}
			for i := range uint64(n) {
				if got := binary.BigEndian.Uint64(data[int64(i)*tt.size:]); got != i {
					t.Errorf("chunk %d lies where %d should", got, i)
				}
			}
			if far.most > tt.ahead || far.running != 0 {
				t.Errorf("%d fetches ran at once, and %d run still; want %d and none", far.most, far.running, tt.ahead)
			}
			kept := 0
			for _, m := range s.memory() {
				kept += cap(m)
			}
			if kept == 0 || kept > keptMemory {
				t.Errorf("%d bytes of memory are kept for the next stream", kept)
			}
		})
	}
}

// TestStreamReturnsTheFirstError waits for every fetch, and reports the one
// that was wanted first.
func TestStreamReturnsTheFirstError(t *testing.T) {
	t.Parallel()
	far := &farAway{begun: make(chan uint64, 9), let: make(chan struct{}, 9), fail: map[uint64]error{
		1: errors.New("pack 1 is damaged"), 2: errors.New("pack 2 is damaged"),
	}}
	for range 9 {
		far.let <- struct{}{}
	}
	s := &chunkStream{ctx: t.Context(), reader: far, runs: runsOf(9, 100), most: 16 << 20}
	_, err := io.ReadAll(s)
	if end := s.finish(); err == nil || end == nil || !strings.Contains(end.Error(), "table/public/t from chunk 1: pack 1 is damaged") {
		t.Errorf("read: %v, finish: %v; want pack 1", err, end)
	}
	if far.running != 0 {
		t.Errorf("%d fetches run still", far.running)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("an ended stream gave %d bytes, %v", n, err)
	}
}

// TestStreamEndsEarly leaves nothing running when the server gives up.
func TestStreamEndsEarly(t *testing.T) {
	t.Parallel()
	far := &farAway{begun: make(chan uint64, 9), let: make(chan struct{}, 9)}
	for range 9 {
		far.let <- struct{}{}
	}
	s := &chunkStream{ctx: t.Context(), reader: far, runs: runsOf(9, 100), most: 16 << 20}
	if _, err := s.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := s.finish(); err != nil || far.running != 0 {
		t.Errorf("finish: %v, %d fetches run still", err, far.running)
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("an ended stream gave %d bytes, %v", n, err)
	}
}
