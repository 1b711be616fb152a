package schedule

import (
	"slices"
	"time"
)

// Simulation is a stretch of virtual time in which backups are taken and
// expire by a policy, as a daemon would do it. Run says what one would have
// got. It is how `envdb ladder` knows what a ladder gives.
type Simulation struct {
	Policy Policy
	From   time.Time
	Span   time.Duration
	// Took is how long a backup takes in fair weather.
	Took time.Duration
	// Wake is how often the loop looks; 0 is 15 s.
	Wake time.Duration

	// Spells is what goes wrong, and when the database is idle.
	Spells []Spell
	// Changes are policies that come into force later, in order.
	Changes []Change
	// Pins are moments in which the newest good point is pinned, Bursts those in
	// which a burst begins.
	Pins, Bursts []time.Time
}

// Change is a policy that comes into force.
type Change struct {
	At     time.Time
	Policy Policy
}

// Spell is a time in which something is not as it should be.
type Spell struct {
	Kind        SpellKind
	From, Until time.Time
	// By is how far a clock is off, or how long a slow backup takes.
	By time.Duration
}

// SpellKind says what a spell does.
type SpellKind uint8

// The kinds of spells.
const (
	Down        SpellKind = iota // nothing runs, and what ran has died
	Failing                      // backups fail at their end
	Damaging                     // backups turn out bad
	Slow                         // backups take By
	Idle                         // nothing changes in the database
	DaemonClock                  // the daemon's clock is By ahead
	SourceClock                  // the source's clock is By ahead
	spellKinds
)

// defaultWake is how often the reconcile loop looks at least.
const defaultWake = 15 * time.Second

// Run lives through the simulation.
func (s Simulation) Run() Forecast {
	w := newWorld(s)
	for end := s.From.Add(s.Span); w.now.Before(end); {
		w.happen()
		next := w.act()
		if next.After(end) {
			next = end
		}
		w.observe(next)
		w.now = next
	}
	return w.forecast
}

// world is the state of a simulation. Moments are true ones unless they are
// those of a restore point, which the source's clock says.
type world struct {
	sim   Simulation
	now   time.Time
	rules Rules
	since time.Time // when the policy came into force

	weather    [spellKinds]*Spell
	boundaries []time.Time // what happen looks at, in order

	points  []RestorePoint // good and bad, earliest first
	history []exact        // of every good point that ever was, earliest first
	first   time.Time      // when there was a good point for the first time
	running *attempt
	newest  *capture // what the last good backup saw

	forecast Forecast
	lost     RungForecast // what one gets who asks for the present
}

// exact is the time for which a restore point is exact.
type exact struct{ at, until time.Time }

// attempt is a backup that is being taken.
type attempt struct {
	point RestorePoint
	ends  time.Time
	fails bool
}

// capture is the last good backup: its point, and its true moment.
type capture struct{ point, at time.Time }

func newWorld(s Simulation) *world {
	if s.Wake <= 0 {
		s.Wake = defaultWake
	}
	w := &world{sim: s, now: s.From, since: s.From, rules: Rules{Policy: s.Policy}, forecast: newForecast(s.Policy)}
	for _, spell := range s.Spells {
		w.boundaries = append(w.boundaries, spell.From, spell.Until)
	}
	for _, c := range s.Changes {
		w.boundaries = append(w.boundaries, c.At)
	}
	w.boundaries = append(append(append(w.boundaries, s.Pins...), s.Bursts...), s.From)
	slices.SortFunc(w.boundaries, time.Time.Compare)
	return w
}

// happen does what the world does at this moment: weather, people, and the
// end of a backup.
func (w *world) happen() {
	if w.atBoundary() {
		w.changeWeather()
		w.changePolicy()
		if slices.ContainsFunc(w.sim.Pins, w.now.Equal) {
			w.pin()
		}
		if slices.ContainsFunc(w.sim.Bursts, w.now.Equal) {
			w.rules.Bursts = append(w.rules.Bursts, NewBurst(w.clock(DaemonClock)))
		}
	}
	if w.weather[Down] != nil {
		w.running = nil
	}
	if w.running != nil && !w.now.Before(w.running.ends) {
		w.finish(*w.running)
		w.running = nil
	}
}

// atBoundary takes the boundaries that are reached off the list.
func (w *world) atBoundary() bool {
	reached := 0
	for reached < len(w.boundaries) && !w.boundaries[reached].After(w.now) {
		reached++
	}
	w.boundaries = w.boundaries[reached:]
	return reached > 0
}

func (w *world) changeWeather() {
	w.weather = [spellKinds]*Spell{}
	for i := range w.sim.Spells {
		if s := &w.sim.Spells[i]; !w.now.Before(s.From) && w.now.Before(s.Until) {
			w.weather[s.Kind] = s
		}
	}
}

func (w *world) changePolicy() {
	for _, c := range w.sim.Changes {
		if c.At.Equal(w.now) {
			w.rules.Before = append(w.rules.Before, Superseded{Policy: w.rules.Policy, At: w.clock(DaemonClock)})
			w.rules.Policy, w.since = c.Policy, w.now
			w.forecast.add(c.Policy)
		}
	}
}

func (w *world) pin() {
	if i := newest(w.points, func(p *RestorePoint) bool { return p.State == Good }); i >= 0 {
		w.points[i].Pinned = true
		w.forecast.Pinned++
	}
}

// clock returns what a clock shows now.
func (w *world) clock(kind SpellKind) time.Time {
	if s := w.weather[kind]; s != nil {
		return w.now.Add(s.By)
	}
	return w.now
}

func (w *world) skew() Skew { return SkewOf(w.clock(SourceClock), w.clock(DaemonClock)) }

// act does what a daemon does that looks now, and returns when it looks next.
func (w *world) act() time.Time {
	next := w.now.Add(365 * 24 * time.Hour)
	if len(w.boundaries) > 0 {
		next = w.boundaries[0]
	}
	if w.weather[Down] != nil {
		return next
	}
	if w.running != nil {
		return earlier(next, w.running.ends)
	}
	if !w.now.Truncate(w.sim.Wake).Equal(w.now) {
		return earlier(next, w.look(w.clock(DaemonClock)))
	}
	d := w.rules.Due(w.clock(DaemonClock), w.points)
	w.forecast.duty(d.Duty)
	if !d.Any() {
		return earlier(next, w.look(d.Next))
	}
	if !w.unchanged() {
		w.begin()
		return earlier(next, w.running.ends)
	}
	w.renew()
	return earlier(next, w.look(w.clock(DaemonClock)))
}

// look returns the first moment after now in which the loop looks and the
// daemon's clock shows wake or more.
func (w *world) look(wake time.Time) time.Time {
	at := w.now.Add(max(wake.Sub(w.clock(DaemonClock)), time.Nanosecond))
	if looked := at.Truncate(w.sim.Wake); !looked.Equal(at) {
		return looked.Add(w.sim.Wake)
	}
	return at
}

// unchanged reports whether the database is as the newest point has it.
func (w *world) unchanged() bool {
	idle := w.weather[Idle]
	if idle == nil || w.newest == nil || w.newest.at.Before(idle.From) || w.skew().Stops() {
		return false
	}
	i := w.newestGood()
	return i >= 0 && w.points[i].At.Equal(w.newest.point)
}

func (w *world) newestGood() int {
	now := w.clock(DaemonClock)
	return newest(w.points, func(p *RestorePoint) bool { return p.represents(now) })
}

func (w *world) renew() {
	w.forecast.Unchanged++
	p := &w.points[w.newestGood()]
	if now := w.clock(SourceClock); now.After(p.GoodUntil) {
		p.GoodUntil = now
	}
	for i := len(w.history) - 1; i >= 0; i-- {
		if w.history[i].at.Equal(p.At) {
			w.history[i].until = p.GoodUntil
			return
		}
	}
}

func (w *world) begin() {
	w.forecast.Backups++
	took := w.sim.Took
	if s := w.weather[Slow]; s != nil {
		took = s.By
	}
	p := RestorePoint{At: w.clock(SourceClock), Started: w.clock(DaemonClock), Took: took, State: Good}
	if w.weather[Damaging] != nil {
		p.State = Bad
	}
	p.Promised = w.rules.Policy.Promise(p, w.points)
	w.running = &attempt{point: p, ends: w.now.Add(max(took, time.Nanosecond)), fails: w.weather[Failing] != nil}
}

func (w *world) finish(a attempt) {
	switch {
	case a.fails:
		w.forecast.Failed++
		return
	case a.point.State == Good:
		w.remember(a.point.At)
		if w.first.IsZero() {
			w.first = w.now
		}
		w.newest = &capture{point: a.point.At, at: w.now.Add(-a.point.Took)}
	default:
		w.forecast.Bad++
	}
	at, _ := slices.BinarySearchFunc(w.points, a.point, func(p, q RestorePoint) int { return p.compare(&q) })
	w.points = slices.Insert(w.points, at, a.point)
	w.forecast.Most = max(w.forecast.Most, len(w.points))
	w.expire()
}

// remember adds a good point to the history. If it lies inside of what an
// earlier one was known to be exact for, because a clock was set back, what was
// known stays known.
func (w *world) remember(at time.Time) {
	i, _ := slices.BinarySearchFunc(w.history, at, func(e exact, t time.Time) int { return e.at.Compare(t) })
	until := at
	if i > 0 && w.history[i-1].until.After(until) {
		until = w.history[i-1].until
	}
	w.history = slices.Insert(w.history, i, exact{at: at, until: until})
}

// expire deletes what nothing keeps, and forgets what is over.
func (w *world) expire() {
	if w.skew().Stops() {
		return
	}
	now := w.clock(DaemonClock)
	w.rules.Before = slices.DeleteFunc(w.rules.Before, func(s Superseded) bool { return !now.Before(s.KeepsUntil()) })
	w.rules.Bursts = slices.DeleteFunc(w.rules.Bursts, func(b Burst) bool { return b.Over(now, w.points) })
	kept := make([]bool, len(w.points))
	w.rules.decide(now, w.points, func(i int, _ Reason) { kept[i] = true })
	left := w.points[:0]
	for i := range w.points {
		if kept[i] {
			left = append(left, w.points[i])
			continue
		}
		w.forecast.Expired++
		if w.points[i].Promised.After(now) && w.points[i].State == Good {
			w.forecast.Broken++
		}
	}
	w.points = left
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
