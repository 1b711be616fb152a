package backup

import (
	"github.com/envdb/envdb"
)

// Chunk is a piece of a part on its way into a backup. A part is a named
// stream: its chunks, in the order of their ordinals, are its content.
type Chunk struct {
	Part    string
	Ordinal uint64
	// Rows and Fingerprint count and sum the rows in Data, where it has rows.
	Rows        int64
	Fingerprint envdb.Fingerprint
	Data        []byte
}

// Ref is a chunk in a backup: what it holds and where it lies.
type Ref struct {
	Part        string
	Ordinal     uint64
	Rows        int64
	Fingerprint envdb.Fingerprint
	Size        int64    // of the plaintext
	SHA256      [32]byte // of the plaintext

	Pack   Pack  // where it is stored
	Index  int   // the chunk's ordinal within its pack
	Offset int64 // within the pack
	Length int64 // stored
}
