package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/schedule"
)

// climber is production with a ladder, on a fake clock: backups take their
// time, and may fail.
type climber struct {
	rules schedule.Rules
	takes time.Duration
	fails func(time.Time) error

	mu     sync.Mutex
	points []schedule.RestorePoint
	looks  int
	climbs []time.Time
}

func (c *climber) LookLadder(_ context.Context, env string, now time.Time) (*manager.Rungs, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	return &manager.Rungs{Environment: env, Rules: c.rules, Points: c.points, Due: c.rules.Due(now, c.points)}, nil
}

func (c *climber) Climb(ctx context.Context, _ string, _ bool) (*manager.Climb, error) {
	began := time.Now()
	c.mu.Lock()
	c.climbs = append(c.climbs, began)
	c.mu.Unlock()
	if c.fails != nil {
		if err := c.fails(began); err != nil {
			return nil, err
		}
	}
	if err := takes(c.takes)(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points = append(c.points, schedule.RestorePoint{ID: envdb.NewBackupID(began), State: schedule.Good, At: began, Started: began, Took: c.takes})
	return &manager.Climb{Done: manager.ClimbedRenewed}, nil
}

func (c *climber) ladder() *daemon.Ladder {
	return &daemon.Ladder{Environment: "prod", Climber: c, Log: slog.New(slog.DiscardHandler)}
}

func newClimber(t *testing.T, took time.Duration) *climber {
	t.Helper()
	policy, err := schedule.NewPolicy(schedule.DefaultLadder(), schedule.Keep{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &climber{rules: schedule.Rules{Policy: policy}, takes: took}
}

// A day of the ladder: one backup a minute, each soon after its slot began.
func TestLadderIsClimbed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClimber(t, 10*time.Second)
		if err := runFor(t, 6*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{c.ladder()}}}); err != nil {
			t.Fatal(err)
		}
		if n := len(c.climbs); n < 359 || n > 361 {
			t.Errorf("it was climbed %d times in six hours, want once a minute", n)
		}
	})
}

// Backups of 3m40 leave the rungs from 1h on: the finer ones are suspended.
func TestSlowBackupsSuspendRungs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClimber(t, 220*time.Second)
		if err := runFor(t, 24*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{c.ladder()}}}); err != nil {
			t.Fatal(err)
		}
		if n := len(c.climbs); n < 24 || n > 28 {
			t.Errorf("it was climbed %d times in a day, want about once an hour", n)
		}
	})
}

// A database that is down for a day is asked for once in a minute, not more,
// and backed up again within a minute of its return.
func TestDatabaseThatIsDownForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClimber(t, 10*time.Second)
		down, up := time.Now().Add(time.Hour), time.Now().Add(25*time.Hour)
		c.fails = func(now time.Time) error {
			if now.After(down) && now.Before(up) {
				return envdb.Fail(envdb.ErrUnreachable, "the server does not answer")
			}
			return nil
		}
		if err := runFor(t, 26*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{c.ladder()}}}); err != nil {
			t.Fatal(err)
		}
		during := 0
		var back time.Time
		for _, at := range c.climbs {
			switch {
			case at.After(down) && at.Before(up):
				during++
			case back.IsZero() && !at.Before(up):
				back = at
			}
		}
		if during < 1400 || during > 3000 {
			t.Errorf("it was tried %d times in the day, want once or twice a minute", during)
		}
		if late := back.Sub(up); late > time.Minute+time.Second {
			t.Errorf("it was backed up %s after it came back", late)
		}
	})
}

// quiet is every night from 22 to 6, in UTC.
type quiet struct{}

func (quiet) At(t time.Time) (time.Time, bool) {
	day := t.Truncate(24 * time.Hour)
	switch hour := t.UTC().Hour(); {
	case hour < 6:
		return day.Add(6 * time.Hour), true
	case hour >= 22:
		return day.Add(30 * time.Hour), true
	}
	return time.Time{}, false
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClimber(t, 10*time.Second)
		l := c.ladder()
		l.Quiet = quiet{}
		if err := runFor(t, 48*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{l}}}); err != nil {
			t.Fatal(err)
		}
		mornings := 0
		for _, at := range c.climbs {
			if _, still := l.Quiet.At(at); still {
				t.Fatalf("it was climbed at %s, in quiet hours", at)
			}
			if at.Sub(at.Truncate(24*time.Hour)) < 6*time.Hour+time.Second {
				mornings++
			}
		}
		if mornings != 2 {
			t.Errorf("on %d of 2 mornings it was climbed as soon as the hours had ended", mornings)
		}
	})
}

// With wake: false only the coarsest rung and bursts are worth a connection.
func TestSleepingServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClimber(t, 10*time.Second)
		c.rules.Bursts = []schedule.Burst{schedule.NewBurst(time.Now().Add(30 * time.Hour))}
		l := c.ladder()
		l.Asleep = true
		if err := runFor(t, 55*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{l}}}); err != nil {
			t.Fatal(err)
		}
		if n := len(c.climbs); n != 3+8 {
			t.Errorf("it was climbed %d times: %v; want three days and eight times of a burst", n, c.climbs)
		}
	})
}

// diary is a calendar whose turns are kept in a map, as they are in the store.
type diary struct {
	calendar schedule.Calendar
	since    time.Time
	takes    time.Duration
	fails    func(time.Time) error

	mu   sync.Mutex
	last time.Time
	ran  []time.Time
}

func (d *diary) Look(_ context.Context, now, tried time.Time) (manager.JobLook, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var look manager.JobLook
	look.Turn, look.Due = d.calendar.Due(now, d.since, []schedule.Attempt{{Nominal: tried}, {Nominal: d.last, Succeeded: true}})
	if next := d.calendar.Next(now, 1); len(next) > 0 {
		look.Next = next[0].Begins
	}
	return look, nil
}

func (d *diary) Run(ctx context.Context, turn schedule.Turn) error {
	d.mu.Lock()
	d.ran = append(d.ran, turn.Nominal)
	d.mu.Unlock()
	if d.fails != nil {
		if err := d.fails(time.Now()); err != nil {
			return err
		}
	}
	if err := takes(d.takes)(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = turn.Nominal
	return nil
}

func newDiary(t *testing.T, expr string, terms schedule.Terms) *diary {
	t.Helper()
	cron, err := schedule.ParseCron(expr)
	if err != nil {
		t.Fatal(err)
	}
	calendar, err := schedule.NewCalendar("mirror/copy", cron, terms)
	if err != nil {
		t.Fatal(err)
	}
	return &diary{calendar: calendar, since: time.Now()}
}

// A turn that comes due while the one before still runs is not begun beside it;
// of those that were missed the last is made up for, or none.
func TestTurnsWhileTheLastStillRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		missed schedule.Missed
		want   int
	}{{schedule.RunOnce, 10}, {schedule.Skip, 8}} {
		t.Run(string(c.missed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDiary(t, "CRON_TZ=UTC 0 * * * *", schedule.Terms{Missed: c.missed})
				d.takes = 150 * time.Minute // two turns pass while it runs
				if err := runFor(t, 23*time.Hour+30*time.Minute, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{&daemon.Turns{Job: "mirror/copy", Calendar: d}}}}); err != nil {
					t.Fatal(err)
				}
				seen := map[time.Time]bool{}
				for _, at := range d.ran {
					if seen[at] {
						t.Errorf("the turn of %s ran twice", at)
					}
					seen[at] = true
				}
				if n := len(d.ran); n != c.want {
					t.Errorf("%d turns ran in a day, want %d", n, c.want)
				}
			})
		})
	}
}

// What failed is tried again, until the next turn.
func TestTurnIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t, "CRON_TZ=UTC 0 4 * * *", schedule.Terms{})
		up := time.Now().Truncate(24 * time.Hour).Add(28*time.Hour + 20*time.Minute)
		d.fails = func(now time.Time) error {
			if now.Before(up) {
				return errors.New("the disk is full")
			}
			return nil
		}
		if err := runFor(t, 48*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{&daemon.Turns{Job: "mirror/copy", Calendar: d}}}}); err != nil {
			t.Fatal(err)
		}
		if d.last.IsZero() {
			t.Fatal("it never succeeded")
		}
		if n := len(d.ran); n < 4 {
			t.Errorf("it was tried %d times", n)
		}
	})
}

// A configuration that changes does not make a turn that failed one that was
// missed, and is skipped.
func TestTurnIsTriedAgainAfterAReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDiary(t, "CRON_TZ=UTC 0 4 * * *", schedule.Terms{Missed: schedule.Skip})
		turn := time.Now().Truncate(24 * time.Hour).Add(28 * time.Hour)
		up := turn.Add(time.Hour)
		d.fails = func(now time.Time) error {
			if now.Before(up) {
				return errors.New("the disk is full")
			}
			return nil
		}
		given := false
		reload := func(context.Context) *daemon.Work {
			if given || time.Now().Before(turn.Add(30*time.Minute)) {
				return nil
			}
			given = true
			return &daemon.Work{Tasks: []daemon.Task{&daemon.Turns{Job: "mirror/copy", Calendar: d}}}
		}
		work := daemon.Work{Tasks: []daemon.Task{&daemon.Turns{Job: "mirror/copy", Calendar: d}}}
		if err := runFor(t, time.Until(turn.Add(3*time.Hour)), daemon.Config{Work: work, Reload: reload}); err != nil {
			t.Fatal(err)
		}
		if !d.last.Equal(turn) {
			t.Errorf("the last success is %s, want the turn that failed before the reload", d.last)
		}
	})
}

// Housekeeping is done at once, and then again and again, whatever the clock.
func TestChore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := 0
		c := &daemon.Chore{Job: "expire/prod", Every: 10 * time.Minute, Quick: true, Do: func(context.Context) error { done++; return nil }}
		if err := runFor(t, time.Hour+time.Second, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{c}}}); err != nil {
			t.Fatal(err)
		}
		if done != 7 {
			t.Errorf("it was done %d times in an hour, want 7", done)
		}
	})
}
