package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A store that does not answer costs a rollback its short patience once, and
// keeps nobody from trying who has more.
func TestOnceWaitsNoLongerThanItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		back := time.Now().Add(time.Minute)
		o := newOnce(func(ctx context.Context) (string, error) {
			tries++
			select {
			case <-ctx.Done():
				return "", ctx.Err()
			case <-time.After(time.Until(back)):
				return "store", nil
			}
		})
		briefly := func() (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return o.get(ctx)
		}
		began := time.Now()
		for range 3 {
			if got, err := briefly(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if waited := time.Since(began); waited != 5*time.Second || tries != 1 {
			t.Errorf("three callers waited %s in %d tries, want 5s in one", waited, tries)
		}
		for range 2 {
			if got, err := o.get(t.Context()); got != "store" || err != nil {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		if got, err := briefly(); got != "store" || err != nil || tries != 2 {
			t.Errorf("got %q, %v after %d tries", got, err, tries)
		}
	})
}

// Why there is no value is kept as well, if it was not the caller's patience.
func TestOnceKeepsWhyThereIsNone(t *testing.T) {
	t.Parallel()
	tries := 0
	o := newOnce(func(context.Context) (int, error) { tries++; return 0, errors.New("no such bucket") })
	for range 2 {
		if _, err := o.get(t.Context()); err == nil || err.Error() != "no such bucket" {
			t.Errorf("got %v", err)
		}
	}
	if tries != 1 {
		t.Errorf("tried %d times", tries)
	}
}

// A daemon asks again after a while: the store may be there by then.
func TestOnceForgetsWhyThereIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		o := newOnce(func(context.Context) (int, error) {
			if tries++; tries < 3 {
				return 0, errors.New("no such bucket")
			}
			return 7, nil
		})
		o.keep = 10 * time.Second
		for _, want := range []int{1, 1, 2, 2, 3, 3} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = o.get(ctx) // the tries tell
			cancel()
			if tries != want {
				t.Fatalf("it was tried %d times, want %d", tries, want)
			}
			time.Sleep(6 * time.Second)
		}
	})
}
