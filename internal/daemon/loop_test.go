package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/daemon"
)

// job is a task of a test: due once in every slot.
type job struct {
	name   string
	every  time.Duration
	look   daemon.Look // what else it says
	do     func(context.Context) error
	looked func() error

	mu    sync.Mutex
	began []time.Time
	done  time.Time // the slot that is done
}

func (j *job) Name() string { return j.name }

func (j *job) Look(_ context.Context, now time.Time) (daemon.Look, error) {
	if j.looked != nil {
		if err := j.looked(); err != nil {
			return daemon.Look{}, err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	slot := now.Truncate(j.every)
	look := j.look
	look.Slot, look.Since, look.Next = slot.String(), slot, slot.Add(j.every)
	if !slot.After(j.done) {
		return look, nil
	}
	look.Do = func(ctx context.Context) error {
		j.mu.Lock()
		j.began = append(j.began, time.Now())
		j.mu.Unlock()
		if j.do != nil {
			if err := j.do(ctx); err != nil {
				return err
			}
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.done = slot
		return nil
	}
	return look, nil
}

func (j *job) times() []time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.began)
}

// takes is work that takes its time, and ends when it is told to.
func takes(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

// runFor runs a loop for some time, and drains it.
func runFor(t *testing.T, d time.Duration, c daemon.Config) error {
	t.Helper()
	drain, stop := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- daemon.New(c).Run(drain, t.Context()) }()
	time.Sleep(d)
	stop()
	return <-result
}

func TestOnceInEverySlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &job{name: "ladder/prod", every: time.Minute, do: takes(7 * time.Second)}
		if err := runFor(t, time.Hour+time.Second, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}}); err != nil {
			t.Fatal(err)
		}
		began := j.times()
		if len(began) != 61 {
			t.Fatalf("it was done %d times in an hour, want 61", len(began))
		}
		for _, at := range began[1:] {
			if late := at.Sub(at.Truncate(time.Minute)); late > 50*time.Millisecond {
				t.Fatalf("it began %s after its slot did", late)
			}
		}
	})
}

func TestReadersShareAndWritersDoNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		at := map[string]int{}
		worst := map[string]int{}
		work := func(env string) func(context.Context) error {
			return func(ctx context.Context) error {
				mu.Lock()
				at[env]++
				worst[env] = max(worst[env], at[env])
				mu.Unlock()
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					at[env]--
				}()
				return takes(time.Minute)(ctx)
			}
		}
		tasks := []daemon.Task{
			&job{name: "backup/prod", every: time.Hour, do: work("prod"), look: daemon.Look{Reads: []string{"prod"}}},
			&job{name: "mirror/copy", every: time.Hour, do: work("prod"), look: daemon.Look{Reads: []string{"prod"}, Writes: []string{"copy"}}},
			&job{name: "seed/qa", every: time.Hour, do: work("qa"), look: daemon.Look{Writes: []string{"qa"}}},
			&job{name: "reset/qa", every: time.Hour, do: work("qa"), look: daemon.Look{Writes: []string{"qa"}}},
		}
		if err := runFor(t, 10*time.Minute, daemon.Config{Work: daemon.Work{Tasks: tasks, Runs: 9}}); err != nil {
			t.Fatal(err)
		}
		if worst["prod"] != 2 || worst["qa"] != 1 {
			t.Errorf("side by side ran %d readers of prod and %d writers of qa, want 2 and 1", worst["prod"], worst["qa"])
		}
		for _, task := range tasks {
			if n := len(task.(*job).times()); n != 1 {
				t.Errorf("%s ran %d times, want once", task.Name(), n)
			}
		}
	})
}

// A writer that waits is not overtaken for ever by readers that come again.
func TestWriterGetsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &job{name: "a", every: time.Minute, do: takes(50 * time.Second), look: daemon.Look{Reads: []string{"staging"}}}
		b := &job{name: "b", every: 90 * time.Second, do: takes(80 * time.Second), look: daemon.Look{Reads: []string{"staging"}}}
		w := &job{name: "w", every: time.Hour, do: takes(time.Minute), look: daemon.Look{Writes: []string{"staging"}}}
		if err := runFor(t, 3*time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{a, b, w}}}); err != nil {
			t.Fatal(err)
		}
		for _, at := range w.times() {
			if late := at.Sub(at.Truncate(time.Hour)); late > 3*time.Minute {
				t.Errorf("the writer began %s late", late)
			}
		}
		if n := len(w.times()); n < 3 {
			t.Errorf("the writer ran %d times in three hours", n)
		}
	})
}

func TestNoMoreRunsThanMayBe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		slow := func(ctx context.Context) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				running--
			}()
			return takes(30 * time.Minute)(ctx)
		}
		var tasks []daemon.Task
		for i := range 10 {
			tasks = append(tasks, &job{name: fmt.Sprintf("mirror/%d", i), every: 24 * time.Hour, do: slow})
		}
		ladder := &job{name: "ladder/prod", every: time.Minute, do: takes(time.Second), look: daemon.Look{Urgent: true}}
		tasks = append(tasks, ladder)
		if err := runFor(t, time.Hour, daemon.Config{Work: daemon.Work{Tasks: tasks, Runs: 4}}); err != nil {
			t.Fatal(err)
		}
		if most != 3 {
			t.Errorf("%d mirrors ran at once, want 3: one place of four is for what is urgent", most)
		}
		if n := len(ladder.times()); n < 60 {
			t.Errorf("the ladder was climbed %d times in an hour beside the mirrors", n)
		}
	})
}

// What hangs, panics or fails costs its own task only.
func TestOneBrokenTaskKeepsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		wedged := &job{name: "wedged", every: time.Minute, do: func(context.Context) error { <-release; return nil }}
		panics := &job{name: "panics", every: time.Minute, do: func(context.Context) error { panic("no") }}
		blind := &job{name: "blind", every: time.Minute, looked: func() error { panic("not even this") }}
		good := &job{name: "good", every: time.Minute}
		loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{wedged, panics, blind, good}, Timeout: 5 * time.Minute}})
		drain, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- loop.Run(drain, t.Context()) }()
		time.Sleep(time.Hour)
		if n := len(good.times()); n < 60 {
			t.Errorf("the good task ran %d times in an hour", n)
		}
		s := loop.Status()
		if len(s.Running) != 1 || !s.Running[0].Wedged {
			t.Errorf("running is %+v, want the wedged task, known as such", s.Running)
		}
		var waiting []string
		for _, w := range s.Waiting {
			if w.Error == "" {
				continue // it is due just now
			}
			waiting = append(waiting, w.Task+" "+strings.SplitN(w.Error, "\n", 2)[0])
		}
		want := []string{"panics envdb panicked, which is a defect: no", "blind envdb panicked, which is a defect: not even this"}
		if !slices.Equal(waiting, want) {
			t.Errorf("waiting are %q, want %q", waiting, want)
		}
		close(release)
		stop()
		<-result
	})
}

func TestRetriesStayInTheSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := errors.New("the server is down")
		j := &job{name: "mirror/copy", every: 24 * time.Hour, do: func(context.Context) error { return down }}
		if err := runFor(t, 24*time.Hour-time.Second, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}}); err != nil {
			t.Fatal(err)
		}
		began := j.times()
		// Pauses grow to ten minutes, five on average: about 290 a day.
		if len(began) < 150 || len(began) > 700 {
			t.Errorf("it was tried %d times in a day", len(began))
		}
		early := 0
		for _, at := range began {
			if at.Sub(began[0]) < 10*time.Minute {
				early++
			}
		}
		if early < 3 {
			t.Errorf("it was tried %d times in the first ten minutes, want several", early)
		}
	})
}

// What another daemon is doing is no failure, and asked for again soon.
func TestBusyIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		until := time.Now().Add(5 * time.Minute)
		j := &job{name: "seed/qa", every: time.Hour}
		j.do = func(context.Context) error {
			if time.Now().Before(until) {
				return envdb.Fail(envdb.ErrBusy, "another daemon does it")
			}
			return nil
		}
		heard := &heard{}
		if err := runFor(t, 10*time.Minute, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}, Observer: heard}); err != nil {
			t.Fatal(err)
		}
		began := j.times()
		if late := began[len(began)-1].Sub(until); late < 0 || late > 30*time.Second {
			t.Errorf("it was done %s after it could be", late)
		}
		for _, err := range heard.ended {
			if err != nil && !errors.Is(err, envdb.ErrBusy) {
				t.Errorf("it ended with %v", err)
			}
		}
	})
}

// heard keeps how things ended.
type heard struct {
	mu     sync.Mutex
	looked int
	began  []string
	ended  []error
}

func (h *heard) Looked(string, daemon.Look, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked++
}

func (h *heard) Began(task string, _ daemon.Look) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.began = append(h.began, task)
}

func (h *heard) Ended(_ string, _ daemon.Look, _ time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = append(h.ended, err)
}

func TestDeadlineCuts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		midnight := time.Now().Truncate(24 * time.Hour)
		j := &job{name: "mirror/copy", every: 24 * time.Hour, do: takes(3 * time.Hour), look: daemon.Look{Deadline: midnight.Add(25 * time.Hour)}}
		j.done = midnight // today's is done
		heard := &heard{}
		if err := runFor(t, time.Until(midnight.Add(25*time.Hour+time.Second)), daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}, Observer: heard}); err != nil {
			t.Fatal(err)
		}
		if len(heard.ended) != 1 || !errors.Is(heard.ended[0], envdb.ErrInterrupted) || !strings.Contains(heard.ended[0].Error(), "its deadline has passed") {
			t.Errorf("it ended with %v, want that its deadline has passed", heard.ended)
		}
	})
}

// The first signal lets runs end; the second ends them.
func TestDrainThenCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cut  bool
		took time.Duration
	}{{"drain", false, 29 * time.Minute}, {"cut", true, 2 * time.Minute}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := &job{name: "mirror/copy", every: 24 * time.Hour, do: takes(30 * time.Minute)}
				later := &job{name: "seed/qa", every: 24 * time.Hour}
				later.done = time.Now().Truncate(24 * time.Hour) // due at midnight
				drain, stop := context.WithCancel(t.Context())
				cut, end := context.WithCancel(t.Context())
				defer end()
				loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j, later}}})
				result := make(chan error, 1)
				go func() { result <- loop.Run(drain, cut) }()
				time.Sleep(time.Minute)
				stop()
				began := time.Now()
				if c.cut {
					time.Sleep(2 * time.Minute)
					end()
				}
				if err := <-result; err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if n := len(later.times()); n != 0 {
					t.Errorf("%d runs began after the first signal", n)
				}
			})
		})
	}
}

// What does not even end when it is told to is left behind, and named.
func TestLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		j := &job{name: "mirror/copy", every: 24 * time.Hour, do: func(context.Context) error { <-release; return nil }}
		stopped, stop := context.WithCancel(t.Context())
		loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}})
		result := make(chan error, 1)
		go func() { result <- loop.Run(stopped, stopped) }()
		time.Sleep(time.Minute)
		stop()
		if err := <-result; !errors.Is(err, envdb.ErrInterrupted) || !strings.Contains(err.Error(), "mirror/copy") {
			t.Errorf("it ended with %v, want the name of what was left", err)
		}
		close(release)
	})
}

// A configuration that changes takes effect at the next pass; what runs goes on.
func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		was := &job{name: "mirror/copy", every: 24 * time.Hour, do: takes(10 * time.Minute)}
		removed := &job{name: "seed/qa", every: 24 * time.Hour, do: takes(10 * time.Minute)}
		is := &job{name: "mirror/copy", every: 24 * time.Hour, do: takes(time.Minute)}
		added := &job{name: "reset/qa", every: 24 * time.Hour}
		at := time.Now().Add(5 * time.Minute)
		given := false
		reload := func(context.Context) *daemon.Work {
			if given || time.Now().Before(at) {
				return nil
			}
			given = true
			return &daemon.Work{Tasks: []daemon.Task{is, added}}
		}
		if err := runFor(t, time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{was, removed}}, Reload: reload}); err != nil {
			t.Fatal(err)
		}
		if len(was.times()) != 1 || len(removed.times()) != 1 || len(added.times()) != 1 {
			t.Errorf("they ran %d, %d and %d times, want each once", len(was.times()), len(removed.times()), len(added.times()))
		}
		if began := is.times(); len(began) != 1 || began[0].Sub(was.times()[0]) < 10*time.Minute {
			t.Errorf("the new one began at %v, want after the old one had ended", began)
		}
	})
}

// How much may run at once, and for how long, changes with the configuration.
func TestReloadOfLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tasks []daemon.Task
		var jobs []*job
		for i := range 6 {
			j := &job{name: fmt.Sprintf("mirror/%d", i), every: 4 * time.Hour, do: takes(30 * time.Minute)}
			jobs, tasks = append(jobs, j), append(tasks, j)
		}
		atOnce := func(since time.Time) int {
			n := 0
			for _, j := range jobs {
				if began := j.times(); len(began) > 0 && began[len(began)-1].Sub(since).Abs() < time.Minute {
					n++
				}
			}
			return n
		}
		given := false
		change := time.Now().Truncate(4 * time.Hour).Add(3*time.Hour + 59*time.Minute)
		reload := func(context.Context) *daemon.Work {
			if given || time.Now().Before(change) {
				return nil
			}
			given = true
			return &daemon.Work{Tasks: tasks, Runs: 5, Timeout: 10 * time.Minute}
		}
		heard := &heard{}
		drain, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasks, Runs: 2}, Reload: reload, Observer: heard})
		began := time.Now()
		go func() { result <- loop.Run(drain, t.Context()) }()
		time.Sleep(2 * time.Minute)
		if n := atOnce(began); n != 1 {
			t.Errorf("%d of them run at once, want one beside the place for what is urgent", n)
		}
		time.Sleep(time.Until(change.Add(3 * time.Minute)))
		if n := atOnce(change.Add(time.Minute)); n != 4 {
			t.Errorf("with the new limit %d run at once, want 4", n)
		}
		time.Sleep(10 * time.Minute)
		stop()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(heard.ended, func(err error) bool { return errors.Is(err, envdb.ErrInterrupted) }) {
			t.Error("the new deadline cut nothing")
		}
	})
}

// Starting and stopping at any moment leaves nothing running.
func TestStartStopStress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running := 0
		for i := range 300 {
			var tasks []daemon.Task
			for k := range 5 {
				tasks = append(tasks, &job{name: fmt.Sprint(k), every: time.Second, do: func(ctx context.Context) error {
					mu.Lock()
					running++
					mu.Unlock()
					defer func() {
						mu.Lock()
						defer mu.Unlock()
						running--
					}()
					return takes(time.Duration(k) * 300 * time.Millisecond)(ctx)
				}})
			}
			drain, stop := context.WithCancel(t.Context())
			cut, end := context.WithCancel(t.Context())
			loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasks}})
			result := make(chan error, 1)
			go func() { result <- loop.Run(drain, cut) }()
			time.Sleep(time.Duration(i*37%2000) * time.Millisecond)
			loop.Kick()
			if i%3 == 0 {
				end()
			}
			stop()
			if err := <-result; err != nil {
				t.Fatal(err)
			}
			end()
			mu.Lock()
			if running != 0 {
				t.Fatalf("round %d: %d runs go on after the loop has ended", i, running)
			}
			mu.Unlock()
		}
	})
}

// The watchdog is fed while the loop lives, also while it drains.
func TestAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var last time.Time
		worst := time.Duration(0)
		alive := func() {
			if !last.IsZero() {
				worst = max(worst, time.Since(last))
			}
			last = time.Now()
		}
		j := &job{name: "mirror/copy", every: 24 * time.Hour, do: takes(3 * time.Hour)}
		if err := runFor(t, time.Hour, daemon.Config{Work: daemon.Work{Tasks: []daemon.Task{j}}, Alive: alive}); err != nil {
			t.Fatal(err)
		}
		if most := daemon.Interval / 3; worst == 0 || worst > most {
			t.Errorf("the longest silence was %s, want at most %s", worst, most)
		}
	})
}

// A store that hangs makes a pass over many environments long; the loop shows
// that it lives all the same.
func TestAliveInALongPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		last, worst := time.Now(), time.Duration(0)
		alive := func() {
			mu.Lock()
			defer mu.Unlock()
			worst = max(worst, time.Since(last))
			last = time.Now()
		}
		var tasks []daemon.Task
		for i := range 500 {
			tasks = append(tasks, hanging(fmt.Sprint(i)))
		}
		drain, stop := context.WithCancel(t.Context())
		result := make(chan error, 1)
		loop := daemon.New(daemon.Config{Work: daemon.Work{Tasks: tasks}, Alive: alive})
		health := &daemon.Health{Loop: loop, Metrics: daemon.NewMetrics("test")}
		go func() { result <- loop.Run(drain, t.Context()) }()
		for range 20 {
			time.Sleep(time.Minute)
			answer := httptest.NewRecorder()
			health.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/healthz", nil))
			if answer.Code != http.StatusOK {
				t.Fatalf("the loop looks, and its health is %s", answer.Body)
			}
		}
		stop()
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if worst > time.Minute {
			t.Errorf("the longest silence was %s", worst)
		}
	})
}

// hanging is a task whose look takes for ever, by its name.
type hanging string

func (h hanging) Name() string { return string(h) }

func (h hanging) Look(ctx context.Context, _ time.Time) (daemon.Look, error) {
	<-ctx.Done()
	return daemon.Look{}, context.Cause(ctx)
}
