package daemon

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
)

// Pass brings what was seen together with what all daemons know, and has people
// told what is new. Call it every half minute, and not twice at once.
func (w *Watch) Pass(ctx context.Context) error {
	w.mu.Lock()
	seen, told, got, trouble := w.seen, w.told, w.got, w.trouble
	w.seen, w.told, w.got, w.trouble, w.silent = nil, nil, nil, nil, trouble != nil
	w.mu.Unlock()
	err := w.pass(ctx, append(seen, ofStore(trouble)), told, got)
	if err == nil {
		return nil
	}
	w.mu.Lock()
	w.told, w.got = append(told, w.told...), append(got, w.got...) // for the store to know
	w.mu.Unlock()
	if ctx.Err() != nil {
		w.mu.Lock()
		w.seen = append(seen, w.seen...)
		w.mu.Unlock()
		return err
	}
	if isSilence(err) {
		trouble = err
		w.troubled(err)
	}
	if trouble != nil {
		seen = append(seen, ofStore(trouble))
	}
	return errors.Join(err, w.goAlone(seen, told))
}

// ofStore is what the last half minute says of the store.
func ofStore(trouble error) notify.Observation {
	o := notify.Observation{Subject: subjectStore, OK: trouble == nil, At: time.Now(), Patience: storePatience}
	if trouble != nil {
		o.Text, o.Next = trouble.Error(), "envdb doctor"
	}
	return o
}

// goAlone has people told by what was known last, while the store does not take
// what is seen.
func (w *Watch) goAlone(seen []notify.Observation, told []notify.Event) error {
	t, err := w.known()
	if err != nil {
		return err
	}
	for _, e := range told {
		t.Told(e)
	}
	events := w.observe(t, seen, time.Now())
	w.mu.Lock()
	if !w.alone {
		w.Log.Warn("the store does not take which alarms are open: until it does, each daemon tells what it sees itself")
	}
	w.tracker, w.alone = t, true
	w.mu.Unlock()
	w.tell(events)
	return nil
}

// known returns what was last known.
func (w *Watch) known() (*notify.Tracker, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tracker == nil {
		return &notify.Tracker{}, nil
	}
	return w.tracker.Clone()
}

// whatAllKnow returns what all daemons know, and what this one alone knows with
// it, the condition under which that is still so, and whether it is news to the
// store.
func (w *Watch) whatAllKnow(ctx context.Context) (t *notify.Tracker, cond envdb.Condition, news bool, err error) {
	text, cond, err := w.Shared.Shared(ctx, sharedAlarms)
	t = &notify.Tracker{}
	if err == nil {
		err = t.Restore(text)
	}
	w.mu.Lock()
	alone, since := w.alone, w.agreed
	w.mu.Unlock()
	switch {
	case errors.Is(err, envdb.ErrVerification):
		w.Log.Warn("which alarms were open cannot be read, and is begun anew by what this daemon knows", "reason", err)
		since = time.Time{}
	case err != nil:
		return nil, cond, false, err
	case !alone:
		return t, cond, len(text) == 0, nil
	}
	own, err := w.known()
	if err != nil {
		return nil, cond, false, err
	}
	t.Merge(own, since)
	return t, cond, true, nil
}

func (w *Watch) pass(ctx context.Context, seen []notify.Observation, told []notify.Event, got []delivery) error {
	gone := w.gone(ctx)
	for {
		t, cond, news, err := w.whatAllKnow(ctx)
		if err != nil {
			return err
		}
		version := t.Version()
		for _, e := range told {
			t.Told(e)
		}
		for _, d := range got {
			t.ToldBy(d.event, d.channel)
		}
		now := time.Now()
		events := t.Forget(now, func(subject string, seen time.Time) bool { return gone(subject, now.Sub(seen)) })
		events = append(events, w.observe(t, seen, now)...)
		events = append(events, t.Orphans(now, orphaned)...)
		if news || t.Version() != version {
			raw, err := t.State()
			if err != nil {
				return err
			}
			err = w.Shared.SetShared(ctx, sharedAlarms, raw, cond)
			if errors.Is(err, envdb.ErrCondition) {
				continue
			}
			if err != nil {
				return err
			}
		}
		w.mu.Lock()
		w.tracker, w.alone = t, false
		w.agreed = now.Add(1) // what is of that very moment all know
		w.mu.Unlock()
		w.tell(events)
		w.forget(told)
		return nil
	}
}

// gone returns what says whether a subject is nobody's any more, which was last
// seen that long ago: no daemon's that lives, or none's that has seen it for long.
func (w *Watch) gone(ctx context.Context) func(subject string, ago time.Duration) bool {
	w.mu.Lock()
	scope := w.scope
	w.mu.Unlock()
	agreed := sync.OnceValue(func() bool { return w.Agreed == nil || w.Agreed(ctx) })
	return func(subject string, ago time.Duration) bool {
		return scope != nil && !scope.subjects[subject] && (ago >= unwatched || agreed())
	}
}

// observe takes in what was seen, and how old the newest restore points are.
func (w *Watch) observe(t *notify.Tracker, seen []notify.Observation, now time.Time) []notify.Event {
	var events []notify.Event
	for _, o := range seen {
		events = append(events, t.Observe(now, o)...)
	}
	w.mu.Lock()
	ladders := make([]*manager.Rungs, 0, len(w.ladders))
	for _, r := range w.ladders {
		ladders = append(ladders, r)
	}
	drills, first, blind := w.drills, maps.Clone(w.since), maps.Clone(w.blind)
	w.mu.Unlock()
	slices.SortFunc(ladders, func(a, b *manager.Rungs) int { return strings.Compare(a.Environment, b.Environment) })
	for _, r := range ladders {
		newest, limit := r.NewestMoment(), w.limit(r)
		if newest.IsZero() && now.Sub(first[r.Environment]) <= limit {
			continue // its first backup is still to come
		}
		events = append(events, t.Stale(now, "backup/"+r.Environment, r.Environment, newest, limit)...)
	}
	for _, d := range drills {
		events = append(events, observeDrill(t, d, now)...)
	}
	for _, task := range slices.Sorted(maps.Keys(blind)) {
		if !blind[task] { // which another daemon may still be, whose news is fresh then
			events = append(events, t.Quiet(now, lookSubject(task), lookPatient.For)...)
		}
	}
	return append(events, t.Tick(now)...)
}

// observeDrill takes in how a drill stands. That its last run failed is observed
// when it ends.
func observeDrill(t *notify.Tracker, d manager.DrillState, now time.Time) []notify.Event {
	if d.LastRun.IsZero() {
		return nil
	}
	subject := string(envdb.OpDrill) + "/" + d.Name
	events := t.Unproven(now, subject, d.Into, d.ProvenSince, d.StaleAfter)
	events = append(events, t.Objective(now, notify.Observation{
		Subject: subject, Environment: d.Into, OK: len(d.Missed) == 0, Text: "missed: " + strings.Join(d.Missed, ", "), Next: "envdb drills show last", At: d.LastRun,
	})...)
	for _, warning := range d.Warning {
		events = append(events, t.Warn(now, subject, d.Into, warning, "envdb drills show last")...)
	}
	return events
}

// limit is how old the newest restore point of an environment may be: what the
// configuration says, or twice what the ladder promises and some minutes for a
// server that restarts.
func (w *Watch) limit(r *manager.Rungs) time.Duration {
	if given := w.StaleAfter(r.Environment); given > 0 {
		return given
	}
	return 2*r.Due.Duty.RPO() + 10*time.Minute
}

// tell has events told that are not being told already.
func (w *Watch) tell(events []notify.Event) {
	w.mu.Lock()
	var fresh []notify.Event
	for _, e := range events {
		if w.telling[e.ID()] {
			continue
		}
		if w.telling == nil {
			w.telling = map[string]bool{}
		}
		w.telling[e.ID()] = true
		fresh = append(fresh, e)
	}
	w.mu.Unlock()
	if len(fresh) > 0 {
		w.Tell(fresh...)
	}
}

// forget forgets events that everybody knows to be told.
func (w *Watch) forget(told []notify.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range told {
		delete(w.telling, e.ID())
	}
}
