//go:build !linux

package ledger

import (
	"os"
	"time"
)

// ThisMachine returns what is known without /proc: this process's id. Its
// Machine is empty, so a lease is judged by its beat alone.
func ThisMachine() Machine {
	return Machine{
		Self:   Process{PID: os.Getpid()},
		Gone:   func(Process) bool { return false },
		Uptime: func() time.Duration { return 0 },
	}
}
