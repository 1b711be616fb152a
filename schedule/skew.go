package schedule

import (
	"time"

	"github.com/envdb/envdb"
)

// Clocks may be WarnSkew apart before someone should look, and StopSkew before
// nothing expires and no good-until is renewed: what is old by one clock may be
// new by the other.
const (
	WarnSkew = 5 * time.Second
	StopSkew = 60 * time.Second
)

// Skew is how far the source's clock is ahead of the daemon's; it is negative
// if it is behind.
type Skew time.Duration

// SkewOf returns the skew of two clocks that were read at one moment.
func SkewOf(source, daemon time.Time) Skew { return Skew(source.Sub(daemon)) }

// Warns reports whether someone should look at the clocks.
func (s Skew) Warns() bool { return s.size() > WarnSkew }

// Stops reports whether nothing may expire, and no good-until may be written,
// until the clocks agree. A backup may be taken: its point is what the source
// says, and its start is what keeps it from being taken again.
func (s Skew) Stops() bool { return s.size() > StopSkew }

func (s Skew) size() time.Duration { return max(time.Duration(s), -time.Duration(s)) }

// String says which clock is ahead, e.g. "the source's clock is 12s ahead".
func (s Skew) String() string {
	switch {
	case s == 0:
		return "the clocks agree"
	case s < 0:
		return "the source's clock is " + envdb.FormatDuration(s.size()) + " behind"
	}
	return "the source's clock is " + envdb.FormatDuration(s.size()) + " ahead"
}
