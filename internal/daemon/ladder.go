package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/schedule"
)

// Climber climbs ladders; *manager.Manager is one.
type Climber interface {
	// LookLadder says what is due, without asking the server.
	LookLadder(ctx context.Context, env string, now time.Time) (*manager.Rungs, error)
	// Climb does what is due. With look it first asks the server whether anything
	// has changed since the newest backup.
	Climb(ctx context.Context, env string, look bool) (*manager.Climb, error)
}

// Quiet says when an environment is left alone.
type Quiet interface {
	// At reports whether it is at t, and until when.
	At(t time.Time) (until time.Time, quiet bool)
}

// Ladder is the ladder of an environment, as a task.
type Ladder struct {
	Environment string
	Climber     Climber
	// Quiet are the hours in which nothing connects to the server; nil for none.
	Quiet Quiet
	// Asleep says that the server must not be woken to be looked at: only the
	// coarsest rung and bursts are worth a connection.
	Asleep bool
	// Seen, if set, gets what every look saw.
	Seen func(*manager.Rungs)
	// Done, if set, gets what was done.
	Done func(*manager.Climb)
	Log  *slog.Logger
}

// Name implements Task.
func (l *Ladder) Name() string { return ladderPrefix + l.Environment }

const ladderPrefix = "ladder/"

// Look implements Task.
func (l *Ladder) Look(ctx context.Context, now time.Time) (Look, error) {
	rungs, err := l.Climber.LookLadder(ctx, l.Environment, now)
	if err != nil {
		return Look{}, err
	}
	if l.Seen != nil {
		l.Seen(rungs)
	}
	due := rungs.Due
	look := Look{Next: due.Next, Urgent: true, Reads: []string{l.Environment}}
	if !due.Any() || due.Running {
		return look, nil
	}
	look.Since, look.Slot = soonestSlot(due, now)
	if l.Quiet != nil {
		if until, quiet := l.Quiet.At(now); quiet {
			look.Next = until
			return look, nil
		}
	}
	if l.Asleep && !worthWaking(rungs) {
		return look, nil
	}
	look.Do = l.climb
	return look, nil
}

// worthWaking reports whether the coarsest active rung or a burst is due.
func worthWaking(r *manager.Rungs) bool {
	due := r.Due
	if len(due.Bursts) > 0 {
		return true
	}
	active := due.Duty.Active
	return len(due.Rungs) > 0 && due.Rungs[len(due.Rungs)-1] == active[len(active)-1]
}

// soonestSlot returns when the finest slot that is due began, and its name.
func soonestSlot(due schedule.Due, now time.Time) (time.Time, string) {
	since := now
	if len(due.Rungs) > 0 {
		since = schedule.SlotStart(now, due.Rungs[0])
	}
	for _, b := range due.Bursts {
		if b.Before(since) || len(due.Rungs) == 0 {
			since = b
		}
	}
	return since, since.UTC().Format(time.RFC3339)
}

func (l *Ladder) climb(ctx context.Context) error {
	done, err := l.Climber.Climb(ctx, l.Environment, true)
	if err != nil {
		return err
	}
	if done.Skew.Warns() {
		l.Log.Warn("the clocks of the server and of this machine differ", "env", l.Environment, "skew", time.Duration(done.Skew))
	}
	switch done.Done {
	case manager.ClimbedRenewed:
		l.Log.Debug("nothing has changed since the newest backup", "env", l.Environment, "good_until", done.Until)
	case manager.ClimbedBackup:
		l.Log.Info("backup taken", "env", l.Environment, "backup", done.Backup.ID, "took", done.Backup.Elapsed.Round(time.Millisecond),
			"stored", done.Backup.Totals.StoredBytes, "because", done.Why)
	}
	if l.Done != nil {
		l.Done(done)
	}
	return nil
}
