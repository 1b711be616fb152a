package sweep_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/envdb/envdb"
)

// kind is how a step fails.
type kind string

// How a store call fails. A call that has no body cannot break in the middle
// of it, and what changes nothing has no answer to lose: not every call can
// fail in every way.
const (
	failed     kind = "error"
	timedOut   kind = "timeout"
	lost       kind = "lost answer"       // it was done, and yet there is an error
	reset      kind = "reset in mid-body" // half of it came
	truncated  kind = "truncated reply"   // half of it came, and no error
	hung       kind = "hangs until Ctrl-C"
	down       kind = "down from here on"
	killBefore kind = "killed before"
	killAfter  kind = "killed after"
)

// errInjected is the fault: as a store says it, with what to do.
var errInjected = envdb.Fail(envdb.ErrUnreachable, "injected fault").WithState("nothing was changed").WithNext("look at the store")

// fits reports whether a store call can fail in this way.
func (k kind) fits(call step) bool {
	method, _, _ := strings.Cut(call.text, " ")
	switch k {
	case lost:
		return method == "Put" || method == "Delete"
	case reset:
		return method != "Delete"
	case truncated:
		return method == "Get"
	}
	return true
}

// faultyStore counts the calls of a store, and fails one.
type faultyStore struct {
	envdb.Store
	counter
	kind kind
	at   func(step) bool // nil for none
	// hit is called when the call is made.
	hit func()
	// unwritable has every Put and Delete fail.
	unwritable bool

	mu    sync.Mutex
	fired bool
}

// next counts a call, and returns how it fails, or "".
func (s *faultyStore) next(method, key string) kind {
	now := s.counter.next(method + " " + key)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fired && s.kind == down, s.unwritable && (method == "Put" || method == "Delete"):
		return down
	case s.fired || s.at == nil || !s.at(now):
		return ""
	}
	s.fired = true
	if s.hit != nil {
		s.hit()
	}
	return s.kind
}

// happened reports whether the call was made.
func (s *faultyStore) happened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fired
}

// fault is the error of a call that fails without having had an effect.
func (s *faultyStore) fault(ctx context.Context, k kind) error {
	switch k {
	case failed, lost, reset, down:
		return errInjected
	case timedOut:
		return fmt.Errorf("%w: %w", errInjected, context.DeadlineExceeded)
	case hung:
		<-ctx.Done()
		return fmt.Errorf("%w: %w", errInjected, ctx.Err())
	}
	return nil
}

// Put implements envdb.Store.
func (s *faultyStore) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	switch k := s.next("Put", key); k {
	case "", killAfter:
		tag, err := s.Store.Put(ctx, key, body, cond)
		if k == killAfter {
			killSelf()
		}
		return tag, err
	case killBefore:
		killSelf()
		return "", errInjected
	case lost:
		if _, err := s.Store.Put(ctx, key, body, cond); err != nil {
			return "", err
		}
		return "", errInjected
	case reset:
		return s.Store.Put(ctx, key, &broken{in: body, left: 100, err: errInjected}, cond)
	default:
		return "", s.fault(ctx, k)
	}
}

// Get implements envdb.Store.
func (s *faultyStore) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	k := s.next("Get", key)
	switch k {
	case failed, timedOut, hung, down:
		return nil, envdb.Object{}, s.fault(ctx, k)
	case killBefore:
		killSelf()
	}
	body, object, err := s.Store.Get(ctx, key, span)
	if err != nil {
		return body, object, err
	}
	size := object.Size - span.Offset
	if span.Length > 0 {
		size = min(size, span.Length)
	}
	switch k {
	case reset:
		return &brokenCloser{broken{in: body, left: size / 2, err: errInjected}, body}, object, nil
	case truncated:
		return &brokenCloser{broken{in: body, left: size / 2, err: io.EOF}, body}, object, nil
	case killAfter:
		killSelf()
	}
	return body, object, nil
}

// List implements envdb.Store.
func (s *faultyStore) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		k := s.next("List", prefix)
		switch k {
		case failed, timedOut, hung, down:
			yield(envdb.Object{}, s.fault(ctx, k))
			return
		case killBefore:
			killSelf()
		}
		for object, err := range s.Store.List(ctx, prefix) {
			if !yield(object, err) {
				return
			}
			if k == reset {
				yield(envdb.Object{}, errInjected)
				return
			}
		}
		switch k {
		case reset: // it was empty
			yield(envdb.Object{}, errInjected)
		case killAfter:
			killSelf()
		}
	}
}

// Delete implements envdb.Store.
func (s *faultyStore) Delete(ctx context.Context, key string) error {
	switch k := s.next("Delete", key); k {
	case "", killAfter, lost:
		err := s.Store.Delete(ctx, key)
		if k == killAfter {
			killSelf()
		}
		if k == lost && err == nil {
			err = errInjected
		}
		return err
	case killBefore:
		killSelf()
		return errInjected
	default:
		return s.fault(ctx, k)
	}
}

// broken reads so many bytes and then ends with an error.
type broken struct {
	in   io.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (b *broken) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, b.err
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

type brokenCloser struct {
	broken
	io.Closer
}
