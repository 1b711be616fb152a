package schedule

import (
	"hash/fnv"
	"time"
)

// jitter returns how much later than the calendar says a job begins: whole
// seconds below within, always the same for a name, so that restarts and other
// machines come to the same moment.
func jitter(name string, within time.Duration) time.Duration {
	seconds := uint64(within / time.Second)
	if seconds == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name)) // never fails
	sum := h.Sum64()
	sum ^= sum >> 32 // short names differ in the high bits
	return time.Duration(sum%seconds) * time.Second
}
