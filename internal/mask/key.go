package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/envdb/envdb"
)

// Key is what the secret becomes. Values are hashed with it, and it never
// leaves the process.
type Key [sha256.Size]byte

// leastSecret is how long a secret must be: whoever can guess it can try out
// values until one of them gives the mask.
const leastSecret = 16

// NewKey derives the key from the secret.
func NewKey(secret string) (Key, error) {
	if len(secret) < leastSecret {
		return Key{}, envdb.Fail(envdb.ErrPreflight, "the secret of the masking has %d characters; the least is %d", len(secret), leastSecret).
			WithState("nothing was changed").WithNext("make one, and keep it: openssl rand -hex 32")
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("envdb mask 1"))
	return Key(mac.Sum(nil)), nil
}

// sum is the keyed hash of a value.
type sum [sha256.Size]byte

// sum hashes a value behind the key. Masks show at most half of a sum, so
// nobody can go on from one that he sees.
func (k *Key) sum(value []byte) sum {
	var room [192]byte
	return sha256.Sum256(append(append(room[:0], k[:]...), value...))
}

// number is a number that the sum decides.
func (s sum) number() uint64 { return binary.BigEndian.Uint64(s[16:]) }

// rounds is how many rounds of a Feistel network make a permutation.
const rounds = 6

// permute returns where the xth of n numbers goes, in a permutation that the
// key decides: a Feistel network over the next power of four, walked on while
// it leads beyond n.
func (k *Key) permute(x, n uint64) uint64 {
	half := max(1, (bits.Len64(n-1)+1)/2)
	low := uint64(1)<<half - 1
	for {
		left, right := x>>half, x&low
		for round := range rounds {
			left, right = right, left^k.round(byte(round), n, right)&low
		}
		if x = left<<half | right; x < n {
			return x
		}
	}
}

// round is the function of one round.
func (k *Key) round(round byte, n, right uint64) uint64 {
	var room [64]byte
	b := append(append(room[:0], k[:]...), "permute"...)
	b = append(b, round)
	b = binary.BigEndian.AppendUint64(b, n)
	b = binary.BigEndian.AppendUint64(b, right)
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}
