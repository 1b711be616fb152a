package backup_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

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
func BenchmarkPut(b *testing.B) { bench(b, func(data []byte, i int) []byte { return mark(data, i) }) }

// BenchmarkDedup stores chunks that the backup has already.
func BenchmarkDedup(b *testing.B) { bench(b, func(data []byte, _ int) []byte { return data }) }

func mark(data []byte, i int) []byte {
	copy(data, strconv.Itoa(i))
	return data
}

func bench(b *testing.B, next func([]byte, int) []byte) {
	repo := plain().repository(b, newMemory())
	w, err := repo.Create(b.Context(), "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		b.Fatal(err)
	}
	data := rows(1)
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
