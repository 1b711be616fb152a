package daemon

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Timing of the loop.
const (
	// Interval is the longest that the loop sleeps, by the wall clock.
	Interval = 15 * time.Second
	// aliveEvery is how often a loop that waits shows that it lives.
	aliveEvery = Interval / 3
	// lookPatience is how long one look may take: a store that hangs must not
	// keep the others.
	lookPatience = 20 * time.Second
	// lookers is how many tasks look at once.
	lookers = 16
	// cutPatience is how long a run that was cut may tidy up before it counts as
	// wedged.
	cutPatience = 2 * time.Minute
)

// Errors with which the loop ends the context of a run.
var (
	errDeadline = envdb.Fail(envdb.ErrInterrupted, "its deadline has passed").
			WithNext("see what took so long with `envdb runs`; the daemon tries again when it is due again")
	errStopping = envdb.Fail(envdb.ErrInterrupted, "the daemon was stopped").
			WithNext("it is done when a daemon runs again")
)

// Work is what there is to do.
type Work struct {
	Tasks []Task
	// Runs is how many runs there may be at once; 0 is 4. If it is more than one,
	// the last place is left to what is urgent.
	Runs int
	// Timeout is the deadline of what has none; 0 is 6 h.
	Timeout time.Duration
}

// Config is what a Loop works with.
type Config struct {
	Work Work
	// Reload is asked before every pass; nil keeps the work for ever. It returns
	// that of a configuration that changed, or nil. It says itself what is wrong
	// with one that cannot be used.
	Reload func(context.Context) *Work
	// Alive is called when the loop has shown that it lives: after looks, though at
	// most once a second, and at least every few seconds while it sleeps. It feeds a watchdog, and is
	// called from several goroutines.
	Alive    func()
	Observer Observer
	Log      *slog.Logger
}

const (
	defaultRuns    = 4
	defaultTimeout = 6 * time.Hour
)

// Loop does what is due. Make one with New, and run it once.
type Loop struct {
	config Config
	kicked chan struct{}
	jitter func(time.Duration) time.Duration

	mu      sync.Mutex
	tracks  []*track
	runs    int // at once
	timeout time.Duration
	shown   time.Time // when the loop last showed that it lives
	passed  time.Time // when the last pass ended
	lasted  time.Duration
	done    sync.WaitGroup // of the flights
}

// New returns a loop.
func New(c Config) *Loop {
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Alive == nil {
		c.Alive = func() {}
	}
	l := &Loop{config: c, kicked: make(chan struct{}, 1), jitter: fullJitter}
	l.replace(c.Work)
	return l
}

// fullJitter returns anything up to most: daemons that failed together do not
// come back together.
func fullJitter(most time.Duration) time.Duration {
	return time.Duration(rand.Int64N(int64(max(most, 1))))
}

// Kick has the loop look at once.
func (l *Loop) Kick() {
	select {
	case l.kicked <- struct{}{}:
	default: // it is going to
	}
}

// Run does what is due until drain ends. Then it begins nothing more, and
// returns when what runs has ended; when cut ends, too, that is told to stop. A
// run that does not even tidy up in two minutes is left behind, and named in
// the error.
func (l *Loop) Run(drain, cut context.Context) error {
	runs, end := context.WithCancelCause(context.WithoutCancel(cut))
	defer end(nil)
	stop := context.AfterFunc(cut, func() { end(errStopping) })
	defer stop()

	for drain.Err() == nil {
		l.reload(drain)
		l.Pass(drain, runs)
		l.alive()
		l.sleep(drain)
	}
	return l.drain(cut)
}

// reload takes over the work of a configuration that changed.
func (l *Loop) reload(ctx context.Context) {
	if l.config.Reload == nil {
		return
	}
	if work := l.config.Reload(ctx); work != nil {
		l.replace(*work)
	}
}

// heir is a task that goes on where one of its name leaves off when the
// configuration changes.
type heir interface{ inherit(was Task) }

// replace has the loop look at other tasks from now on. What runs goes on by the
// deadline that it has, and a task of the same name waits for it.
func (l *Loop) replace(w Work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs, l.timeout = cmp.Or(w.Runs, defaultRuns), cmp.Or(w.Timeout, defaultTimeout)
	was := map[string]*track{}
	for _, t := range l.tracks {
		was[t.name] = t
	}
	var tracks []*track
	for _, task := range w.Tasks {
		t := was[task.Name()]
		if t == nil {
			t = &track{name: task.Name()}
		} else if h, ok := task.(heir); ok {
			h.inherit(t.task)
		}
		delete(was, t.name)
		t.task, t.gone = task, false
		tracks = append(tracks, t)
	}
	for _, t := range l.tracks { // in their order
		if was[t.name] != nil && t.flight != nil {
			t.gone = true
			tracks = append(tracks, t)
		}
	}
	l.tracks = tracks
}

// Pass looks at every task once, and begins what is due, under the context
// runs. It returns when it has, and does not wait for what it began.
func (l *Loop) Pass(ctx, runs context.Context) {
	began := time.Now()
	looking := backup.OneLook(ctx) // all looks of a pass are of one moment
	idle := l.idle()
	var group errgroup.Group
	group.SetLimit(lookers)
	for _, t := range idle {
		group.Go(func() error {
			l.look(looking, t)
			return nil
		})
	}
	_ = group.Wait() // looks keep their own errors
	if ctx.Err() == nil {
		l.beginDue(runs, idle)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed = time.Now()
	l.lasted = l.passed.Sub(began)
}

// idle returns the tasks of which nothing runs.
func (l *Loop) idle() []*track {
	l.mu.Lock()
	defer l.mu.Unlock()
	var idle []*track
	l.tracks = slices.DeleteFunc(l.tracks, func(t *track) bool { return t.gone && t.flight == nil })
	for _, t := range l.tracks {
		if t.flight == nil {
			idle = append(idle, t)
		}
	}
	return idle
}

// look asks one task. That it was not answered because the loop ends is no news.
func (l *Loop) look(loop context.Context, t *track) {
	ctx, cancel := context.WithTimeout(loop, lookPatience)
	defer cancel()
	look, err := guarded(func() (Look, error) { return t.task.Look(ctx, time.Now()) })
	if loop.Err() == nil || err == nil {
		l.config.Observer.Looked(t.name, look, err)
	}
	l.alive() // a pass over a store that hangs is long
	l.mu.Lock()
	defer l.mu.Unlock()
	t.looked(look, err)
	if err != nil && t.lookFailures == 1 {
		l.config.Log.Warn("could not look what is due", "task", t.name, "reason", err)
	}
}

// alive shows that the loop lives, but not a hundred times in a pass.
func (l *Loop) alive() {
	l.mu.Lock()
	now := time.Now()
	shown := now.Sub(l.shown) < time.Second && !now.Before(l.shown)
	if !shown {
		l.shown = now
	}
	l.mu.Unlock()
	if !shown {
		l.config.Alive()
	}
}

// beginDue begins what is due and not in the way of what runs, or of what is
// waiting for longer.
func (l *Loop) beginDue(runs context.Context, idle []*track) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var due []*track
	for _, t := range idle {
		if t.ready(now) {
			due = append(due, t)
		}
	}
	slices.SortStableFunc(due, func(a, b *track) int { return a.look.Since.Compare(b.look.Since) })
	var ahead []Look
	running := 0
	for _, t := range l.tracks {
		if t.flight != nil {
			ahead = append(ahead, t.flight.look)
			if !t.flight.look.Quick {
				running++
			}
		}
	}
	for _, t := range due {
		if l.free(t.look, running) && !slices.ContainsFunc(ahead, t.look.meets) {
			l.begin(runs, t)
			if !t.look.Quick {
				running++
			}
		}
		ahead = append(ahead, t.look) // who comes later does not overtake it
	}
}

// free reports whether there is a place for it beside so many runs.
func (l *Loop) free(look Look, running int) bool {
	switch {
	case look.Quick:
		return true
	case look.Urgent, l.runs == 1:
		return running < l.runs
	}
	return running < l.runs-1
}

// sleep waits until something may be due, somebody kicks, or drain ends.
func (l *Loop) sleep(drain context.Context) {
	timer, beat := time.NewTimer(l.pause(time.Now())), time.NewTicker(aliveEvery)
	defer timer.Stop()
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			l.alive()
			continue
		case <-drain.Done():
		case <-l.kicked:
		case <-timer.C:
		}
		return
	}
}

// pause returns how long nothing can become due.
func (l *Loop) pause(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	pause := Interval
	for _, t := range l.tracks {
		if t.flight != nil {
			continue
		}
		for _, next := range []time.Time{t.look.Next, t.notBefore} {
			if until := next.Sub(now); until > 0 {
				pause = min(pause, until)
			}
		}
	}
	return max(pause, 10*time.Millisecond)
}

// drain waits for what runs.
func (l *Loop) drain(cut context.Context) error {
	l.alive()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.done.Wait()
	}()
	beat := time.NewTicker(aliveEvery)
	defer beat.Stop()
	var patience <-chan time.Time
	cutting := cut.Done()
	for {
		select {
		case <-ended:
			return nil
		case <-beat.C:
			l.alive()
		case <-cutting:
			cutting = nil
			timer := time.NewTimer(cutPatience)
			defer timer.Stop()
			patience = timer.C
		case <-patience:
			return l.leftBehind()
		}
	}
}

// leftBehind names what does not end.
func (l *Loop) leftBehind() error {
	var errs []error
	for _, f := range l.Status().Running {
		errs = append(errs, envdb.Fail(envdb.ErrInterrupted, "%s did not end %s after it was told to", f.Task, cutPatience).
			WithNext("envdb doctor finds what it left behind"))
	}
	return errors.Join(errs...)
}

// Status is what the loop does now.
type Status struct {
	// Passed is when the last pass ended, and Lasted how long it took. Lives is when
	// the loop last showed that it lives: a pass over a store that hangs takes a
	// while, and so does a drain.
	Passed  time.Time     `json:"passed"`
	Lasted  time.Duration `json:"lasted_ns"`
	Lives   time.Time     `json:"lives"`
	Tasks   int           `json:"tasks"`
	Running []Running     `json:"running"`
	// Waiting are tasks that are due and have not begun.
	Waiting []Waiting `json:"waiting"`
}

// Running is something that is being done.
type Running struct {
	Task     string    `json:"task"`
	Since    time.Time `json:"since"`
	Deadline time.Time `json:"deadline"`
	// Wedged says that it did not end although it was told to.
	Wedged bool `json:"wedged,omitempty"`
}

// Waiting is something that is due.
type Waiting struct {
	Task  string    `json:"task"`
	Since time.Time `json:"since"`
	// Attempts are those that failed; Again is when it is tried again.
	Attempts int       `json:"attempts,omitempty"`
	Again    time.Time `json:"again,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// Status returns what the loop does now.
func (l *Loop) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Passed: l.passed, Lasted: l.lasted, Lives: l.shown, Tasks: len(l.tracks)}
	now := time.Now()
	for _, t := range l.tracks {
		switch {
		case t.flight != nil:
			s.Running = append(s.Running, Running{t.name, t.flight.began, t.flight.deadline, now.After(t.flight.deadline.Add(cutPatience))})
		case t.look.due() || t.lookErr != nil:
			w := Waiting{Task: t.name, Since: t.look.Since, Attempts: t.attempts, Again: t.notBefore}
			if err := cmp.Or(t.lookErr, t.lastErr); err != nil {
				w.Error = err.Error()
			}
			s.Waiting = append(s.Waiting, w)
		}
	}
	return s
}
