package drill

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/envdb/envdb"
)

// Encode returns the report as it is stored, and its hash.
func (r *Report) Encode() (raw []byte, hash string, err error) {
	raw, err = json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, "", err
	}
	raw = append(raw, '\n')
	return raw, Hash(raw), nil
}

// Hash returns the SHA-256 of a stored report, in hex.
func Hash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Decode reads a stored report. One of a newer schema is refused.
func Decode(raw []byte) (*Report, error) {
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("it is no report: %w", err)
	}
	if version.Version != ReportVersion {
		return nil, envdb.Fail(envdb.ErrPreflight, "the report is of version %d, and this envdb knows %d", version.Version, ReportVersion).WithNext("use a newer envdb")
	}
	r := &Report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return nil, fmt.Errorf("it is no report: %w", err)
	}
	return r, nil
}

// Link is a stored report, or why it cannot be read.
type Link struct {
	Number int
	Raw    []byte
	Err    error
}

// Verification is what a look at the chain found.
type Verification struct {
	Reports int `json:"reports"`
	// Last is the hash of the last report: who wrote it down knows later that
	// nothing was taken off the end or put in its place.
	Last string `json:"last_hash,omitempty"`
	// Broken says what is wrong, and where; empty if nothing is.
	Broken []string `json:"broken"`
}

// Verify checks the chain: that no number is missing, that each report carries
// the hash of the one before, and that each has the hash that was noted of it
// elsewhere. Noted are hashes by run; a run that is not in it says nothing.
func Verify(links []Link, noted map[string]string) Verification {
	v := Verification{Reports: len(links), Broken: []string{}}
	breaks := func(format string, args ...any) { v.Broken = append(v.Broken, fmt.Sprintf(format, args...)) }
	var previous string
	for i, link := range links {
		number := i + 1
		if link.Number != number {
			breaks("report %d is missing", number)
			return v
		}
		if link.Err != nil {
			breaks("report %d cannot be read: %v", number, link.Err)
			return v
		}
		r, err := Decode(link.Raw)
		if err != nil {
			breaks("report %d: %v", number, err)
			return v
		}
		if r.Number != number {
			breaks("report %d says that it is number %d", number, r.Number)
		}
		if r.Previous != previous {
			breaks("report %d follows another report %d than the one that is there: one of them was changed", number, number-1)
		}
		previous = Hash(link.Raw)
		if known, ok := noted[r.Run]; ok && known != previous {
			breaks("report %d is not the one whose hash run %s noted", number, r.Run)
		}
		v.Last = previous
		delete(noted, r.Run)
	}
	for run := range noted {
		breaks("the report of run %s is missing", run)
	}
	return v
}
