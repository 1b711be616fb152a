package generation_test

import (
	"context"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	first := w.locked(t, "first")
	second := w.open(t, "second")
	err := second.Lock(t.Context())
	wants(t, err, envdb.ErrBusy, "envdb/first", "server process", "connected since", "nothing was changed")
	_, err = second.Build(t.Context(), w.target(t), envdb.OpMirror, generation.Spec{ID: "a"})
	wants(t, err, envdb.ErrMisuse, "not locked")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lock", func() bool { return second.Lock(t.Context()) == nil })
}

func TestLocksOfTwoEnvironmentsAreApart(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	newWorld(t, s, "").locked(t, "one")
	newWorld(t, s, "").locked(t, "two")
}

func TestFenceEndsADeadRun(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	w := newWorld(t, s, "")
	dead := w.locked(t, "dead-7")
	d := w.build(t, dead, "a")
	filler, err := postgres.Connect(t.Context(), d.URL, postgres.Options{App: dead.App()})
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close(context.Background())
	work, stop := dead.Bind(t.Context())
	defer stop()

	next := w.open(t, "next-7")
	if err := next.Fence(t.Context(), "dead-7"); err != nil {
		t.Fatal(problem(err))
	}
	<-work.Done()
	wants(t, context.Cause(work), envdb.ErrBusy, "the lock of staging was lost")
	if err := filler.Ping(t.Context()); err == nil {
		t.Error("the dead run still fills")
	}
	_, err = dead.Build(t.Context(), w.target(t), envdb.OpMirror, generation.Spec{ID: "b"})
	wants(t, err, envdb.ErrBusy, "was lost")
	w.release(t, next, "c")
	wants(t, next.Fence(t.Context(), "next-7"), envdb.ErrMisuse)
}

func TestBindEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	g := w.locked(t, "r1")
	ctx, cancel := context.WithCancel(t.Context())
	work, stop := g.Bind(ctx)
	defer stop()
	if work.Err() != nil {
		t.Error(work.Err())
	}
	cancel()
	<-work.Done()
	unlocked, stop := w.open(t, "r2").Bind(t.Context())
	defer stop()
	<-unlocked.Done()
	wants(t, context.Cause(unlocked), envdb.ErrMisuse, "not locked")
}

// A lock is free when Close has returned, not when the server notices: the next
// part of the same run takes it at once.
func TestLockIsFreeAfterClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.Start(t), "")
	for range 30 {
		if err := w.locked(t, "r1").Close(); err != nil {
			t.Fatal(problem(err))
		}
	}
}
