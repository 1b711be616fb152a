package logical

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/envdb/envdb/backup"
)

// oneChunk is a backup that holds the same chunk again and again.
type oneChunk []byte

func (oneChunk) Chunks(string) []backup.Ref { return make([]backup.Ref, 8) }

func (oneChunk) String() string { return "prod@20261120-140500" }

func (c oneChunk) Fetch(_ context.Context, _ backup.Ref, buf []byte) ([]byte, error) {
	return append(buf[:0], c...), nil
}

func (c oneChunk) FetchRun(ctx context.Context, run []backup.Ref, buf []byte) ([]byte, error) {
	return c.Fetch(ctx, run[0], buf)
}

// BenchmarkCopyIn makes the stream of a COPY … FROM STDIN out of chunks.
func BenchmarkCopyIn(b *testing.B) {
	reader := oneChunk(bytes.Join(binaryStream(someRows(4_000, 1000)).rows, nil))
	refs := reader.Chunks("")
	var memory [][]byte
	b.SetBytes(int64(len(refs) * len(reader)))
	b.ReportAllocs()
	for b.Loop() {
		chunks := &chunkStream{ctx: b.Context(), reader: reader, runs: backup.Runs(refs, 0), free: memory}
		n, err := io.Copy(io.Discard, framed(chunks, formatBinary))
		if want := int64(len(binaryHeader) + len(refs)*len(reader) + len(binaryTrailer)); err != nil || n != want {
			b.Fatalf("%d bytes, %v, want %d", n, err, want)
		}
		if err := chunks.finish(); err != nil {
			b.Fatal(err)
		}
		memory = chunks.memory()
	}
}
