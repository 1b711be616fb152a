package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/envdb/envdb/internal/daemon"
)

// thrift gives memory back a moment after something large has ended: a daemon
// waits for most of its life, and the runtime would keep for minutes what a
// backup used.
type thrift struct {
	daemon.Observer
	mu    sync.Mutex
	timer *time.Timer
}

const (
	// Less than that is not worth a collection.
	largeRun = 100 * time.Millisecond
	// A moment: what else ends meanwhile is collected with it.
	thrifty = 3 * time.Second
)

// Ended implements daemon.Observer.
func (t *thrift) Ended(task string, look daemon.Look, took time.Duration, err error) {
	t.Observer.Ended(task, look, took, err)
	if took < largeRun {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.timer == nil {
		t.timer = time.AfterFunc(thrifty, giveBack)
		return
	}
	t.timer.Reset(thrifty)
}

// giveBack collects twice: what lies in a sync.Pool, such as the memory of
// compressors, survives one collection.
func giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
	unmapProgram()
}
