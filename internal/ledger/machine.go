package ledger

import (
	"time"
)

// Process says which process works: its machine, its pid, and when it started,
// because pids are used again.
type Process struct {
	// Machine is one boot of one machine, and one set of process ids on it:
	// containers of one machine do not see each other's. Empty where the system
	// does not tell.
	Machine string `json:"machine,omitempty"`
	PID     int    `json:"pid"`
	// Start is the process's start, in the machine's own ticks.
	Start uint64 `json:"start,omitempty"`
}

// Machine is what a process can find out on its own machine. Processes of one
// machine know at once whether another is gone, and share a monotonic clock;
// of others they know only the beats they see.
type Machine struct {
	// Self is this process.
	Self Process
	// Gone reports whether a process of this machine has certainly ended.
	Gone func(Process) bool
	// Uptime is the machine's monotonic clock.
	Uptime func() time.Duration
}

// knows reports whether p is a process of this machine.
func (m Machine) knows(p Process) bool {
	return p.Machine != "" && p.Machine == m.Self.Machine
}
