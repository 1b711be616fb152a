package seal_test

import "testing"

const benchSize = 4 << 20 // of a chunk of rows, compressed

var benchData = []byte("envdb1\x00repository\x00acme/packs/prod/20261120-140500/000001\x00\x00\x00\x00\x00\x00\x00\x00\x01")

// BenchmarkSeal seals chunks as a backup does.
func BenchmarkSeal(b *testing.B) {
	key := newKey(b)
	buf := make([]byte, 0, benchSize+64)[:benchSize]
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		key.SealInPlace(buf, benchData)
	}
}

// BenchmarkOpen opens chunks as a restore does.
func BenchmarkOpen(b *testing.B) {
	key := newKey(b)
	sealed := key.SealInPlace(make([]byte, benchSize), benchData)
	buf := make([]byte, 0, benchSize)
	b.SetBytes(benchSize)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Open(buf, sealed, benchData); err != nil {
			b.Fatal(err)
		}
	}
}
