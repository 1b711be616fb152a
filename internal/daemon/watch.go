package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
)

// Shared keeps what all daemons of a store know in common.
type Shared interface {
	Shared(ctx context.Context, name string) ([]byte, envdb.Condition, error)
	SetShared(ctx context.Context, name string, text []byte, cond envdb.Condition) error
}

// Watch hears what the loop does, and has people told what has changed. Which
// alarms are open stands in the store, so that of several daemons one tells, and
// none repeats it after a restart. While the store is down each tells what it
// sees itself.
type Watch struct {
	Shared Shared
	// Tell tells people, and Ping tells services; neither waits.
	Tell func(...notify.Event)
	Ping func(notify.Ping)
	// Agreed reports whether all daemons that live go by this one's configuration;
	// nil is that they do. While they do not, what one knows nothing about may be
	// another one's.
	Agreed func(context.Context) bool
	// StaleAfter is how old the newest restore point of an environment may be; 0
	// leaves it to the ladder.
	StaleAfter func(env string) time.Duration
	Log        *slog.Logger

	mu      sync.Mutex
	seen    []notify.Observation
	ladders map[string]*manager.Rungs
	since   map[string]time.Time // when a ladder was first seen
	drills  []manager.DrillState
	telling map[string]bool // events by their ids
	told    []notify.Event
	got     []delivery
	scope   *Scope // nil for all
	// blind says of tasks that were looked at whether the last look failed.
	blind map[string]bool
	// tracker is what was last known; nobody changes what it points to. Alone says
	// that it is this daemon's own since it last agreed with the store.
	tracker *notify.Tracker
	alone   bool
	agreed  time.Time
	trouble error // the last of the store, since the last pass
	silent  bool  // there was such trouble at the last pass
}

const (
	sharedAlarms = "notifications"
	subjectStore = "store"
	// unwatched is how long an alarm goes on that this daemon knows nothing about,
	// while another one may, by its own configuration.
	unwatched = 40 * envdb.Day
	// orphaned is how old an event is that nobody has told, because the daemon
	// that was to tell it died.
	orphaned = 10 * time.Minute
	// mostSeen bounds what is remembered while the store is down.
	mostSeen = 1000
)

// subjectOf is what people call a task: the ladder takes backups.
func subjectOf(task string) string {
	if env, found := strings.CutPrefix(task, ladderPrefix); found {
		return "backup/" + env
	}
	return task
}

// environmentOf is what a task is of, or empty. A drill has a name of its own,
// and is of the environment beside which it restores.
func (w *Watch) environmentOf(task string) string {
	kind, env, _ := strings.Cut(task, "/")
	if kind != string(envdb.OpDrill) {
		return env
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.drills {
		if d.Name == env {
			return d.Into
		}
	}
	return ""
}

// Keep has the watch look after what a configuration speaks of, and nothing else.
func (w *Watch) Keep(s *Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scope = s
	maps.DeleteFunc(w.blind, func(task string, _ bool) bool { return !s.tasks[task] })
	w.seen = slices.DeleteFunc(w.seen, func(o notify.Observation) bool { return !s.subjects[o.Subject] })
	maps.DeleteFunc(w.ladders, func(env string, _ *manager.Rungs) bool { return !s.tasks[ladderPrefix+env] })
	maps.DeleteFunc(w.since, func(env string, _ time.Time) bool { return !s.tasks[ladderPrefix+env] })
	w.drills = s.drillsOf(w.drills)
}

// SeeDrills takes in how the drills of the configuration stand.
func (w *Watch) SeeDrills(states []manager.DrillState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drills = w.scope.drillsOf(states)
}

// isChore reports whether a task is housekeeping, which may fail for a while.
func isChore(task string) bool {
	kind, _, _ := strings.Cut(task, "/")
	return slices.Contains([]string{"expire", "tidy", "reap", "runs", "ages", "instances", "watch", "drills"}, kind)
}

func patienceOf(task string) notify.Patience {
	switch {
	case strings.HasPrefix(task, ladderPrefix):
		return notify.LadderPatience
	case isChore(task):
		return notify.Patience{Failures: 5, For: time.Hour}
	}
	return notify.Patience{}
}

// storePatience lets a store start again, and lookPatient one that is mended.
var (
	storePatience = notify.Patience{Failures: 1000, For: 5 * time.Minute}
	lookPatient   = notify.Patience{Failures: 1000, For: 10 * time.Minute}
)

// Looked implements Observer. Whoever looks reads the store and nothing else, but
// for chores, which look at the clock. That the store does not answer is an alarm
// of its own; one that answers what cannot be understood, half of a listing or
// the format of a newer envdb, keeps what is due from being known, of which
// nobody would hear otherwise.
func (w *Watch) Looked(task string, _ Look, err error) {
	switch {
	case isChore(task):
		return
	case isSilence(err):
		w.troubled(err)
		return
	}
	w.mu.Lock()
	was, known := w.blind[task]
	if w.blind == nil {
		w.blind = map[string]bool{}
	}
	w.blind[task] = err != nil
	w.mu.Unlock()
	if err == nil && known && !was {
		return
	}
	o := notify.Observation{Subject: lookSubject(task), Environment: w.environmentOf(task), OK: err == nil, At: time.Now(), Patience: lookPatient}
	if err != nil {
		o.Text = "It is not known what is due: " + err.Error()
		_, o.Next = envdb.Advice(err)
	}
	w.note(o)
}

// lookSubject is what an alarm is about while nobody knows what is due.
func lookSubject(task string) string { return "looking at " + subjectOf(task) }

// isSilence reports whether an error says that something does not answer.
func isSilence(err error) bool {
	return errors.Is(err, envdb.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded)
}

func (w *Watch) troubled(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = err
}

// storeIsDown reports whether the store was not reached just now.
func (w *Watch) storeIsDown() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble != nil || w.silent
}

// worksOnTheStore reports whether a chore reaches nothing but the store.
func worksOnTheStore(task string) bool {
	kind, _, _ := strings.Cut(task, "/")
	return slices.Contains([]string{"expire", "tidy", "reap", "runs", "watch"}, kind)
}

// Began implements Observer.
func (w *Watch) Began(task string, _ Look) {
	if !isChore(task) {
		w.Ping(notify.Ping{Job: subjectOf(task), Environment: w.environmentOf(task), Phase: notify.PhaseStart})
	}
}

// Ended implements Observer. That another daemon is at it, or that this one
// stops, is no news. That the store does not answer is one alarm, not one of each
// task that it ends.
func (w *Watch) Ended(task string, _ Look, _ time.Duration, err error) {
	if errors.Is(err, envdb.ErrBusy) || errors.Is(err, errStopping) {
		return
	}
	o := notify.Observation{Subject: subjectOf(task), Environment: w.environmentOf(task), OK: err == nil, At: time.Now(), Patience: patienceOf(task)}
	ping := notify.Ping{Job: o.Subject, Environment: o.Environment, Phase: notify.PhaseSuccess}
	unreachable := errors.Is(err, envdb.ErrUnreachable)
	if err != nil {
		o.Text = err.Error()
		_, o.Next = envdb.Advice(err)
		if unreachable {
			o.Reason = notify.Reason{Text: "unreachable", Environment: o.Environment}
		}
		ping.Phase, ping.Body = notify.PhaseFail, err.Error()
	}
	switch {
	case unreachable && worksOnTheStore(task):
		w.troubled(err)
	case unreachable && w.storeIsDown():
	default:
		w.note(o)
	}
	if !isChore(task) {
		w.Ping(ping)
	}
}

// note keeps an observation for the next pass. Of what is well, and was before,
// the last one is enough.
func (w *Watch) note(o notify.Observation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.scope != nil && !w.scope.subjects[o.Subject] {
		return // it was begun by a configuration that is no longer in force
	}
	for i := len(w.seen) - 1; i >= 0 && o.OK; i-- {
		last := &w.seen[i]
		if last.Subject != o.Subject {
			continue
		}
		if last.OK {
			*last = o
			return
		}
		break
	}
	if len(w.seen) == mostSeen {
		w.seen = w.seen[1:]
	}
	w.seen = append(w.seen, o)
}

// SeeLadder takes in what a look at a ladder saw.
func (w *Watch) SeeLadder(r *manager.Rungs) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.scope != nil && !w.scope.tasks[ladderPrefix+r.Environment] {
		return
	}
	if w.ladders == nil {
		w.ladders, w.since = map[string]*manager.Rungs{}, map[string]time.Time{}
	}
	w.ladders[r.Environment] = r
	if w.since[r.Environment].IsZero() {
		w.since[r.Environment] = time.Now()
	}
}

// Done takes in that an event was told to everyone who wants it.
func (w *Watch) Done(e notify.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, e)
}

// delivery is that somebody was told an event, who is not the only one.
type delivery struct {
	event   notify.Event
	channel string
}

// Got takes in that an event was told to one of those who want it: while the
// others do not answer, no other daemon tells this one again.
func (w *Watch) Got(e notify.Event, channel string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, delivery{e, channel})
}

// Failing returns what fails in an environment, as was known last.
func (w *Watch) Failing(env string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tracker == nil {
		return nil
	}
	return w.tracker.Failing(env)
}

// Both is an Observer that hands on to two.
type Both struct{ A, B Observer }

// Looked implements Observer.
func (b Both) Looked(task string, look Look, err error) {
	b.A.Looked(task, look, err)
	b.B.Looked(task, look, err)
}

// Began implements Observer.
func (b Both) Began(task string, look Look) {
	b.A.Began(task, look)
	b.B.Began(task, look)
}

// Ended implements Observer.
func (b Both) Ended(task string, look Look, took time.Duration, err error) {
	b.A.Ended(task, look, took, err)
	b.B.Ended(task, look, took, err)
}
