package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
	"github.com/envdb/envdb/schedule"
)

// board is a store that holds one text, with conditions.
type board struct {
	mu      sync.Mutex
	text    []byte
	version int
	// fault is asked before every call.
	fault func(op string) error
}

func (b *board) setFault(fault func(op string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fault = fault
}

func (b *board) failing(op string) error {
	b.mu.Lock()
	fault := b.fault
	b.mu.Unlock()
	if fault == nil {
		return nil
	}
	return fault(op)
}

func (b *board) Shared(context.Context, string) ([]byte, envdb.Condition, error) {
	if err := b.failing("read"); err != nil {
		return nil, envdb.Condition{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.version == 0 {
		return nil, envdb.IfAbsent(), nil
	}
	return slices.Clone(b.text), envdb.IfMatch(envdb.Tag(fmt.Sprint(b.version))), nil
}

func (b *board) SetShared(_ context.Context, _ string, text []byte, cond envdb.Condition) error {
	if err := b.failing("write"); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if cond.Absent() && b.version > 0 || cond.Match() != "" && cond.Match() != envdb.Tag(fmt.Sprint(b.version)) {
		return envdb.ErrCondition
	}
	b.version++
	b.text = slices.Clone(text)
	return nil
}

func gone(string) error { return envdb.Fail(envdb.ErrUnreachable, "the store does not answer") }

// way is a daemon's own way to the board, which can be cut.
type way struct {
	*board
	mu  sync.Mutex
	cut bool
}

func (w *way) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

func (w *way) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *way) Shared(ctx context.Context, name string) ([]byte, envdb.Condition, error) {
	if w.isCut() {
		return nil, envdb.Condition{}, gone("read")
	}
	return w.board.Shared(ctx, name)
}

func (w *way) SetShared(ctx context.Context, name string, text []byte, cond envdb.Condition) error {
	if w.isCut() {
		return gone("write")
	}
	return w.board.SetShared(ctx, name, text, cond)
}

// person is who is told.
type person struct {
	mu     sync.Mutex
	heard  []string // "12h3m failing prod: unreachable"
	events []notify.Event
	pings  map[notify.Phase]int
	began  time.Time
	route  notify.Route
}

func newPerson(kinds ...notify.Kind) *person {
	if len(kinds) == 0 {
		kinds = []notify.Kind{notify.KindFailing, notify.KindRecovered, notify.KindStale, notify.KindObjective, notify.KindWarning}
	}
	return &person{began: time.Now(), route: notify.Route{Kinds: kinds}, pings: map[notify.Phase]int{}}
}

func (p *person) hear(e notify.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.route.Wants(e) {
		return
	}
	what := string(e.Kind)
	if e.Reminder {
		what = "reminder of " + what
	}
	p.heard = append(p.heard, what+" "+e.Subject)
	p.events = append(p.events, e)
}

func (p *person) check(t *testing.T, want ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.heard, want) {
		var when []string
		for i, e := range p.events {
			when = append(when, fmt.Sprintf("%s %s: %s", e.At.Sub(p.began).Round(time.Second), p.heard[i], e.Title))
		}
		t.Errorf("a person heard:\n  %s\nwant:\n  %s", strings.Join(when, "\n  "), strings.Join(want, "\n  "))
	}
}

// watchOf is the watch of a daemon that tells people at once.
func watchOf(shared daemon.Shared, people ...*person) *daemon.Watch {
	w := &daemon.Watch{Shared: shared, Log: slog.New(slog.DiscardHandler), StaleAfter: func(string) time.Duration { return 0 }}
	w.Ping = func(p notify.Ping) {
		for _, one := range people {
			one.mu.Lock()
			one.pings[p.Phase]++
			one.mu.Unlock()
		}
	}
	w.Tell = func(events ...notify.Event) {
		for _, e := range events {
			for _, one := range people {
				one.hear(e)
			}
			w.Done(e)
		}
	}
	return w
}

// shift is a climber of which one daemon climbs at a time, as with a lease.
type shift struct {
	*climber
	way  *way // to the store, which is looked at
	busy *sync.Mutex
}

func (s shift) LookLadder(ctx context.Context, env string, now time.Time) (*manager.Rungs, error) {
	if s.way.isCut() {
		return nil, gone("look")
	}
	if err := s.way.failing("look"); err != nil {
		return nil, err
	}
	return s.climber.LookLadder(ctx, env, now)
}

func (s shift) Climb(ctx context.Context, env string, look bool) (*manager.Climb, error) {
	if !s.busy.TryLock() {
		return nil, envdb.Fail(envdb.ErrBusy, "another daemon is at it")
	}
	defer s.busy.Unlock()
	if r, err := s.LookLadder(ctx, env, time.Now()); err != nil || !r.Due.Any() {
		return &manager.Climb{Done: manager.ClimbedNothing}, err
	}
	return s.climber.Climb(ctx, env, look)
}

// crew is daemons that share a store and a ladder, and people they tell.
type crew struct {
	t      *testing.T
	board  *board
	ladder *climber
	busy   sync.Mutex
	people []*person

	mu       sync.Mutex
	gone, up time.Time // when the database goes, and comes back
}

// newCrew has a ladder of an hour: a look costs little then, and the rest is the
// same.
func newCrew(t *testing.T, people ...*person) *crew {
	t.Helper()
	ladder := newClimber(t, 10*time.Second)
	policy, err := schedule.NewPolicy(schedule.Ladder{time.Hour}, schedule.Keep{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ladder.rules.Policy = policy
	f := &crew{t: t, board: &board{}, ladder: ladder, people: people}
	ladder.fails = func(now time.Time) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !now.Before(f.gone) && now.Before(f.up) {
			return envdb.Fail(envdb.ErrUnreachable, "the server does not answer")
		}
		return nil
	}
	return f
}

// start runs a daemon until it is stopped.
func (f *crew) start() (w *daemon.Watch, its *way, stop func()) {
	its = &way{board: f.board}
	w = watchOf(its, f.people...)
	l := &daemon.Ladder{Environment: "prod", Climber: shift{f.ladder, its, &f.busy}, Log: slog.New(slog.DiscardHandler), Seen: w.SeeLadder}
	store := func(context.Context) error {
		if its.isCut() {
			return gone("housekeeping")
		}
		return its.failing("housekeeping")
	}
	tasks := []daemon.Task{
		l, &daemon.Chore{Job: "watch", Every: 30 * time.Second, Quick: true, Do: w.Pass},
		&daemon.Chore{Job: "reap", Every: 30 * time.Second, Quick: true, Do: store},
		&daemon.Chore{Job: "tidy/prod", Every: 10 * time.Minute, Quick: true, Do: store},
		&daemon.Chore{Job: "expire/prod", Every: 10 * time.Minute, Quick: true, Do: store},
		&daemon.Chore{Job: "runs", Every: 6 * time.Hour, Quick: true, Do: store},
	}
	drain, cancel := context.WithCancel(f.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasks}, Observer: w}).Run(drain, f.t.Context()); err != nil {
			f.t.Errorf("the loop: %v", err)
		}
	})
	return w, its, func() {
		cancel()
		running.Wait()
	}
}

// down has the database be down from now on, for a while.
func (f *crew) down(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone, f.up = time.Now(), time.Now().Add(d)
}

// A database that is down for a day makes one alarm and one message when it is
// back, however many daemons there are, and however often one is started again.
func TestDatabaseThatIsDownForADayIsToldOfOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		daemons int
		restart bool
	}{"one daemon": {1, false}, "two, and one is started again": {2, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				everything, pager := newPerson(), newPerson(notify.KindStale)
				f := newCrew(t, everything, pager)
				var stops []func()
				for range c.daemons {
					_, _, stop := f.start()
					stops = append(stops, stop)
					time.Sleep(3 * time.Second)
				}
				time.Sleep(time.Hour)
				everything.check(t)
				f.down(23 * time.Hour)
				for range 4 {
					time.Sleep(5 * time.Hour)
					if c.restart {
						stops[0]()
						time.Sleep(time.Minute)
						_, _, stops[0] = f.start()
					}
				}
				everything.check(t, "failing prod: unreachable")
				time.Sleep(4 * time.Hour)
				everything.check(t, "failing prod: unreachable", "recovered prod: unreachable")
				pager.check(t, "stale backup/prod", "fresh backup/prod")
				for _, stop := range stops {
					stop()
				}
				if e := everything.events[0]; e.Environment != "prod" || e.Text == "" {
					t.Errorf("the alarm is %+v", e)
				}
			})
		})
	}
}

// Three days of it are an alarm and a reminder a day, from whichever of two.
func TestDatabaseThatIsDownForDaysIsRemindedOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		shared := &board{}
		watches := []*daemon.Watch{watchOf(shared, p), watchOf(shared, p)}
		for minute := range 61 * 60 {
			var err error
			if minute < 60*60 {
				err = envdb.Fail(envdb.ErrUnreachable, "the server does not answer")
			}
			watches[minute%2].Ended("ladder/prod", daemon.Look{}, 0, err)
			for _, w := range watches {
				time.Sleep(30 * time.Second)
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		p.check(t, "failing prod: unreachable", "reminder of failing prod: unreachable", "reminder of failing prod: unreachable", "recovered prod: unreachable")
	})
}

// A store that is down for a day is one alarm of each daemon, for they cannot
// agree, and one message when it is back. What they could not do because of it is
// no alarm of its own.
func TestStoreThatIsDownForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		f := newCrew(t, p)
		var stops []func()
		for range 2 {
			_, _, stop := f.start()
			stops = append(stops, stop)
			time.Sleep(3 * time.Second)
		}
		time.Sleep(time.Hour)
		f.board.setFault(gone)
		time.Sleep(4 * time.Minute)
		p.check(t) // a store that starts again is no news
		time.Sleep(23 * time.Hour)
		p.check(t, "failing store", "failing store")
		f.board.setFault(nil)
		time.Sleep(time.Hour)
		p.check(t, "failing store", "failing store", "recovered store")
		for _, stop := range stops {
			stop()
		}
		if e := p.events[0]; e.Environment != "" || e.Next != "envdb doctor" || !strings.Contains(e.Text, "does not answer") {
			t.Errorf("the alarm is %+v", e)
		}
	})
}

// A store that hangs is as one that does not answer.
func TestStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		w := watchOf(&board{}, p)
		hangs := false
		j := &job{name: "ladder/prod", every: time.Hour, looked: func() error { return nil }}
		hanging := lookFunc{j, func(ctx context.Context) error {
			if !hangs {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}
		drain, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			_ = daemon.New(daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{hanging, &daemon.Chore{Job: "watch", Every: 30 * time.Second, Quick: true, Do: w.Pass}}}, Observer: w}).Run(drain, t.Context())
		})
		time.Sleep(10 * time.Minute)
		hangs = true
		time.Sleep(time.Hour)
		p.check(t, "failing store")
		hangs = false
		time.Sleep(time.Hour)
		p.check(t, "failing store", "recovered store")
		stop()
		running.Wait()
	})
}

// lookFunc is a job whose looks may hang.
type lookFunc struct {
	*job
	first func(context.Context) error
}

func (l lookFunc) Look(ctx context.Context, now time.Time) (daemon.Look, error) {
	if err := l.first(ctx); err != nil {
		return daemon.Look{}, err
	}
	return l.job.Look(ctx, now)
}

// A daemon that cannot reach the store for a while tells what it sees itself, and
// when it can again neither repeats what the other one told meanwhile, nor brings
// back what is over, nor takes away what it does not know.
func TestDaemonThatIsCutOffFromTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		far := &way{board: shared}
		a, b := watchOf(far, p), watchOf(shared, p)
		pass := func(d time.Duration) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(30 * time.Second) {
				if err := a.Pass(t.Context()); err != nil && !far.isCut() {
					t.Fatal(err)
				}
				if err := b.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		boom := errors.New("disk full")
		a.Ended("mirror/one", daemon.Look{}, 0, boom)
		pass(time.Minute)
		p.check(t, "failing mirror/one")
		far.set(true)
		pass(4 * time.Minute)
		b.Ended("mirror/one", daemon.Look{}, 0, nil)  // the old one is over
		b.Ended("mirror/two", daemon.Look{}, 0, boom) // and another begins
		pass(time.Minute)
		a.Ended("mirror/three", daemon.Look{}, 0, boom) // which a alone sees
		pass(10 * time.Minute)
		want := []string{"failing mirror/one", "failing mirror/two", "failing store", "failing mirror/three", "recovered mirror/one"}
		got := slices.Sorted(slices.Values(p.heard))
		if !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			p.check(t, want...)
		}
		n := len(p.heard)
		far.set(false)
		pass(time.Hour)
		p.check(t, append(slices.Clone(p.heard[:n]), "recovered store")...)
		n++
		for _, w := range []*daemon.Watch{a, b} {
			if got := w.Failing("two"); !slices.Equal(got, []string{"mirror/two"}) {
				t.Errorf("of two fails %q", got)
			}
			if got := w.Failing("three"); !slices.Equal(got, []string{"mirror/three"}) {
				t.Errorf("of three fails %q", got)
			}
			if got := w.Failing("one"); len(got) != 0 {
				t.Errorf("of one fails %q, which is well", got)
			}
		}
		// Whoever sees that they are well ends them.
		a.Ended("mirror/two", daemon.Look{}, 0, nil)
		b.Ended("mirror/three", daemon.Look{}, 0, nil)
		pass(20 * time.Minute)
		rest := slices.Sorted(slices.Values(p.heard[n:]))
		if !slices.Equal(rest, []string{"recovered mirror/three", "recovered mirror/two"}) {
			t.Errorf("in the end people heard %q", rest)
		}
	})
}

// An alarm that was told while the store was down is known to all when it is back,
// also if nothing happens any more.
func TestAlarmOfADowntimeIsStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		a := watchOf(shared, p)
		if err := a.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		shared.setFault(func(string) error { return errors.New("a bad gateway") })
		time.Sleep(10 * time.Second)
		a.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		time.Sleep(20 * time.Second)
		if err := a.Pass(t.Context()); err == nil {
			t.Fatal("the pass said nothing of it")
		}
		shared.setFault(nil)
		for range 2 {
			time.Sleep(30 * time.Second)
			if err := a.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		next := watchOf(shared, p)
		if err := next.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := next.Failing("copy"); !slices.Equal(got, []string{"mirror/copy"}) {
			t.Errorf("another daemon knows that %q fails", got)
		}
		next.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		if err := next.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.check(t, "failing mirror/copy")
	})
}

// So is what a daemon tells that begins while the store is down.
func TestDaemonThatBeginsWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		shared.setFault(gone)
		p := newPerson(notify.KindFailing, notify.KindRecovered)
		a := watchOf(shared, p)
		for i := range 12 {
			if i == 0 {
				a.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
			}
			time.Sleep(30 * time.Second)
			if err := a.Pass(t.Context()); !errors.Is(err, envdb.ErrUnreachable) {
				t.Fatal(err)
			}
		}
		p.check(t, "failing mirror/copy", "failing store")
		shared.setFault(nil)
		b := watchOf(shared, p)
		for range 30 {
			for _, w := range []*daemon.Watch{b, a} {
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(30 * time.Second)
		}
		p.check(t, "failing mirror/copy", "failing store", "recovered store")
		if got := b.Failing("copy"); !slices.Equal(got, []string{"mirror/copy"}) {
			t.Errorf("another daemon knows that %q fails", got)
		}
	})
}

// What was told while the store could not take that it was is not told again by
// the next daemon.
func TestWhatWasToldWhileTheStoreWasDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		p := newPerson(notify.KindFailing)
		a := watchOf(shared, p)
		a.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		if err := a.Pass(t.Context()); err != nil { // told; that it is is for the next pass
			t.Fatal(err)
		}
		shared.setFault(gone)
		for range 4 {
			time.Sleep(30 * time.Second)
			if err := a.Pass(t.Context()); !errors.Is(err, envdb.ErrUnreachable) {
				t.Fatal(err)
			}
		}
		shared.setFault(nil)
		if err := a.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := watchOf(shared, p).Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.check(t, "failing mirror/copy")
	})
}

// A daemon that dies before it could tell leaves it to the next one, after a
// while; that one tells it once.
func TestWhatADaemonDidNotTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		p := newPerson(notify.KindFailing)
		mute := watchOf(shared)
		mute.Tell = func(...notify.Event) {} // killed in that moment
		b, c := watchOf(shared, p), watchOf(shared, p)
		mute.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
		if err := mute.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			for _, w := range []*daemon.Watch{b, c} {
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(15 * time.Second)
			}
			if i == 15 {
				p.check(t) // it may still come
			}
		}
		p.check(t, "failing mirror/copy")
	})
}

// Two that write at the same moment lose nothing of what either saw, also when
// both come back from a downtime.
func TestDaemonsThatWriteAtOnce(t *testing.T) {
	t.Parallel()
	for _, downtime := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a downtime %v", downtime), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shared := &board{}
				p := newPerson(notify.KindFailing)
				watches := []*daemon.Watch{watchOf(shared, p), watchOf(shared, p), watchOf(shared, p)}
				passAll := func() {
					var passing sync.WaitGroup
					for _, w := range watches {
						passing.Go(func() { _ = w.Pass(t.Context()) })
					}
					passing.Wait()
				}
				passAll()
				if downtime {
					shared.setFault(gone)
					passAll()
				}
				shared.setFault(func(op string) error {
					if op == "write" {
						time.Sleep(time.Millisecond) // all have read by then
					}
					return nil
				})
				var want []string
				for i, w := range watches {
					w.Ended(fmt.Sprint("mirror/", i), daemon.Look{}, 0, errors.New("disk full"))
					want = append(want, fmt.Sprint("failing mirror/", i))
				}
				passAll()
				shared.setFault(nil)
				time.Sleep(30 * time.Second)
				passAll()
				slices.Sort(p.heard)
				p.check(t, want...)
				time.Sleep(time.Hour)
				fresh := watchOf(shared, p)
				if err := fresh.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.check(t, want...)
				for i := range watches {
					if got := fresh.Failing(fmt.Sprint(i)); len(got) != 1 {
						t.Errorf("of %d fails %q", i, got)
					}
				}
			})
		})
	}
}

// What was well last is well, whatever it was between two passes.
func TestLastObservationCounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seen []bool
		want []string
	}{
		{[]bool{true, false, true}, []string{"failing mirror/copy", "recovered mirror/copy"}},
		{[]bool{false, true}, []string{"failing mirror/copy", "recovered mirror/copy"}},
		{[]bool{true, true, true}, nil},
		{[]bool{true, false}, []string{"failing mirror/copy"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPerson(notify.KindFailing, notify.KindRecovered)
			w := watchOf(&board{}, p)
			for _, ok := range c.seen {
				time.Sleep(time.Second)
				var err error
				if !ok {
					err = errors.New("disk full")
				}
				w.Ended("mirror/copy", daemon.Look{}, 0, err)
			}
			for range 30 {
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(30 * time.Second)
			}
			p.check(t, c.want...)
		})
	}
}

// A state that is damaged, or was sealed with another key, is begun anew by what
// the daemon knows: alarms that are open are not told again, and the store holds a
// state that is whole.
func TestDamagedAlarms(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(*board){
		"cut": func(b *board) { b.text = b.text[:len(b.text)/2] },
		"unsealed": func(b *board) {
			b.fault = func(op string) error {
				if op == "read" && !strings.Contains(string(b.text), `"format"`) {
					return envdb.Fail(envdb.ErrVerification, "it is damaged")
				}
				return nil
			}
			b.text = []byte("?")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				shared := &board{}
				p := newPerson(notify.KindFailing, notify.KindRecovered)
				w := watchOf(damagedBoard{shared}, p)
				w.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
				for range 3 {
					if err := w.Pass(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				damage(shared)
				for range 3 {
					w.Ended("mirror/copy", daemon.Look{}, 0, errors.New("disk full"))
					if err := w.Pass(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
				}
				p.check(t, "failing mirror/copy")
				next := watchOf(damagedBoard{shared}, p)
				next.Ended("mirror/copy", daemon.Look{}, 0, nil)
				for range 30 {
					if err := next.Pass(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(30 * time.Second)
				}
				p.check(t, "failing mirror/copy", "recovered mirror/copy")
			})
		})
	}
}

// damagedBoard says what is to be replaced with its error, as the ledger does.
type damagedBoard struct{ *board }

func (d damagedBoard) Shared(ctx context.Context, name string) ([]byte, envdb.Condition, error) {
	text, cond, err := d.board.Shared(ctx, name)
	if errors.Is(err, envdb.ErrVerification) {
		d.mu.Lock()
		defer d.mu.Unlock()
		cond = envdb.IfMatch(envdb.Tag(fmt.Sprint(d.version)))
	}
	return text, cond, err
}

// What fails can be asked for while a pass goes on, in good times and bad.
func TestFailingIsAskedForMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &board{}
		w := watchOf(shared, newPerson())
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for range 2 {
			asking.Go(func() {
				for ctx.Err() == nil {
					w.Failing("copy")
					time.Sleep(time.Microsecond)
				}
			})
		}
		for i := range 200 {
			if i%20 == 10 {
				shared.setFault(gone)
			}
			if i%20 == 0 {
				shared.setFault(nil)
			}
			w.Ended(fmt.Sprintf("mirror/%d", i), daemon.Look{}, 0, errors.New("disk full"))
			_ = w.Pass(t.Context())
			time.Sleep(time.Microsecond)
		}
		stop()
		asking.Wait()
	})
}

// That another daemon is at it is no news, and services hear of what runs, not of
// housekeeping.
func TestWhatIsNoNews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson()
		w := watchOf(&board{}, p)
		for range 100 {
			for _, task := range []string{"ladder/prod", "mirror/copy", "reap"} {
				w.Began(task, daemon.Look{})
				w.Ended(task, daemon.Look{}, 0, envdb.Fail(envdb.ErrBusy, "another daemon is at it"))
			}
			w.Looked("mirror/copy", daemon.Look{}, nil)
			if err := w.Pass(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
		}
		p.check(t)
		if p.pings[notify.PhaseStart] != 200 || p.pings[notify.PhaseSuccess]+p.pings[notify.PhaseFail] != 0 {
			t.Errorf("pings %v, want that 200 began", p.pings)
		}
	})
}
