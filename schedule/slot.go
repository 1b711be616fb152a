package schedule

import "time"

// slotOf returns the number of the rung's slot that t lies in: floor(t / rung),
// counted from the epoch in UTC, so that every machine names the same slots.
// Rungs are whole seconds.
func slotOf(t time.Time, rung time.Duration) int64 { return slotOfSecond(t.Unix(), rung) }

// slotOfSecond is slotOf for seconds since the epoch.
func slotOfSecond(second int64, rung time.Duration) int64 {
	seconds := int64(rung / time.Second)
	slot := second / seconds
	if second%seconds < 0 {
		slot--
	}
	return slot
}

// slotStart returns the first moment of a slot.
func slotStart(slot int64, rung time.Duration) time.Time {
	return time.Unix(slot*int64(rung/time.Second), 0).UTC()
}

// SlotStart returns when the slot of a rung began that t is in.
func SlotStart(t time.Time, rung time.Duration) time.Time { return slotStart(slotOf(t, rung), rung) }
