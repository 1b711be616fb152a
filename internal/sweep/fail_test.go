package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/envdb/envdb"
)

// bound is how long an operation may take with a fault.
const bound = 90 * time.Second

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
func (s *scene) failCall(t *testing.T, op operation, n int, c step, k kind) (outcome, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at store call %s", k, c))
	began := time.Now()
	faulty := &faultyStore{Store: s.store, kind: k, at: func(now step) bool { return now == c }}
	err := within(t.Context(), bound, func(ctx context.Context) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		if k == hung {
			faulty.hit = func() { cancel(envdb.ErrInterrupted) }
		}
		s.proxy.arm(nil)
		return s.do(ctx, faulty, r.command)
	})
	took := time.Since(began)
	if errors.Is(err, errTooLong) {
		r.errorf("it took %s", took)
	}
	r.answered(err)
	r.converges(n)
	return outcomeOf(faulty.happened(), err), took
}

// failStatement runs the operation with one statement failing.
func (s *scene) failStatement(t *testing.T, op operation, n int, at step, k kind) (outcome, time.Duration) {
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
	happened := s.proxy.happened()
	if errors.Is(err, errTooLong) {
		r.errorf("it took %s", took)
	}
	r.answered(err)
	r.converges(n)
	return outcomeOf(happened, err), took
}
