package sweep_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tallies count the four sweeps of an operation.
type tallies struct{ calls, statements, killedCalls, killedStatements tally }

// fault is something that is done to an operation.
type fault struct {
	tally *tally
	do    func(n int) (outcome, time.Duration)
}

// Everything that an operation does fails in turn: every call of a directory
// store, and statements. At any of them the process is killed, too.
func TestSweep(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var sums tallies
			t.Run("sweep", func(t *testing.T) {
				shards := op.spread()
				for shard := range shards {
					t.Run(fmt.Sprint(shard+1), func(t *testing.T) {
						t.Parallel()
						s := op.scene(t)
						for i, f := range s.faults(t, op, &sums) {
							if i%shards == shard {
								f.tally.add(f.do(i / shards))
							}
						}
					})
				}
			})
			sums.calls.log(t, op.name+" on dir", "store calls", len(storeKinds))
			sums.statements.log(t, op.name, "statements", len(statementKinds))
			sums.killedCalls.log(t, op.name+" killed", "store calls", len(killKinds))
			sums.killedStatements.log(t, op.name+" killed", "statements", len(killKinds))
		})
	}
}

// spread returns on how many scenes the faults are spread. In a sweep of everything many of
// them hang for half a minute, side by side.
func (op operation) spread() int {
	if everyKill() {
		return 6 * op.shards
	}
	return op.shards
}

// In how many ways a statement fails in `make test`, and at how many steps an
// operation is killed. In `make sweep-all` it is all ways, and all steps.
const (
	statementWays    = 1
	killedCalls      = 1
	killedStatements = 2
)

// faults lists what is done to the operation.
func (s *scene) faults(t *testing.T, op operation, sums *tallies) (all []fault) {
	t.Helper()
	calls, statements := s.undisturbed(t, op)
	add := func(y *tally, at step, k kind, do func(*testing.T, operation, int, step, kind) (outcome, time.Duration)) {
		all = append(all, fault{y, func(n int) (outcome, time.Duration) { return do(t, op, n, at, k) }})
	}
	for i, at := range calls {
		if op.calls > 1 && i%op.calls != 0 && !everything() {
			continue
		}
		for _, k := range kindsFor(storeKinds, i, op.ways, func(k kind) bool { return k.fits(at) && (k != hung || everything() || endsAtOnce(at)) }) {
			add(&sums.calls, at, k, s.failCall)
		}
	}
	for i, at := range statements {
		if i%op.every != 0 && !everything() {
			continue
		}
		for _, k := range kindsFor(statementKinds, i/op.every, statementWays, func(k kind) bool { return k != hung || everything() || op.stops }) {
			add(&sums.statements, at, k, s.failStatement)
		}
	}
	for i, at := range sample(calls, killedCalls) {
		for _, k := range killWays(i) {
			add(&sums.killedCalls, at, k, s.killAtCall)
		}
	}
	for i, at := range sample(statements, killedStatements) {
		for _, k := range killWays(i) {
			add(&sums.killedStatements, at, k, s.killAtStatement)
		}
	}
	sums.calls.counted(len(calls))
	sums.killedCalls.counted(len(calls))
	sums.statements.counted(len(statements))
	sums.killedStatements.counted(len(statements))
	return all
}

// The ways in which steps fail.
var (
	storeKinds     = []kind{failed, lost, down, reset, truncated, timedOut, hung}
	statementKinds = []kind{lost, refused, cutBefore, allCut, hung}
	killKinds      = []kind{killBefore, killAfter}
)

// killWays returns how the process is killed at the nth step.
func killWays(n int) []kind {
	if everyKill() {
		return killKinds
	}
	return killKinds[n%len(killKinds):][:1]
}

// kindsFor returns how the nth step fails: in `make sweep-all` in every way that
// fits, in `make test` in so many of them, in turn.
func kindsFor(kinds []kind, n, some int, fits func(kind) bool) []kind {
	var all []kind
	for _, k := range kinds {
		if fits(k) {
			all = append(all, k)
		}
	}
	if everything() || some >= len(all) {
		return all
	}
	var chosen []kind
	for i := range some {
		chosen = append(chosen, all[(n*some+i)%len(all)])
	}
	return chosen
}

// sample returns some of the steps, evenly spread, or all in `make sweep-all`.
func sample(steps []step, some int) []step {
	if everyKill() || len(steps) <= some {
		return steps
	}
	var chosen []step
	for i := range some {
		chosen = append(chosen, steps[(2*i+1)*len(steps)/(2*some)])
	}
	return chosen
}

// endsAtOnce reports whether a Ctrl-C ends the call: those that record how a
// run ended are waited for, for as long as 30 s.
func endsAtOnce(call step) bool {
	return !strings.Contains(call.text, "/runs/") && !strings.Contains(call.text, "/leases/")
}
