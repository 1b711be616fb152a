package daemon

import (
	"context"
	"time"
)

// Task is something that becomes due again and again: the ladder of an
// environment, a job of the calendar, housekeeping.
type Task interface {
	// Name is unique, and the same after a restart: "ladder/prod".
	Name() string
	// Look says what is due at now. It is asked at every pass, never while what
	// it said before still runs, and side by side with the looks of other tasks.
	// It must be quick, and connect to no database.
	Look(ctx context.Context, now time.Time) (Look, error)
}

// Look is what a task sees.
type Look struct {
	// Do does what is due; nil if nothing is. When it ends with nil, the thing is
	// done, and the next Look says so. ErrBusy means that another one does it, or
	// is in the way: that is no failure.
	Do func(ctx context.Context) error
	// Slot names what is due. What failed is tried again with growing pauses, and
	// at once when a new slot begins.
	Slot string
	// Since is when it became due. Who waits longest goes first.
	Since time.Time
	// Deadline is when it must be done; zero leaves it to the loop's own limit.
	Deadline time.Time
	// Next is when something may become due at the earliest. The loop looks then,
	// and now and again before.
	Next time.Time
	// Reads and Writes are the environments that it works on. Readers share one,
	// writers do not. The leases in the store decide; this only keeps the loop
	// from beginning what would have to wait.
	Reads, Writes []string
	// Urgent work may take the last free place, which the others leave: a few
	// long mirrors must not keep production from being backed up.
	Urgent bool
	// Quick work needs no place.
	Quick bool
}

// due reports whether there is something to do.
func (l Look) due() bool { return l.Do != nil }

// meets reports whether the two cannot go on side by side.
func (l Look) meets(other Look) bool {
	return overlap(l.Writes, other.Writes) || overlap(l.Writes, other.Reads) || overlap(l.Reads, other.Writes)
}

func overlap(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// Observer hears what the loop does, for metrics and notifications. Its methods
// are called from several goroutines and must return at once.
type Observer interface {
	// Looked is called after every look.
	Looked(task string, look Look, err error)
	// Began and Ended are called for everything that is done. Began is called under
	// the loop's lock, and must not ask for its Status.
	Began(task string, look Look)
	Ended(task string, look Look, took time.Duration, err error)
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Looked(string, Look, error)               {}
func (nobody) Began(string, Look)                       {}
func (nobody) Ended(string, Look, time.Duration, error) {}
