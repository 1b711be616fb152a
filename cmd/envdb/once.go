package main

import (
	"context"
	"time"
)

// once makes a value when it is first wanted, and keeps it or why there is none.
// It waits no longer than the caller that wants it: one who had too little
// patience leaves the next to try again, unless that one has no more of it.
type once[T any] struct {
	try  func(context.Context) (T, error)
	turn chan struct{} // holds a token while nobody tries

	// keep is how long it is kept why there is none; 0 is for ever. A command has
	// one answer for the whole of it; a daemon lives on, and so may the store.
	keep time.Duration

	made   bool
	value  T
	err    error
	failed time.Time
	waited time.Duration // in vain, with err
}

func newOnce[T any](try func(context.Context) (T, error)) *once[T] {
	o := &once[T]{try: try, turn: make(chan struct{}, 1)}
	o.turn <- struct{}{}
	return o
}

// get returns the value.
func (o *once[T]) get(ctx context.Context) (T, error) {
	select {
	case <-o.turn:
		defer func() { o.turn <- struct{}{} }()
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
	if o.err != nil && o.keep > 0 && time.Since(o.failed) >= o.keep {
		o.made, o.waited = false, 0
	}
	if deadline, ok := ctx.Deadline(); o.made || ok && o.err != nil && time.Until(deadline) <= o.waited+o.waited/4 {
		return o.value, o.err
	}
	began := time.Now()
	o.value, o.err = o.try(ctx)
	o.made = o.err == nil || ctx.Err() == nil
	o.failed = time.Now()
	o.waited = o.failed.Sub(began)
	return o.value, o.err
}
