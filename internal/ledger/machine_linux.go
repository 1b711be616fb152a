package ledger

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ThisMachine returns this process's view of its machine, from Linux's /proc.
func ThisMachine() Machine {
	self := Process{PID: os.Getpid()}
	start, _, err := readStat(self.PID)
	if err == nil {
		self.Start, self.Machine = start, machineID()
	}
	return Machine{Self: self, Gone: processGone, Uptime: uptime}
}

// machineID names the boot, the set of process ids and the clock; empty if
// /proc does not show them all.
func machineID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	pids, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	clock, err := os.Readlink("/proc/self/ns/time") // since Linux 5.6
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return strings.Join([]string{strings.TrimSpace(string(boot)), pids, clock}, " ")
}

// processGone asks the kernel, which answers for processes of other users too;
// /proc may hide those.
func processGone(p Process) bool {
	if errors.Is(unix.Kill(p.PID, 0), unix.ESRCH) {
		return true
	}
	start, state, err := readStat(p.PID)
	if err != nil {
		return false
	}
	ended := state == 'Z' || state == 'X'
	return ended || start != p.Start
}

// readStat returns a process's start time and state; see proc(5), /proc/pid/stat.
func readStat(pid int) (start uint64, state byte, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything; behind it the fields begin
	// with the third.
	line := string(raw)
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	const stateField, startField = 0, 22 - 3
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	return start, fields[stateField][0], err
}

func uptime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
