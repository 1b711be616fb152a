package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
)

// scopeOf is the scope of a configuration with these tasks and environments.
func scopeOf(environments []string, tasks ...string) *daemon.Scope {
	var all []daemon.Task
	for _, name := range tasks {
		all = append(all, &job{name: name, every: time.Hour})
	}
	return daemon.NewScope(all, environments, nil, []string{"chat"})
}

// seriesOf returns the series of a gathering that speak of a name.
func seriesOf(t *testing.T, m *daemon.Metrics, name string) (found []string) {
	t.Helper()
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, one := range family.GetMetric() {
			for _, label := range one.GetLabel() {
				if label.GetValue() == name {
					found = append(found, family.GetName())
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// What a configuration no longer speaks of has no metrics: an alert on them would
// never end.
func TestMetricsOfWhatIsGone(t *testing.T) {
	t.Parallel()
	m := daemon.NewMetrics("test")
	ladder := newClimber(t, time.Second)
	see := func(task, env, channel string) {
		due := daemon.Look{Do: func(context.Context) error { return nil }, Since: time.Now()}
		m.Looked(task, due, nil)
		m.Began(task, due)
		m.Ended(task, due, time.Second, errors.New("disk full"))
		m.Ended(task, due, time.Second, nil)
		m.Looked(task, due, nil)
		m.SeeTurn(task, manager.JobLook{Next: time.Now().Add(time.Hour)})
		rungs, err := ladder.LookLadder(t.Context(), env, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		rungs.Environment, rungs.View = env, &backup.View{}
		m.SeeLadder(rungs)
		m.SeeClimb(env, &manager.Climb{Asked: true})
		m.SeeExpiry(env, 1, 2, true)
		m.SeeData(env, time.Now())
		m.SeeChannel(channel, 1, 2, 3)
	}
	see("ladder/prod", "prod", "chat")
	see("ladder/old", "old", "pager")
	m.SeeDrills([]manager.DrillState{{Name: "weekly", LastRun: time.Now(), Outcome: drill.Fail}})
	names := map[string]int{"ladder/old": 7, "old": 8, "pager": 1, "weekly": 5}
	for name, least := range names {
		if found := seriesOf(t, m, name); len(found) < least {
			t.Fatalf("of %s only %q speak", name, found)
		}
	}
	before := seriesOf(t, m, "prod")

	m.Keep(scopeOf([]string{"prod"}, "ladder/prod"))
	for range 2 {
		for name := range names {
			if found := seriesOf(t, m, name); len(found) > 0 {
				t.Errorf("%q still speak of %s", found, name)
			}
		}
		see("ladder/old", "old", "pager") // a run that began before
	}
	if after := seriesOf(t, m, "prod"); !slices.Equal(after, before) {
		t.Errorf("of what is still there %q speak, want %q", after, before)
	}
	for _, name := range []string{"ladder/prod", "chat"} {
		if len(seriesOf(t, m, name)) == 0 {
			t.Errorf("nothing speaks of %s", name)
		}
	}
}

// The alarm of what is taken out of the configuration ends, and people are told
// why; nothing that began before raises it again.
func TestAlarmOfWhatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson()
		w := watchOf(&board{}, p)
		pass := func(d time.Duration) {
			t.Helper()
			for range d / time.Minute {
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
		}
		w.Keep(scopeOf([]string{"prod"}, "mirror/copy", "ladder/prod"))
		rungs, err := newClimber(t, time.Second).LookLadder(t.Context(), "prod", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		rungs.Environment = "prod"
		w.SeeLadder(rungs)
		w.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		pass(time.Minute)
		p.check(t, "failing mirror/copy")

		w.Keep(scopeOf([]string{"qa"}, "seed/qa"))
		w.Ended("mirror/copy", daemon.Look{}, 0, errors.New("it began before"))
		pass(8 * 24 * time.Hour)
		p.check(t, "failing mirror/copy", "recovered mirror/copy")
		if e := p.events[1]; !strings.Contains(e.Title, "no longer looked after") || e.Alarm != p.events[0].Alarm {
			t.Errorf("the end is %+v", e)
		}

		w.Keep(scopeOf([]string{"qa"}, "seed/qa", "mirror/copy"))
		w.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		pass(time.Minute)
		p.check(t, "failing mirror/copy", "recovered mirror/copy", "failing mirror/copy")
	})
}

// A store that answers what cannot be understood, such as half of a listing, is
// an alarm too: nobody knows what is due, and nothing fails that was never begun.
func TestStoreThatListsHalf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson()
		began := time.Now()
		half := lookFunc{&job{name: "ladder/prod", every: time.Hour}, func(context.Context) error {
			if ago := time.Since(began); ago > 2*time.Hour && ago < 2*time.Hour+5*time.Minute || ago > 4*time.Hour && ago < 10*time.Hour {
				return envdb.Fail(envdb.ErrVerification, "the listing breaks off").WithNext("envdb doctor")
			}
			return nil
		}}
		w := watchOf(&board{}, p)
		tasks := []daemon.Task{half, &daemon.Chore{Job: "watch", Every: 30 * time.Second, Quick: true, Do: w.Pass}}
		w.Keep(daemon.NewScope(tasks, []string{"prod"}, nil, nil))
		if err := runFor(t, 12*time.Hour, daemon.Config{Work: daemon.Work{Tasks: tasks}, Observer: w}); err != nil {
			t.Fatal(err)
		}
		p.check(t, "failing looking at backup/prod", "recovered looking at backup/prod")
		if e := p.events[0]; !strings.Contains(e.Text, "the listing breaks off") || e.Next != "envdb doctor" || e.Environment != "prod" {
			t.Errorf("the alarm is %+v", e)
		}
		if n := len(half.job.times()); n < 7 {
			t.Errorf("%d slots were done, want those of the hours in which the store was whole", n)
		}
	})
}

// A daemon does not end the alarms of another one that has another configuration;
// what nobody has looked after for a week ends.
func TestAlarmOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, p := &board{}, newPerson(notify.KindFailing, notify.KindRecovered)
		a, b := watchOf(shared, p), watchOf(shared, p)
		a.Keep(scopeOf(nil, "mirror/copy"))
		b.Keep(scopeOf(nil, "seed/qa"))
		passes := func(d time.Duration, all ...*daemon.Watch) {
			t.Helper()
			for range d / (10 * time.Minute) {
				for _, w := range all {
					if err := w.Pass(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Minute)
			}
		}
		want := []string{"failing mirror/copy"}
		a.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		for range 9 {
			passes(24*time.Hour, a, b)
			a.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
			want = append(want, "reminder of failing mirror/copy")
		}
		passes(10*time.Minute, a, b)
		p.check(t, want...)
		passes(8*24*time.Hour, b) // a is gone, and its configuration with it
		p.mu.Lock()
		last := p.heard[len(p.heard)-1]
		p.mu.Unlock()
		if last != "recovered mirror/copy" {
			t.Errorf("after a week of nobody's it is %q", last)
		}
	})
}

// While one channel does not answer, no other daemon tells an event again on
// those that have it.
func TestDeadChannelRepeatsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		heard := map[string]int{}
		daemonWith := func(mail bool) *daemon.Watch {
			w := &daemon.Watch{Shared: shared, Log: slog.New(slog.DiscardHandler), StaleAfter: func(string) time.Duration { return 0 }, Ping: func(notify.Ping) {}}
			w.Tell = func(events ...notify.Event) {
				for _, e := range events {
					had := slices.Contains(e.Had, "chat")
					if !had {
						heard["chat"]++
						w.Got(e, "chat")
					}
					if mail {
						heard["mail"]++
						w.Done(e)
					}
				}
			}
			return w
		}
		a, b, c := daemonWith(false), daemonWith(false), daemonWith(true)
		a.Ended("mirror/copy", daemon.Look{}, 0, envdb.Fail(nil, "disk full"))
		for range 120 {
			for _, w := range []*daemon.Watch{a, b} {
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Second)
			}
		}
		for range 60 {
			if err := c.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
		}
		if heard["chat"] != 1 || heard["mail"] != 1 {
			t.Errorf("they were told %v times, want each once", heard)
		}
	})
}
