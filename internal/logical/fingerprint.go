package logical

import (
	"github.com/envdb/envdb"
	"github.com/zeebo/xxh3"
)

// HashRow returns the fingerprint of one row as COPY writes it: the bytes of
// its line without the newline in text format, and of its field count and
// fields in binary format.
func HashRow(row []byte) envdb.Fingerprint {
	h := xxh3.Hash128(row)
	return envdb.Fingerprint{Hi: h.Hi, Lo: h.Lo}
}
