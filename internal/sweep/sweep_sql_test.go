package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/envdb/envdb"
)

// statementKinds are the ways in which a statement fails.
var statementKinds = []kind{lost, refused, cutBefore, allCut, hung}

// hangEvery is which statements may hang in `make test`. The session that
// holds the lock lets a statement run for 30 s after a Ctrl-C.
const hangEvery = 45

// Every statement fails in turn.
func TestStatements(t *testing.T) {
	t.Parallel()
	for _, op := range operations() {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var sum tally
			sharded(t, op, shards, func(t *testing.T, s *scene, mine func(int) bool) {
				_, statements := s.undisturbed(t, op)
				sum.counted(len(statements))
				n := 0
				for i, at := range statements {
					for _, k := range kindsFor(statementKinds, i, 1, func(k kind) bool { return k != hung || soak() || i%hangEvery == 0 }) {
						if n++; mine(n) {
							sum.add(s.failStatement(t, op, n/shards, at, k))
						}
					}
				}
			})
			sum.log(t, op.name, "statements", len(statementKinds))
		})
	}
}

// failStatement runs the operation with one statement failing.
func (s *scene) failStatement(t *testing.T, op operation, n int, at step, k kind) (error, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at statement %s", k, at))
	began := time.Now()
	err := within(t.Context(), bound, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		fault := &shot{at: at, kind: k}
		if k == hung {
			fault.hit = func() { cancel(envdb.ErrInterrupted) }
		}
		s.proxy.arm(fault)
		return s.do(ctx, s.store, r.command)
	})
	took := time.Since(began)
	if !s.proxy.happened() {
		r.errorf("it did not come to that")
	}
	if errors.Is(err, errTooLong) {
		r.errorf("it took %s", took)
	}
	r.answered(err)
	r.converges(n)
	return err, took
}
