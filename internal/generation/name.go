package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

const (
	// longestName is how many bytes of an identifier PostgreSQL keeps.
	longestName = 63
	// longestID leaves room for a recognisable piece of the base.
	longestID = 32
	hashed    = 8
)

// Name returns the name of a version's database, `<base>__<state>_<id>`. What
// would be longer than an identifier may be is cut between characters, and a
// hash of the whole base keeps the names of two long bases apart.
func Name(base string, state envdb.VersionState, id string) string {
	tail := "__" + string(state) + "_" + cut(id, longestID)
	return cut(base, longestName-len(tail)) + tail
}

// prefix returns what the names of all versions of base in a state begin with.
// A name that begins so may still be somebody else's: only the marker tells.
func prefix(base string, state envdb.VersionState, id string) string {
	return strings.TrimSuffix(Name(base, state, id), id)
}

// cut returns s if it has at most n bytes, or else as much of it as fits with
// a hash of all of it.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	end := n - hashed - 1
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "_" + hex.EncodeToString(sum[:])[:hashed]
}
