package daemon

import (
	"context"
	"sync"
	"time"
)

// Chore is housekeeping that is done again and again: expiry, leftovers, the
// roll-up of history. When it was done last is not kept: after a restart it is
// done again.
type Chore struct {
	// Job is its name: "expire/prod".
	Job   string
	Every time.Duration
	Do    func(ctx context.Context) error
	Reads []string
	// Quick chores need no place among the runs.
	Quick bool

	mu   sync.Mutex
	done time.Time
}

// Name implements Task.
func (c *Chore) Name() string { return c.Job }

// Look implements Task.
func (c *Chore) Look(_ context.Context, now time.Time) (Look, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A clock that was set back must not postpone it.
	next := c.done.Add(c.Every)
	look := Look{Next: next, Since: next, Slot: c.done.String(), Reads: c.Reads, Quick: c.Quick}
	if now.Before(next) && !now.Before(c.done) {
		return look, nil
	}
	if c.done.IsZero() {
		look.Since = now
	}
	look.Do = func(ctx context.Context) error {
		if err := c.Do(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.done = time.Now()
		return nil
	}
	return look, nil
}
