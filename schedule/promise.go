package schedule

import "time"

// Promise returns the moment until which the policy keeps a good point that
// is just written, among those that exist, whatever else is taken: the point
// represents a slot until as many later slots are occupied as its rung keeps.
// That is at least N-1 intervals away. It is At for a point that represents
// nothing, and the zero time without a ladder.
func (p Policy) Promise(point RestorePoint, points []RestorePoint) time.Time {
	if p.IsZero() {
		return time.Time{}
	}
	until := point.At
	for i, rung := range p.ladder {
		slot := slotOf(point.At, rung)
		if !earliestOf(slot, rung, point, points) {
			continue
		}
		if end := slotStart(slot+int64(p.slots[i]), rung); end.After(until) {
			until = end
		}
	}
	return until.UTC()
}

// earliestOf reports whether no good one of points is in the slot before point.
func earliestOf(slot int64, rung time.Duration, point RestorePoint, points []RestorePoint) bool {
	for i := range points {
		q := &points[i]
		if q.State == Good && q.compare(&point) < 0 && slotOf(q.At, rung) == slot {
			return false
		}
	}
	return true
}
