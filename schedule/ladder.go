package schedule

import (
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Ladder is a list of intervals, finest first, at which restore points are
// taken and kept: 1m 2m 5m … 1d. Each interval is a rung.
type Ladder []time.Duration

const ladderNext = "write intervals from fine to coarse, e.g. [5m, 1h, 1d]"

// ParseLadder reads "[1m, 2m, 5m]"; brackets may be left out.
func ParseLadder(s string) (Ladder, error) {
	text := strings.TrimSpace(s)
	open, closed := strings.HasPrefix(text, "["), strings.HasSuffix(text, "]")
	if open != closed {
		return nil, envdb.Fail(envdb.ErrMisuse, "ladder %q has one bracket", s).WithNext(ladderNext)
	}
	if open {
		text = text[1 : len(text)-1]
	}
	if strings.TrimSpace(text) == "" {
		return NewLadder()
	}
	var rungs []time.Duration
	for word := range strings.SplitSeq(text, ",") {
		d, err := envdb.ParseDuration(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		rungs = append(rungs, d)
	}
	return NewLadder(rungs...)
}

// NewLadder returns the ladder of the rungs, which must be positive, whole
// seconds, and grow.
func NewLadder(rungs ...time.Duration) (Ladder, error) {
	if len(rungs) == 0 {
		return nil, envdb.Fail(envdb.ErrMisuse, "the ladder has no rung").WithNext(ladderNext)
	}
	for i, d := range rungs {
		if d <= 0 {
			return nil, envdb.Fail(envdb.ErrMisuse, "the ladder has a rung of %s", envdb.FormatDuration(d)).WithNext(ladderNext)
		}
		if d%time.Second != 0 {
			return nil, envdb.Fail(envdb.ErrMisuse, "the ladder has a rung of %s, which is no whole number of seconds", envdb.FormatDuration(d)).
				WithNext(ladderNext)
		}
		if i > 0 && d <= rungs[i-1] {
			return nil, envdb.Fail(envdb.ErrMisuse, "the ladder goes from %s to %s, which is not coarser",
				envdb.FormatDuration(rungs[i-1]), envdb.FormatDuration(d)).WithNext(ladderNext)
		}
	}
	return Ladder(rungs), nil
}

// DefaultLadder returns the ladder that envdb proposes where nothing is known.
func DefaultLadder() Ladder {
	return Ladder{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, envdb.Day}
}

// String returns l as ParseLadder reads it.
func (l Ladder) String() string {
	words := make([]string, len(l))
	for i, d := range l {
		words[i] = envdb.FormatDuration(d)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// MarshalText implements encoding.TextMarshaler.
func (l Ladder) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// DefaultMaxDuty is the share of the time that backups may take.
const DefaultMaxDuty = 0.25

// Fit splits the ladder for backups that take the given time: a rung finer
// than what maxDuty allows (with 0.25, four times the duration) is suspended.
// The coarsest rung is always kept: an environment whose backups are slow
// still has backups. A maxDuty that is not positive is DefaultMaxDuty.
func (l Ladder) Fit(duration time.Duration, maxDuty float64) (kept, suspended Ladder) {
	if maxDuty <= 0 {
		maxDuty = DefaultMaxDuty
	}
	finest := float64(duration) / maxDuty
	for i, rung := range l {
		if float64(rung) >= finest || i == len(l)-1 {
			return l[i:], l[:i]
		}
	}
	return nil, nil
}
