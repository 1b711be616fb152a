package schedule

import (
	"cmp"
	"time"

	"github.com/envdb/envdb"
)

// State says what a restore point is good for.
type State uint8

// The states. What is not known to be readable is kept, and stops expiry.
const (
	Unreadable State = iota
	Running          // a backup that is being taken
	Good
	Bad // marked bad, or damaged
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"unreadable", "running", "good", "bad"}[min(s, Bad)]
}

// RestorePoint is what a ladder knows of a backup.
type RestorePoint struct {
	ID    envdb.BackupID
	State State

	// At is the moment that the backup holds, by the source's clock. Of a running
	// one it is when it began.
	At time.Time
	// GoodUntil is when the source was last seen to be unchanged since At, by the
	// source's clock. Zero, or before At, says nothing.
	GoodUntil time.Time
	// Started is when the backup began, by the clock of who took it; it keeps
	// backups apart from each other even if the source's clock is wrong. Zero
	// says nothing.
	Started time.Time
	// Took is how long it took; 0 is not known.
	Took time.Duration

	Proven bool
	Pinned bool
	// Rejected says that a drill marked it bad.
	Rejected bool
	// DependsOn are the backups without which this one cannot be restored.
	DependsOn []envdb.BackupID
	// Promised is until when the policy that was in force when it was written
	// keeps it; see Policy.Promise. Zero promises nothing.
	Promised time.Time
}

// future reports whether t is further ahead than clocks may be apart. Such a
// moment comes from a clock that was wrong.
func future(t, now time.Time) bool { return t.After(now.Add(StopSkew)) }

// exactUntil returns the last moment for which the point is exact. A good-until
// that is future-dated was written under a wrong clock, and says nothing.
func (p *RestorePoint) exactUntil(now time.Time) time.Time {
	if p.GoodUntil.After(p.At) && !future(p.GoodUntil, now) {
		return p.GoodUntil
	}
	return p.At
}

// represents reports whether the point may stand for a slot.
func (p *RestorePoint) represents(now time.Time) bool { return p.State == Good && !future(p.At, now) }

// compare orders restore points by their moment; of two at one moment, the
// later id is the newer.
func (p *RestorePoint) compare(q *RestorePoint) int {
	if c := p.At.Compare(q.At); c != 0 {
		return c
	}
	return cmp.Compare(p.ID, q.ID)
}

// newest returns the index of the newest point that passes, or -1.
func newest(points []RestorePoint, passes func(*RestorePoint) bool) int {
	best := -1
	for i := range points {
		if p := &points[i]; passes(p) && (best < 0 || p.compare(&points[best]) > 0) {
			best = i
		}
	}
	return best
}
