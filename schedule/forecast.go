package schedule

import (
	"slices"
	"sort"
	"time"
)

// Forecast is what a simulation came to.
type Forecast struct {
	// Rungs are those of every policy that was in force, finest first.
	Rungs []RungForecast
	// RPO is the greatest age of the newest restore point at any moment, since
	// the first one: what would have been lost.
	RPO time.Duration

	Backups, Failed, Bad, Unchanged, Expired, Pinned int
	// Most is how many restore points there were at once, Broken how many went
	// before the moment that was promised when they were taken.
	Most, Broken int
	// Suspended is the most rungs that were suspended at once.
	Suspended int
}

// RungForecast is what one would have got who asked for the state of one
// interval ago, at the worst moment. Time in which the database is known to
// have been unchanged makes nothing older.
type RungForecast struct {
	Rung time.Duration
	// Slots is how many occupied slots the rung keeps.
	Slots int
	// Worst is how old the state was at the worst moment, At.
	Worst time.Duration
	At    time.Time
	// Thinned is how much older the state was, at most, than the best that had
	// been taken: what expiry cost.
	Thinned time.Duration
	// Missing is for how long there was nothing old enough although there had
	// been.
	Missing time.Duration
}

// forecastBackups is how many backups Policy.Forecast simulates at most: about a
// second's work.
const forecastBackups = 20_000

// Forecast returns what the policy gives in fair weather when backups take so
// long: three intervals of the coarsest rung are simulated. On a ladder that
// goes from minutes to months that is less; the Worst of the rungs that it
// does not reach is 0.
func (p Policy) Forecast(took time.Duration) Forecast {
	if p.IsZero() {
		return Forecast{}
	}
	active, _ := p.ladder.Fit(took, p.maxDuty)
	return Simulation{
		Policy: p,
		From:   time.Unix(0, 0).UTC(),
		Span:   min(3*p.ladder[len(p.ladder)-1], forecastBackups*active[0]),
		Took:   took,
	}.Run()
}

func newForecast(p Policy) Forecast {
	var f Forecast
	f.add(p)
	return f
}

// add adds the rungs of a policy that comes into force.
func (f *Forecast) add(p Policy) {
	for i, rung := range p.ladder {
		if j := f.index(rung); j >= 0 {
			f.Rungs[j].Slots = p.slots[i]
			continue
		}
		f.Rungs = append(f.Rungs, RungForecast{Rung: rung, Slots: p.slots[i]})
	}
	sort.Slice(f.Rungs, func(i, j int) bool { return f.Rungs[i].Rung < f.Rungs[j].Rung })
}

func (f *Forecast) index(rung time.Duration) int {
	return slices.IndexFunc(f.Rungs, func(r RungForecast) bool { return r.Rung == rung })
}

func (f *Forecast) duty(d Duty) { f.Suspended = max(f.Suspended, len(d.Suspended)) }

// observe asks at the worst moments from now to next, in which nothing
// happens.
func (w *world) observe(next time.Time) {
	w.forget()
	w.askUntil(next, &w.lost)
	w.forecast.RPO = w.lost.Worst
	for i, rung := range w.rules.Policy.ladder {
		if settled := 2 * rung; w.now.Sub(w.since) < settled {
			break // the rungs come first in which the policy had its time
		}
		w.askUntil(next, &w.forecast.Rungs[w.rungAt(i)])
	}
}

// askUntil asks for the state of one interval ago just before next, and just
// before the moment that is asked for reaches a restore point.
func (w *world) askUntil(next time.Time, r *RungForecast) {
	from, until := w.now.Add(-r.Rung), next.Add(-r.Rung)
	w.ask(r, until, next.Sub(w.now))
	for i := w.firstPoint(from); i < len(w.points) && w.points[i].At.Before(until); i++ {
		w.ask(r, w.points[i].At, 0)
	}
}

// rungAt returns the place in the forecast of the i-th rung in force.
func (w *world) rungAt(i int) int {
	if len(w.forecast.Rungs) == len(w.rules.Policy.ladder) {
		return i
	}
	return w.forecast.index(w.rules.Policy.ladder[i])
}

// ask notes what one gets who asks for the state just before a moment.
func (w *world) ask(r *RungForecast, moment time.Time, missing time.Duration) {
	b := w.behind(moment)
	switch {
	case b.missing:
		r.Missing += missing
	case b.known:
		r.Thinned = max(r.Thinned, b.thinned)
		if worst := r.Rung + b.gap + b.thinned; worst > r.Worst {
			r.Worst, r.At = worst, moment.Add(r.Rung)
		}
	}
}

// behind is how far what one gets is behind the moment that was asked for:
// what nobody had taken, and what expiry thinned out.
type behind struct {
	gap, thinned   time.Duration
	known, missing bool
}

// behind compares what is kept with all that was taken, just before a moment.
func (w *world) behind(moment time.Time) behind {
	if w.first.IsZero() || moment.Before(w.first) {
		return behind{}
	}
	h, _ := slices.BinarySearchFunc(w.history, moment, func(e exact, t time.Time) int { return e.at.Compare(t) })
	if h == 0 {
		return behind{}
	}
	taken := w.history[h-1]
	b := behind{known: true, gap: max(0, moment.Sub(taken.until))}
	i := w.firstPoint(moment) - 1
	for i >= 0 && w.points[i].State != Good {
		i--
	}
	if i < 0 {
		return behind{missing: true}
	}
	if kept := &w.points[i]; kept.At.Before(taken.at) {
		b.thinned = max(0, taken.at.Sub(kept.exactUntil(w.now)))
	}
	return b
}

// firstPoint returns the index of the first point at or after t.
func (w *world) firstPoint(t time.Time) int {
	i, _ := slices.BinarySearchFunc(w.points, t, func(p RestorePoint, t time.Time) int { return p.At.Compare(t) })
	return i
}

// remembered is how much of the history is looked at again, beyond the
// coarsest rung, and forgetAt how long it gets before the rest is dropped.
const (
	remembered = 7 * 24 * time.Hour
	forgetAt   = 100_000
)

// forget drops history that no question reaches any more.
func (w *world) forget() {
	if len(w.history) < forgetAt {
		return
	}
	coarsest := w.forecast.Rungs[len(w.forecast.Rungs)-1].Rung
	oldest := w.now.Add(-coarsest - remembered)
	h, _ := slices.BinarySearchFunc(w.history, oldest, func(e exact, t time.Time) int { return e.at.Compare(t) })
	w.history = slices.Delete(w.history, 0, max(0, h-1))
}
