package schedule

import "time"

// Rules are everything that decides on the restore points of an environment.
// Given the restore points that exist and a moment, Due says what to take and
// Keep what to leave: there is no other state.
type Rules struct {
	Policy Policy
	// Before are policies that were in force until lately; see Superseded.
	Before []Superseded
	Bursts []Burst
}

// ShrinkWait is how long a policy that was replaced still keeps what it kept:
// a slip in a configuration file can be taken back for a day.
const ShrinkWait = 24 * time.Hour

// Superseded is a policy that was replaced by another.
type Superseded struct {
	Policy Policy `json:"policy"`
	// At is when the other one came into force.
	At time.Time `json:"at"`
}

// KeepsUntil returns when the policy keeps nothing any more.
func (s Superseded) KeepsUntil() time.Time { return s.At.Add(ShrinkWait) }
