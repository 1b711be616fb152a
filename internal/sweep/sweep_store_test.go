package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
)

// tally counts how operations took their faults.
type tally struct {
	mu                      sync.Mutex
	steps, survived, failed int
	took                    time.Duration
}

func (y *tally) counted(steps int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.steps = max(y.steps, steps)
}

func (y *tally) log(t *testing.T, what, steps string, kinds int) {
	t.Helper()
	t.Logf("sweep: %s: %d %s, %d kinds of fault: %d faults, %d failed cleanly, %d survived (%s in the operation)",
		what, y.steps, steps, kinds, y.failed+y.survived, y.failed, y.survived, y.took.Round(time.Millisecond))
}

func (y *tally) add(err error, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.took += took
	if err == nil {
		y.survived++
	} else {
		y.failed++
	}
}

// shards is on how many scenes the rounds of one operation are spread.
const shards = 2

// sharded runs f on scenes of their own, each with its share of the rounds.
func sharded(t *testing.T, op operation, n int, f func(t *testing.T, s *scene, mine func(round int) bool)) {
	t.Run("sweep", func(t *testing.T) {
		for shard := range n {
			t.Run(fmt.Sprint(shard+1), func(t *testing.T) {
				t.Parallel()
				f(t, op.scene(t), func(round int) bool { return round%n == shard })
			})
		}
	})
}

// bound is how long an operation may take with a fault.
const bound = 45 * time.Second

// storeKinds are the ways in which a store call fails.
var storeKinds = []kind{failed, lost, down, reset, truncated, timedOut, hung}

// kindsFor returns how the nth step fails: in `make soak` in every way that
// fits, in `make test` in so many of them, in turn.
func kindsFor(kinds []kind, n, some int, fits func(kind) bool) []kind {
	var all []kind
	for _, k := range kinds {
		if fits(k) {
			all = append(all, k)
		}
	}
	if soak() || some >= len(all) {
		return all
	}
	var chosen []kind
	for i := range some {
		chosen = append(chosen, all[(n*some+i)%len(all)])
	}
	return chosen
}

// endsAtOnce reports whether a Ctrl-C ends the call: those that record how a
// run ended are waited for, for as long as 30 s.
func endsAtOnce(call step) bool {
	return !strings.Contains(call.text, "/runs/") && !strings.Contains(call.text, "/leases/")
}

// Every call of a directory store fails in turn.
func TestStoreCalls(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var sum tally
			sharded(t, op, shards, func(t *testing.T, s *scene, mine func(int) bool) {
				calls, _ := s.undisturbed(t, op)
				sum.counted(len(calls))
				n := 0
				for i, c := range calls {
					for _, k := range kindsFor(storeKinds, i, op.kinds, func(k kind) bool { return k.fits(c) && (k != hung || soak() || endsAtOnce(c)) }) {
						if n++; mine(n) {
							sum.add(s.failCall(t, op, n/shards, c, k))
						}
					}
				}
			})
			sum.log(t, op.name+" on dir", "store calls", len(storeKinds))
		})
	}
}

// undisturbed runs the operation twice on stores that only count, and returns
// the steps that it took both times.
func (s *scene) undisturbed(t *testing.T, op operation) (calls, statements []step) {
	t.Helper()
	for i := range 2 {
		r := s.begin(t, op, "undisturbed")
		counting := &faultyStore{Store: s.store}
		s.proxy.arm(nil)
		err := s.do(t.Context(), counting, r.command)
		made, ran := counting.steps(), s.proxy.steps()
		r.answered(err)
		r.converges(0)
		if err != nil || t.Failed() {
			t.Fatalf("%s: undisturbed: %s", op.name, problem(err))
		}
		if i == 0 {
			calls, statements = made, ran
			continue
		}
		calls, statements = inBoth(calls, made), inBoth(statements, ran)
	}
	return calls, statements
}

// failCall runs the operation with one store call failing.
func (s *scene) failCall(t *testing.T, op operation, n int, c step, k kind) (error, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at store call %s", k, c))
	began := time.Now()
	err := within(t.Context(), bound, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		faulty := &faultyStore{Store: s.store, kind: k, at: func(now step) bool { return now == c }}
		if k == hung {
			faulty.hit = func() { cancel(envdb.ErrInterrupted) }
		}
		s.proxy.arm(nil)
		err := s.do(ctx, faulty, r.command)
		if !faulty.happened() {
			r.errorf("it did not come to that")
		}
		return err
	})
	took := time.Since(began)
	if errors.Is(err, errTooLong) {
		r.errorf("it took %s", took)
	}
	r.answered(err)
	r.converges(n)
	return err, took
}
