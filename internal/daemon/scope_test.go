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

// A daemon does not end the alarms of another one that has another configuration,
// however long ago that failed, until all agree.
func TestAlarmOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, p := &board{}, newPerson(notify.KindFailing, notify.KindRecovered)
		a, b := watchOf(shared, p), watchOf(shared, p)
		agreed := false
		a.Agreed = func(context.Context) bool { return agreed }
		b.Agreed = a.Agreed
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
		for range 9 { // a job of the month
			passes(24*time.Hour, a, b)
			want = append(want, "reminder of failing mirror/copy")
		}
		passes(10*time.Minute, a, b)
		p.check(t, want...)
		agreed = true // a is gone, and its configuration with it
		passes(10*time.Minute, b)
		p.check(t, append(want, "recovered mirror/copy")...)
	})
}

// What of a drill was seen under a configuration that is no longer in force is no
// news.
func TestDrillsOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, m := newPerson(), daemon.NewMetrics("test")
		w := watchOf(&board{}, p)
		w.Keep(scopeOf([]string{"qa"}, "seed/qa"))
		m.Keep(scopeOf([]string{"qa"}, "seed/qa"))
		states := []manager.DrillState{{Name: "weekly", LastRun: time.Now(), ProvenSince: time.Now(), StaleAfter: 24 * time.Hour}}
		w.SeeDrills(states)
		m.SeeDrills(states)
		for range 24 * 3 {
			if err := w.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		p.check(t)
		if found := seriesOf(t, m, "weekly"); len(found) > 0 {
			t.Errorf("%q speak of it", found)
		}
	})
}

// The alarm of looks that fail ends, whoever raised it: a daemon that is gone, or
// this one before a restart after which the store could not be read.
func TestLooksAreWellAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, p := &board{}, newPerson()
		a, b := watchOf(shared, p), watchOf(shared, p)
		for _, w := range []*daemon.Watch{a, b} {
			w.Keep(scopeOf([]string{"prod"}, "ladder/prod"))
		}
		pass := func(minutes int, look func()) {
			for range minutes {
				look()
				for _, w := range []*daemon.Watch{a, b} {
					_ = w.Pass(t.Context()) // the store may be down
				}
				time.Sleep(time.Minute)
			}
		}
		broken := errors.New("the format of a newer envdb")
		pass(60, func() {
			a.Looked("ladder/prod", daemon.Look{}, broken)
			b.Looked("ladder/prod", daemon.Look{}, nil)
		})
		p.check(t, "failing looking at backup/prod") // for one of them
		shared.setFault(gone)
		a = watchOf(shared, p)
		a.Keep(scopeOf([]string{"prod"}, "ladder/prod"))
		pass(2, func() { a.Looked("ladder/prod", daemon.Look{}, nil) })
		shared.setFault(nil)
		pass(60, func() {
			a.Looked("ladder/prod", daemon.Look{}, nil)
			b.Looked("ladder/prod", daemon.Look{}, nil)
		})
		p.check(t, "failing looking at backup/prod", "recovered looking at backup/prod")
	})
}

// Metrics ask for the loop's status under no lock of theirs: the loop calls them
// under its own.
func TestMetricsWhileTheLoopBegins(t *testing.T) {
	t.Parallel()
	m := daemon.NewMetrics("test")
	m.Watch(func() daemon.Status {
		began := make(chan struct{})
		go func() {
			defer close(began)
			m.Began("ladder/prod", daemon.Look{}) // by the loop, whose lock the status waits for
		}()
		select {
		case <-began:
		case <-time.After(10 * time.Second):
			t.Error("the loop cannot begin anything while metrics are gathered")
		}
		return daemon.Status{}
	})
	if _, err := m.Registry().Gather(); err != nil {
		t.Error(err)
	}
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
