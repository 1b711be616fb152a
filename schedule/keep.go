package schedule

import (
	"time"

	"github.com/envdb/envdb"
)

// Keep says how many occupied slots each rung of a ladder keeps. The zero Keep
// is "auto": enough for a rung to reach into the next coarser one.
type Keep struct {
	// All is the number for every rung that Rungs does not name; 0 is auto.
	All int
	// Rungs holds numbers for single rungs.
	Rungs map[time.Duration]int
}

// lastRungSlots is what the coarsest rung keeps under auto.
const lastRungSlots = 30

// mostSlots is more than anyone keeps, and few enough to count with.
const mostSlots = 100_000

// Check returns an error if k names a rung that the ladder does not have,
// keeps nothing, or more than anyone can count with.
func (k Keep) Check(l Ladder) error {
	if k.All < 0 || k.All > mostSlots {
		return envdb.Fail(envdb.ErrMisuse, "keep is %d", k.All).WithNext("keep at least 1 and at most %d, or write auto", mostSlots)
	}
	for rung, n := range k.Rungs {
		if !l.has(rung) {
			return envdb.Fail(envdb.ErrMisuse, "keep names the rung %s, and the ladder is %s", envdb.FormatDuration(rung), l).
				WithNext("name rungs that the ladder has")
		}
		if n < 1 || n > mostSlots {
			return envdb.Fail(envdb.ErrMisuse, "keep is %d for the rung %s", n, envdb.FormatDuration(rung)).
				WithNext("keep at least 1 and at most %d, or leave the rung out of the ladder", mostSlots)
		}
	}
	for i, n := range k.Slots(l) {
		if n > mostSlots { // auto, of a rung that is not the coarsest
			return envdb.Fail(envdb.ErrMisuse, "the rung %s would keep %d slots, to reach %s", envdb.FormatDuration(l[i]), n, envdb.FormatDuration(l[i+1])).
				WithNext("put a rung between the two, or write how many it keeps, at most %d, in keep", mostSlots)
		}
	}
	return nil
}

func (l Ladder) has(rung time.Duration) bool {
	for _, d := range l {
		if d == rung {
			return true
		}
	}
	return false
}

// Slots returns how many occupied slots each rung of l keeps. Under auto that
// is as many as reach the next rung, and two more; the coarsest rung keeps 30.
func (k Keep) Slots(l Ladder) []int {
	slots := make([]int, len(l))
	for i, rung := range l {
		switch n := k.Rungs[rung]; {
		case n > 0:
			slots[i] = n
		case k.All > 0:
			slots[i] = k.All
		case i == len(l)-1:
			slots[i] = lastRungSlots
		default:
			slots[i] = int((l[i+1]+rung-1)/rung) + 2
		}
	}
	return slots
}
