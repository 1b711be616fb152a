package schedule

import (
	"cmp"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// Decision says of one restore point why it is kept. Without a reason it may
// go.
type Decision struct {
	ID      envdb.BackupID
	Reasons []Reason
}

// Kept reports whether there is a reason to keep the point.
func (d Decision) Kept() bool { return len(d.Reasons) > 0 }

// Leaves returns until when a point is kept that only a replaced policy keeps.
func (d Decision) Leaves() (until time.Time, leaves bool) {
	for _, r := range d.Reasons {
		if r.Why != OldPolicy {
			return time.Time{}, false
		}
		if r.Until.After(until) {
			until = r.Until
		}
	}
	return until, d.Kept()
}

// Keep decides on every point, in the order in which they are given, which may
// be any.
//
// It keeps the earliest good point of each of the last occupied slots of each
// rung, the newest good and the newest proven, what is pinned, running, dated in
// the future or unreadable, the backups of bursts, and all that these depend
// on. Points that are dated in the future occupy no slot: a clock that was
// wrong must not push out what is real. The present moves nothing else, so
// that silence, however long, expires nothing.
func (r Rules) Keep(now time.Time, points []RestorePoint) []Decision {
	decisions := make([]Decision, len(points))
	for i := range points {
		decisions[i].ID = points[i].ID
	}
	r.decide(now, points, func(i int, why Reason) {
		d := &decisions[i]
		if why.Why == OldPolicy && d.Kept() && d.Reasons[0].Why != OldPolicy {
			return // it stays without it
		}
		d.Reasons = append(d.Reasons, why)
	})
	keepDependencies(points, decisions)
	return decisions
}

// because is told a reason to keep the point with an index.
type because func(i int, why Reason)

// decide tells every reason to keep a point, but for what it is needed by.
// Those of replaced policies come last.
func (r Rules) decide(now time.Time, points []RestorePoint, because because) {
	good := goodPoints(now, points)
	limit := now.Add(StopSkew)
	for i := range points {
		if why := points[i].ownReason(limit); why != 0 {
			because(i, Reason{Why: why})
		}
		if points[i].Pinned {
			because(i, Reason{Why: Pinned})
		}
		if until, waits := points[i].inspected(now); waits {
			because(i, Reason{Why: Inspected, Until: until})
		}
	}
	if len(good) == 0 {
		keepAll(points, Reason{Why: NoneGood}, because)
		return
	}
	because(good[len(good)-1].index, Reason{Why: NewestGood})
	if i := lastProven(good); i >= 0 {
		because(good[i].index, Reason{Why: NewestProven})
	}
	if r.Policy.IsZero() {
		keepAll(points, Reason{Why: NoLadder}, because)
	}
	r.Policy.keep(good, func(i int, rung time.Duration, slot int64) {
		because(i, Reason{Why: Represents, Rung: rung, Slot: slotStart(slot, rung)})
	})
	for _, b := range r.Bursts {
		b.keep(now, good, because)
	}
	for _, s := range r.Before {
		s.keep(now, points, good, because)
	}
}

// ownReason returns the reason that lies in what the point is. What is after
// limit is dated in the future.
func (p *RestorePoint) ownReason(limit time.Time) Why {
	switch {
	case p.State == Unreadable || p.State > Bad:
		return NotReadable
	case p.State == Running:
		return InProgress
	case p.At.After(limit):
		return FutureDated
	}
	return 0
}

// inspection is how long a restore point stays that a drill rejected.
const inspection = 30 * envdb.Day

// inspected returns until when a rejected point stays, and whether it does.
func (p *RestorePoint) inspected(now time.Time) (until time.Time, waits bool) {
	if !p.Rejected {
		return until, false
	}
	until = p.At
	if p.Started.After(until) {
		until = p.Started
	}
	until = until.Add(inspection)
	return until, now.Before(until)
}

func keepAll(points []RestorePoint, why Reason, because because) {
	for i := range points {
		because(i, why)
	}
}

// keep calls represents for the representative of every slot that the policy
// keeps. The good points are given earliest first.
func (p Policy) keep(good []goodPoint, represents func(i int, rung time.Duration, slot int64)) {
	for i, rung := range p.ladder {
		end := len(good)
		for left := p.slots[i]; left > 0 && end > 0; left-- {
			slot := slotOfSecond(good[end-1].second, rung)
			for end--; end > 0 && slotOfSecond(good[end-1].second, rung) == slot; end-- {
				continue
			}
			represents(good[end].index, rung, slot)
		}
	}
}

// keep calls because for what the replaced policy keeps for now.
func (s Superseded) keep(now time.Time, points []RestorePoint, good []goodPoint, because because) {
	until := s.KeepsUntil()
	if !now.Before(until) {
		return
	}
	if s.Policy.IsZero() {
		keepAll(points, Reason{Why: OldPolicy, Until: until}, because)
		return
	}
	s.Policy.keep(good, func(i int, rung time.Duration, slot int64) {
		because(i, Reason{Why: OldPolicy, Rung: rung, Slot: slotStart(slot, rung), Until: until})
	})
}

// goodPoint is a point that may represent a slot, its place in the list that
// was given, and the second in which it lies: many are sorted, without a look
// at each.
type goodPoint struct {
	*RestorePoint
	index  int
	second int64
}

func (p goodPoint) compare(q goodPoint) int {
	if c := cmp.Compare(p.second, q.second); c != 0 {
		return c
	}
	return p.RestorePoint.compare(q.RestorePoint)
}

// goodPoints returns the points that may represent a slot, earliest first.
func goodPoints(now time.Time, points []RestorePoint) []goodPoint {
	good := make([]goodPoint, 0, len(points))
	limit := now.Add(StopSkew)
	sorted := true
	for i := range points {
		p := &points[i]
		if p.State != Good || p.At.After(limit) {
			continue
		}
		next := goodPoint{RestorePoint: p, index: i, second: p.At.Unix()}
		sorted = sorted && (len(good) == 0 || good[len(good)-1].compare(next) <= 0)
		good = append(good, next)
	}
	if !sorted {
		slices.SortFunc(good, goodPoint.compare)
	}
	return good
}

func lastProven(good []goodPoint) int {
	for i := len(good) - 1; i >= 0; i-- {
		if good[i].Proven {
			return i
		}
	}
	return -1
}

// keepDependencies adds to what is kept all that it depends on, however far.
// What is not there any more cannot be kept.
func keepDependencies(points []RestorePoint, decisions []Decision) {
	if !slices.ContainsFunc(points, func(p RestorePoint) bool { return len(p.DependsOn) > 0 }) {
		return
	}
	byID := make(map[envdb.BackupID]int, len(points))
	var kept []int
	for i := range points {
		byID[points[i].ID] = i
		if decisions[i].Kept() {
			kept = append(kept, i)
		}
	}
	needed := make([]bool, len(points))
	for len(kept) > 0 {
		i := kept[len(kept)-1]
		kept = kept[:len(kept)-1]
		for _, id := range points[i].DependsOn {
			j, found := byID[id]
			if !found || needed[j] {
				continue
			}
			needed[j] = true
			if !decisions[j].Kept() {
				kept = append(kept, j)
			}
			decisions[j].Reasons = append(decisions[j].Reasons, Reason{Why: NeededBy, Of: points[i].ID})
		}
	}
}
