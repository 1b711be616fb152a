package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// meteredStore tells how calls of a store go.
type meteredStore struct {
	envdb.Store
	told   func(operation string, took time.Duration, failed bool)
	writes *writes
}

var _ envdb.Store = (*meteredStore)(nil)

// tell reports a call that began at some time. That something is not there, or
// that another one was faster, is an answer; so is that the caller gave up.
func (s *meteredStore) tell(operation string, began time.Time, err error) {
	s.told(operation, time.Since(began), !answered(err))
}

func answered(err error) bool {
	return err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, envdb.ErrCondition) || errors.Is(err, context.Canceled)
}

// writes remembers whether the last write was taken: a store that is full, or
// that may only be read, answers all the same. A daemon writes every half minute
// that it is there.
type writes struct {
	mu      sync.Mutex
	refused error
}

// wrote takes in how a write went.
func (w *writes) wrote(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = nil
	if !answered(err) {
		w.refused = err
	}
}

// taken returns why the last one was not taken, or nil.
func (w *writes) taken() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// Put implements envdb.Store.
func (s *meteredStore) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (tag envdb.Tag, err error) {
	began := time.Now()
	defer func() {
		s.tell("put", began, err)
		s.writes.wrote(err)
	}()
	return s.Store.Put(ctx, key, body, cond)
}

// Get implements envdb.Store.
func (s *meteredStore) Get(ctx context.Context, key string, span envdb.Span) (body io.ReadCloser, object envdb.Object, err error) {
	began := time.Now()
	defer func() { s.tell("get", began, err) }()
	return s.Store.Get(ctx, key, span)
}

// List implements envdb.Store. It counts as one call, however many pages there
// are.
func (s *meteredStore) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		began := time.Now()
		var failed error
		for object, err := range s.Store.List(ctx, prefix) {
			if err != nil {
				failed = err
			}
			if !yield(object, err) {
				break
			}
		}
		s.tell("list", began, failed)
	}
}

// Delete implements envdb.Store.
func (s *meteredStore) Delete(ctx context.Context, key string) (err error) {
	began := time.Now()
	defer func() { s.tell("delete", began, err) }()
	return s.Store.Delete(ctx, key)
}
