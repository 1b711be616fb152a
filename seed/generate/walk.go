package generate

import (
	"math/bits"
	"math/rand/v2"
)

// walk visits the numbers below size in an order that looks random, each once:
// a Feistel network over the next power of four, whose values outside are
// stepped over by walking on.
type walk struct {
	size uint64 // 0 for all 64 bits
	half uint
	keys [4]uint64
}

func newWalk(size uint64, random *rand.Rand) *walk {
	w := &walk{size: size, half: 32}
	if size != 0 {
		w.half = uint(max(1, (bits.Len64(size-1)+1)/2))
	}
	for i := range w.keys {
		w.keys[i] = random.Uint64()
	}
	return w
}

// at returns the n-th number of the walk.
func (w *walk) at(n uint64) uint64 {
	for {
		n = w.step(n)
		if w.size == 0 || n < w.size {
			return n
		}
	}
}

func (w *walk) step(n uint64) uint64 {
	mask := uint64(1)<<w.half - 1
	left, right := n>>w.half&mask, n&mask
	for _, key := range w.keys {
		mixed := (right ^ key) * 0x9e3779b97f4a7c15
		left, right = right, left^(mixed>>32^mixed)&mask
	}
	return left<<w.half | right
}
