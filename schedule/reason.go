package schedule

import (
	"fmt"
	"time"

	"github.com/envdb/envdb"
)

// Why is a kind of reason to keep a restore point.
type Why uint8

// The kinds of reasons.
const (
	Represents Why = iota + 1 // a slot of a rung: Rung, Slot
	NewestGood                // whatever the ladder says
	NewestProven
	Pinned
	InProgress  // a running backup
	FutureDated // its clock was wrong; it occupies no slot
	NotReadable // nobody knows what it is
	NeededBy    // another that is kept: Of
	InBurst     // the due time Slot of a burst
	OldPolicy   // a slot of a policy that was replaced, kept until Until: Rung, Slot
	NoLadder    // nothing says what may go
	NoneGood    // while no point is good, the others are all there is
	Inspected   // a drill rejected it; somebody may want to know why, until Until
)

// Reason is one reason to keep a restore point. Which fields are set depends
// on Why.
type Reason struct {
	Why   Why
	Rung  time.Duration
	Slot  time.Time
	Of    envdb.BackupID
	Until time.Time
}

// String returns the reason as people read it, e.g. "1h slot of 2026-11-20
// 14:00".
func (r Reason) String() string {
	switch r.Why {
	case Represents:
		return r.slot()
	case NewestGood:
		return "newest good"
	case NewestProven:
		return "newest proven"
	case Pinned:
		return "pinned"
	case InProgress:
		return "running"
	case FutureDated:
		return "dated in the future"
	case NotReadable:
		return "cannot be read"
	case NeededBy:
		return "needed by " + string(r.Of)
	case InBurst:
		return "burst of " + showSlot(r.Slot)
	case OldPolicy:
		return r.oldPolicy()
	case NoLadder:
		return "there is no ladder"
	case NoneGood:
		return "no restore point is good"
	case Inspected:
		return "rejected by a drill, kept for inspection until " + showSlot(r.Until)
	}
	return fmt.Sprintf("reason %d", r.Why)
}

func (r Reason) slot() string {
	return envdb.FormatDuration(r.Rung) + " slot of " + showSlot(r.Slot)
}

func (r Reason) oldPolicy() string {
	what := "no ladder until lately"
	if r.Rung > 0 {
		what = "old " + r.slot()
	}
	return what + ", kept until " + showSlot(r.Until)
}

func showSlot(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Truncate(24 * time.Hour).Equal(t):
		return t.Format(time.DateOnly)
	case t.Second() == 0:
		return t.Format("2006-01-02 15:04")
	}
	return t.Format(time.DateTime)
}
