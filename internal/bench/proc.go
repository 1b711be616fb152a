package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// clockTick is the unit of processor times in /proc: USER_HZ, 100 on every
// architecture that Linux tells programs about.
const clockTick = 10 * time.Millisecond

// look is how often the memory of a process tree is read.
const look = 25 * time.Millisecond

// process is what /proc says of a process.
type process struct {
	pid, parent int
	// self and reaped are the processor times of the process and of its
	// children that have ended.
	self, reaped time.Duration
}

// readProcess reads /proc/<pid>/stat. One that is gone is false.
func readProcess(pid int) (process, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name is in parentheses and may hold anything.
	_, rest, found := strings.Cut(string(text[strings.LastIndexByte(string(text), ')'):]), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 15 {
		return process{}, false
	}
	number := func(i int) time.Duration {
		n, _ := strconv.ParseInt(fields[i-3], 10, 64) // proc(5) numbers them from 1; these are integers
		return time.Duration(n)
	}
	return process{
		pid: pid, parent: int(number(4)),
		self: (number(14) + number(15)) * clockTick, reaped: (number(16) + number(17)) * clockTick,
	}, true
}

// tree returns the process and all below it.
func tree(root int) []process {
	entries, _ := filepath.Glob("/proc/[0-9]*") // fails on a malformed pattern only
	children := map[int][]process{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	first, ok := readProcess(root)
	if !ok {
		return nil
	}
	found := []process{first}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// serverCPU returns the processor time that the servers used since they
// started: their own, and that of their sessions, ended or not.
func (b *bench) serverCPU() (time.Duration, error) {
	var total time.Duration
	for _, s := range b.servers() {
		text, err := os.ReadFile(filepath.Join(s.Data(), "postmaster.pid"))
		if err != nil {
			return 0, fmt.Errorf("processor time of a server: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(first)
		if err != nil {
			return 0, fmt.Errorf("processor time of a server: %w", err)
		}
		for _, p := range tree(pid) {
			total += p.self + p.reaped
		}
	}
	return total, nil
}

// memory is the resident memory of a process tree, in bytes.
type memory struct{ own, together int64 }

// watcher reads a tree's memory again and again.
type watcher struct {
	quit chan struct{}
	done sync.WaitGroup
	most memory
}

func watchTree(root int) *watcher {
	w := &watcher{quit: make(chan struct{})}
	w.done.Go(func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		for {
			var now int64
			for _, p := range tree(root) {
				resident, peak := readMemory(p.pid)
				now += resident
				if p.pid == root {
					w.most.own = max(w.most.own, peak)
				}
			}
			w.most.together = max(w.most.together, now)
			select {
			case <-tick.C:
			case <-w.quit:
				return
			}
		}
	})
	return w
}

// stop ends the watch and returns the most that was seen.
func (w *watcher) stop() memory {
	close(w.quit)
	w.done.Wait()
	return w.most
}

// readMemory returns what a process has in memory now, and the most it had.
func readMemory(pid int) (resident, peak int64) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // other lines are not wanted
		switch name {
		case "VmRSS":
			resident = kib * 1024
		case "VmHWM":
			peak = kib * 1024
		}
	}
	return resident, peak
}
