package daemon

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/envdb/envdb"
)

// track is what the loop knows of a task. The loop's mutex guards it.
type track struct {
	name string
	task Task
	gone bool // no longer configured; only its flight is waited for

	look         Look
	lookErr      error
	lookFailures int

	flight *flight
	// attempts are those that failed since the last success; it is not tried
	// again in the slot before notBefore. A new slot is a new chance, but what
	// failed for long is then not tried over and over.
	slot      string
	attempts  int
	notBefore time.Time
	lastErr   error
}

// flight is a run under way.
type flight struct {
	look            Look
	began, deadline time.Time
}

// looked keeps what a look saw.
func (t *track) looked(look Look, err error) {
	t.lookErr = err
	if err != nil {
		t.look = Look{}
		t.lookFailures++
		return
	}
	t.look, t.lookFailures = look, 0
	if look.Slot != t.slot {
		t.slot, t.notBefore = look.Slot, time.Time{}
	}
}

// ready reports whether it is time to do what is due. What was to be done by now
// is not begun: the next look says what became of it.
func (t *track) ready(now time.Time) bool {
	late := !t.look.Deadline.IsZero() && !now.Before(t.look.Deadline)
	return t.flight == nil && !t.gone && t.lookErr == nil && t.look.due() && !now.Before(t.notBefore) && !late
}

// Pauses between attempts.
const (
	firstPause = 10 * time.Second
	longestTry = 10 * time.Minute
	// busyPause is how long to leave alone what another one is at.
	busyPause = 10 * time.Second
	// donePause keeps what is done, and still due, from being done all the time.
	donePause = Interval
)

// begin starts what a task said is due.
func (l *Loop) begin(runs context.Context, t *track) {
	now := time.Now()
	f := &flight{look: t.look, began: now, deadline: now.Add(l.timeout)}
	if d := t.look.Deadline; !d.IsZero() && d.Before(f.deadline) {
		f.deadline = d
	}
	t.flight = f
	l.done.Add(1)
	l.config.Observer.Began(t.name, f.look)
	go func() {
		defer l.done.Done()
		ctx, cancel := context.WithDeadlineCause(runs, f.deadline, errDeadline)
		defer cancel()
		_, err := guarded(func() (struct{}, error) { return struct{}{}, f.look.Do(ctx) })
		if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		l.ended(t, f, err)
		l.Kick()
	}()
}

// ended takes in how a run ended.
func (l *Loop) ended(t *track, f *flight, err error) {
	now := time.Now()
	l.config.Observer.Ended(t.name, f.look, now.Sub(f.began), err)
	l.mu.Lock()
	defer l.mu.Unlock()
	t.flight = nil
	switch {
	case err == nil:
		t.attempts, t.lastErr, t.notBefore = 0, nil, now.Add(donePause)
	case errors.Is(err, envdb.ErrBusy):
		t.notBefore, t.lastErr = now.Add(busyPause/2+l.jitter(busyPause)), err
	default:
		t.attempts++
		t.lastErr = err
		t.notBefore = now.Add(l.jitter(min(longestTry, firstPause<<min(t.attempts, 10))))
	}
}

// guarded turns a panic into an error: one task that is broken must not end the
// others.
func guarded[T any](do func() (T, error)) (result T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = envdb.Fail(nil, "envdb panicked, which is a defect: %v\n%s", p, debug.Stack()).
				WithNext("please report it, with these lines")
		}
	}()
	return do()
}
