package sweep_test

import (
	"sync"
	"testing"
	"time"
)

// tally counts how operations took their faults.
type tally struct {
	mu               sync.Mutex
	steps            int
	survived, failed int
	missed           int // the operation did not come to that step this time
	took             time.Duration
}

// outcome is how an operation took a fault.
type outcome int

const (
	didNotHappen outcome = iota
	failedCleanly
	didSurvive
)

func outcomeOf(happened bool, err error) outcome {
	switch {
	case !happened:
		return didNotHappen
	case err != nil:
		return failedCleanly
	}
	return didSurvive
}

func (y *tally) counted(steps int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.steps = max(y.steps, steps)
}

func (y *tally) add(o outcome, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.took += took
	switch o {
	case didNotHappen:
		y.missed++
	case failedCleanly:
		y.failed++
	case didSurvive:
		y.survived++
	}
}

// log prints the counts. A few steps depend on how fast the machine is; a sweep
// that misses more than that proves nothing.
func (y *tally) log(t *testing.T, what, steps string, kinds int) {
	t.Helper()
	if y.steps == 0 {
		return // it needs no server
	}
	faults := y.failed + y.survived
	t.Logf("sweep: %s: %d %s, %d kinds of fault: %d faults, %d failed cleanly, %d survived, %d missed (%s in the operation)",
		what, y.steps, steps, kinds, faults, y.failed, y.survived, y.missed, y.took.Round(time.Millisecond))
	if y.missed > 2+(faults+y.missed)/10 {
		t.Errorf("%s: %d of %d faults did not happen", what, y.missed, faults+y.missed)
	}
}
