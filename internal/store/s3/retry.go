package s3

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const longestWait = 20 * time.Second

// operation is one call of S3, however often it is repeated.
type operation struct {
	name string // as S3 calls it
	verb string // as a person would
	key  string // of the store; "" for the store itself
	size int64  // of the body that is sent
	// unsure: an attempt failed such that it may have been carried out.
	unsure bool
}

// contact is whether the endpoint ever answered, and whether it was said that
// this machine's clock differs from its.
type contact struct{ answered, skewed atomic.Bool }

// call runs an operation until it succeeds, is refused, or patience ends. It
// waits between attempts with full jitter, and says once that it does.
func call[T any](ctx context.Context, s *Store, op *operation, attempt func(context.Context) (T, error)) (T, error) {
	begun := time.Now()
	for tries := 1; ; tries++ {
		s.calls.add(op.name)
		if tries > 1 {
			s.calls.add(retries)
		}
		out, err := once(ctx, s, op, attempt)
		if err == nil {
			s.contact.answered.Store(true)
			return out, nil
		}
		var none T
		if ctx.Err() != nil {
			return none, s.stopped(ctx, op)
		}
		a := judge(err)
		if a.answered {
			s.contact.answered.Store(true)
		}
		wait := s.wait(tries, a)
		if spent := time.Since(begun); !s.repeats(a, tries, spent+wait) {
			return none, s.explain(op, a, spent)
		}
		if a.class != throttled && a.class != clock {
			op.unsure = true
		}
		s.tell(op, a, tries)
		if !sleep(ctx, wait) {
			return none, s.stopped(ctx, op)
		}
	}
}

// once makes one attempt, with a deadline that a body's size allows.
func once[T any](ctx context.Context, s *Store, op *operation, attempt func(context.Context) (T, error)) (T, error) {
	if op.size == 0 {
		return attempt(ctx)
	}
	limit := 2*s.patience.Stalled + time.Duration(float64(op.size)/float64(s.patience.Rate)*float64(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooSlow)
	defer cancel()
	out, err := attempt(ctx)
	if err != nil && context.Cause(ctx) == errTooSlow {
		err = errors.Join(errTooSlow, err)
	}
	return out, err
}

var errTooSlow = errors.New("the upload is too slow")

// repeats reports whether an operation is tried again that will have taken so
// long when it is.
func (s *Store) repeats(a answer, tries int, taken time.Duration) bool {
	switch a.class {
	case throttled:
		return taken <= s.patience.Throttled
	case unsound:
		if !s.contact.answered.Load() {
			return taken <= s.patience.Unreachable/10
		}
		return taken <= s.patience.Unreachable
	case conflict:
		return taken <= s.patience.Unreachable
	case clock:
		return tries == 1 // the SDK now knows the difference
	}
	return false
}

// wait returns how long to wait before the next attempt.
func (s *Store) wait(tries int, a answer) time.Duration {
	if a.class == clock {
		return 0
	}
	most := min(s.patience.Backoff<<min(tries-1, 16), longestWait)
	return max(rand.N(most)+1, min(a.retryAfter, longestWait))
}

// tell logs the first repetition of an operation.
func (s *Store) tell(op *operation, a answer, tries int) {
	switch {
	case a.class == clock && s.contact.skewed.CompareAndSwap(false, true):
		s.log.Warn("this machine's clock differs from the store's; going by the store's", "store", s.String())
	case a.class != clock && a.class != conflict && tries == 1:
		s.log.Warn("store call is repeated", "call", op.name, "key", op.key, "reason", a.reason())
	}
}

// sleep waits, and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
