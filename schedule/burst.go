package schedule

import (
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// burstAfter is when the backups of a burst are due.
var burstAfter = [...]time.Duration{
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, envdb.Day,
}

// burstKept is how old the last backup of a burst gets before the burst is
// over.
const burstKept = envdb.Day

// Burst is a dense sequence of backups after a risky change. It does not heed
// max_duty: someone asked for it. The zero Burst wants nothing.
type Burst struct {
	Begun time.Time `json:"begun"`
	// Due are its due times, earliest first.
	Due []time.Time `json:"due"`
}

// NewBurst returns the burst that begins now: due after 1m, 2m, 5m, 10m, 1h, 3h,
// 6h and 1d.
func NewBurst(now time.Time) Burst {
	b := Burst{Begun: now.UTC(), Due: make([]time.Time, len(burstAfter))}
	for i, after := range burstAfter {
		b.Due[i] = b.Begun.Add(after)
	}
	return b
}

// due returns the due time that is not covered by a point as fresh as given.
// Only the last one that has passed counts: missed ones are not made up for.
func (b Burst) due(now, fresh time.Time) (at time.Time, due bool) {
	passed := b.passed(now)
	if passed == 0 {
		return time.Time{}, false
	}
	at = b.Due[passed-1]
	return at, fresh.Before(at) && (passed < len(b.Due) || now.Before(at.Add(burstKept)))
}

// next returns the first due time after now.
func (b Burst) next(now time.Time) (time.Time, bool) {
	if passed := b.passed(now); passed < len(b.Due) {
		return b.Due[passed], true
	}
	return time.Time{}, false
}

// passed returns how many due times are at or before now.
func (b Burst) passed(now time.Time) int {
	n, _ := slices.BinarySearchFunc(b.Due, now, func(due, now time.Time) int {
		if due.After(now) {
			return 1
		}
		return -1
	})
	return n
}

// Over reports whether the burst keeps nothing any more: there is a good point
// a day after its last one. Time passes with the points, so that silence ends
// no burst. Points may have any order.
func (b Burst) Over(now time.Time, points []RestorePoint) bool {
	good := goodPoints(now, points)
	return b.over(good)
}

// over is Over for good points, earliest first.
func (b Burst) over(good []goodPoint) bool {
	if len(b.Due) == 0 {
		return true
	}
	if len(good) == 0 {
		return false
	}
	last := b.Due[len(b.Due)-1]
	if p := firstFrom(good, last); p < len(good) && good[p].At.Before(last.Add(burstKept)) {
		last = good[p].At
	}
	return !good[len(good)-1].At.Before(last.Add(burstKept))
}

// keep tells each point of the burst: the one that began it, and
// for each due time the first one from then on, or the one that was known to
// be exact then.
func (b Burst) keep(now time.Time, good []goodPoint, because because) {
	if b.over(good) {
		return
	}
	for i, from := range append([]time.Time{b.Begun}, b.Due...) {
		until := from.Add(burstKept)
		if i < len(b.Due) {
			until = b.Due[i]
		}
		p := firstFrom(good, from)
		switch {
		case p < len(good) && good[p].At.Before(until):
			because(good[p].index, Reason{Why: InBurst, Slot: from})
		case i > 0 && p > 0 && !good[p-1].exactUntil(now).Before(from):
			because(good[p-1].index, Reason{Why: InBurst, Slot: from})
		}
	}
}

// firstFrom returns the index of the first point at or after t.
func firstFrom(good []goodPoint, t time.Time) int {
	i, _ := slices.BinarySearchFunc(good, t, func(p goodPoint, t time.Time) int {
		if p.At.Before(t) {
			return -1
		}
		return 1
	})
	return i
}
