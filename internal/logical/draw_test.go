package logical

import (
	"slices"
	"testing"
)

// Small indexes are always drawn, large ones within their share, one that is
// larger than the share never, and one seed draws once.
func TestDrawIndexes(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	sizes := []int64{mib, 64 * mib, 65 * mib, 70 * mib, 80 * mib, 90 * mib, 900 * mib}
	ever := make([]bool, len(sizes))
	for seed := range uint64(200) {
		s := BTreeSample{Whole: 64 * mib, Share: 0.25, Seed: seed}
		drawn := s.draw(sizes)
		if !slices.Equal(drawn, s.draw(sizes)) {
			t.Fatalf("seed %d drew twice", seed)
		}
		var large int64
		for i, d := range drawn {
			ever[i] = ever[i] || d
			if d && sizes[i] > s.Whole {
				large += sizes[i]
			}
		}
		if !drawn[0] || !drawn[1] || large > (65+70+80+90+900)*mib/4 {
			t.Fatalf("seed %d drew %v", seed, drawn)
		}
	}
	if want := []bool{true, true, true, true, true, true, false}; !slices.Equal(ever, want) {
		t.Errorf("ever drawn %v, want %v", ever, want)
	}
	if all := (BTreeSample{Whole: 1, Share: 1}).draw(sizes); slices.Contains(all, false) {
		t.Errorf("of everything it drew %v", all)
	}
}
