package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/schedule"
)

// Calendar runs one job of the calendar; see [Turns].
type Calendar interface {
	// Look says which turn is due; tried is the one that was begun last.
	Look(ctx context.Context, now, tried time.Time) (manager.JobLook, error)
	Run(ctx context.Context, turn schedule.Turn) error
}

// Turns is a job of the calendar, as a task.
type Turns struct {
	// Job is its name: "mirror/prod-copy".
	Job           string
	Calendar      Calendar
	Reads, Writes []string
	// Quiet are the hours of each environment that it works on.
	Quiet []Quiet
	// Quick jobs need no place among the runs.
	Quick bool
	// Seen, if set, gets what every look saw.
	Seen func(manager.JobLook)

	mu    sync.Mutex
	tried time.Time
}

// Name implements Task.
func (t *Turns) Name() string { return t.Job }

// inherit takes over which turn was tried: one that failed is tried again though
// turns that are missed are skipped.
func (t *Turns) inherit(was Task) {
	before, ok := was.(*Turns)
	if !ok || before == t {
		return
	}
	before.mu.Lock()
	defer before.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tried = before.tried
}

// Look implements Task.
func (t *Turns) Look(ctx context.Context, now time.Time) (Look, error) {
	t.mu.Lock()
	tried := t.tried
	t.mu.Unlock()
	seen, err := t.Calendar.Look(ctx, now, tried)
	if err != nil {
		return Look{}, err
	}
	if t.Seen != nil {
		t.Seen(seen)
	}
	look := Look{Next: seen.Next, Reads: t.Reads, Writes: t.Writes, Quick: t.Quick}
	if !seen.Due {
		return look, nil
	}
	turn := seen.Turn
	look.Since, look.Slot, look.Deadline = turn.Begins, turn.Nominal.UTC().Format(time.RFC3339), turn.Deadline
	for _, q := range t.Quiet {
		if until, quiet := q.At(now); quiet {
			look.Next = until
			return look, nil
		}
	}
	look.Do = func(ctx context.Context) error {
		t.mu.Lock()
		t.tried = turn.Nominal
		t.mu.Unlock()
		return t.Calendar.Run(ctx, turn)
	}
	return look, nil
}
