package envdb

import (
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Fingerprint is an order-independent 128-bit sum over rows: equal multisets
// of rows have equal fingerprints, whatever order they were read in. It finds
// accidents; it is no defence against a forger.
type Fingerprint struct{ Hi, Lo uint64 }

// Add returns the fingerprint of both multisets together. It is commutative
// and associative; the zero Fingerprint is that of no rows.
func (f Fingerprint) Add(g Fingerprint) Fingerprint {
	lo, carry := bits.Add64(f.Lo, g.Lo, 0)
	hi, _ := bits.Add64(f.Hi, g.Hi, carry)
	return Fingerprint{Hi: hi, Lo: lo}
}

// String returns 32 hexadecimal digits.
func (f Fingerprint) String() string { return fmt.Sprintf("%016x%016x", f.Hi, f.Lo) }

// MarshalText implements encoding.TextMarshaler.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	var raw [16]byte
	if n, err := hex.Decode(raw[:], text); err != nil || n != len(raw) || len(text) != 32 {
		return fmt.Errorf("fingerprint %q: not 32 hexadecimal digits", text)
	}
	for i := range 8 {
		f.Hi = f.Hi<<8 | uint64(raw[i])
		f.Lo = f.Lo<<8 | uint64(raw[8+i])
	}
	return nil
}
