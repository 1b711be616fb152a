package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

const benchChunk = 8 << 20

// rows returns text as COPY would write it.
func rows(seed int) []byte {
	var b bytes.Buffer
	random := noise(seed, benchChunk/16)
	for i := 0; b.Len() < benchChunk; i++ {
		fmt.Fprintf(&b, "%d\tcustomer %x\t2026-11-20 14:05:00\t%d.00\tshipped\n", i, random[(i*4)%len(random):(i*4)%len(random)+4], i%997)
	}
	return b.Bytes()[:benchChunk]
}

// BenchmarkPut stores chunks of rows that the base does not have.
func BenchmarkPut(b *testing.B) {
	inEachMode(b, func(b *testing.B, in mode) { benchPut(b, in, rows(1), mark) })
}

// BenchmarkPutNoise stores chunks that do not compress.
func BenchmarkPutNoise(b *testing.B) {
	inEachMode(b, func(b *testing.B, in mode) { benchPut(b, in, noise(1, benchChunk), mark) })
}

// BenchmarkDedup stores chunks that the backup has already.
func BenchmarkDedup(b *testing.B) {
	inEachMode(b, func(b *testing.B, in mode) {
		benchPut(b, in, rows(1), func(data []byte, _ int) []byte { return data })
	})
}

// BenchmarkFetch reads chunks of rows.
func BenchmarkFetch(b *testing.B) {
	inEachMode(b, func(b *testing.B, in mode) {
		repo := in.repository(b, newMemory())
		reader, err := repo.Open(b.Context(), mustTake(b, repo, content{"table": {rows(1)}}))
		if err != nil {
			b.Fatal(err)
		}
		ref := reader.Chunks("table")[0]
		var buf []byte
		b.SetBytes(benchChunk)
		b.ReportAllocs()
		for b.Loop() {
			if buf, err = reader.Fetch(b.Context(), ref, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func inEachMode(b *testing.B, bench func(*testing.B, mode)) {
	for _, in := range []mode{plain(), encrypted(b)} {
		b.Run(string(in.Mode), func(b *testing.B) { bench(b, in) })
	}
}

func mark(data []byte, i int) []byte {
	copy(data, strconv.Itoa(i))
	return data
}

// sink is a store that forgets packs, as fast as they come.
type sink struct{ *memory }

func (s sink) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if bytes.Contains([]byte(key), []byte("/packs/")) {
		_, err := io.Copy(io.Discard, body)
		return "", err
	}
	return s.memory.Put(ctx, key, body, cond)
}

func benchPut(b *testing.B, in mode, data []byte, next func([]byte, int) []byte) {
	repo := in.repository(b, sink{newMemory()})
	w, err := repo.Create(b.Context(), "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(benchChunk)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := w.Put(b.Context(), chunk("table", i, next(data, i))); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Abort(b.Context()); err != nil {
		b.Fatal(err)
	}
}
