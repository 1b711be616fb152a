package schedule

import (
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// Moments are the nominal times of a calendar, Cron or Every: the next n after
// t, in UTC, growing, and the same whenever and wherever one asks.
type Moments interface {
	Next(t time.Time, n int) []time.Time
}

// Terms say how strictly a calendar is kept.
type Terms struct {
	Missed Missed
	// Deadline is how long after its nominal time a turn must be done: it does
	// not begin later, and what runs then is cut. 0 means that a turn may begin
	// until the next one, and is not cut.
	Deadline time.Duration
	// Jitter is how much later turns may begin, so that not everything begins at
	// four o'clock. How much later it is depends on the name alone.
	Jitter time.Duration
}

// Calendar is when a job has its turns. The zero Calendar has none.
type Calendar struct {
	when  Moments
	terms Terms
	later time.Duration
}

// NewCalendar returns the calendar of the job with a name, such as
// "mirror/prod-copy".
func NewCalendar(name string, when Moments, terms Terms) (Calendar, error) {
	if err := terms.Missed.check(); err != nil {
		return Calendar{}, err
	}
	if terms.Jitter < 0 || terms.Deadline < 0 {
		return Calendar{}, envdb.Fail(envdb.ErrMisuse, "the jitter and the deadline of %s must not be negative", name)
	}
	if terms.Deadline > 0 && terms.Deadline <= terms.Jitter {
		return Calendar{}, envdb.Fail(envdb.ErrMisuse, "the deadline of %s is %s after its time, and its jitter may take %s",
			name, envdb.FormatDuration(terms.Deadline), envdb.FormatDuration(terms.Jitter)).
			WithNext("make the deadline longer than the jitter")
	}
	return Calendar{when: when, terms: terms, later: jitter(name, terms.Jitter)}, nil
}

// Turn is one time that a job is to run.
type Turn struct {
	// Nominal is what the calendar says, and the name of the turn: it has at most
	// one success.
	Nominal time.Time
	// Begins is when it may begin: Nominal and the job's jitter.
	Begins time.Time
	// Deadline is when it must be done; zero for no deadline.
	Deadline time.Time
}

func (c Calendar) turn(nominal time.Time) Turn {
	t := Turn{Nominal: nominal, Begins: nominal.Add(c.later)}
	if c.terms.Deadline > 0 {
		t.Deadline = nominal.Add(c.terms.Deadline)
	}
	return t
}

// Next returns the next n turns that begin after t.
func (c Calendar) Next(t time.Time, n int) []Turn {
	if c.when == nil {
		return nil
	}
	var turns []Turn
	for _, nominal := range c.when.Next(t.Add(-c.later), n) {
		turns = append(turns, c.turn(nominal))
	}
	return turns
}

// Attempt is a run of a turn, by any daemon.
type Attempt struct {
	Nominal   time.Time
	Succeeded bool
}

// Due returns the turn that should run now. Since is when the calendar came
// into force: nothing before it was missed. Attempts are those that the store
// knows of, in any order; only those of the last turn matter.
//
// Only the last turn can be due, so that nothing is made up for twice. One that
// failed may be tried again until the next one or its deadline.
func (c Calendar) Due(now, since time.Time, attempts []Attempt) (Turn, bool) {
	if c.when == nil {
		return Turn{}, false
	}
	nominal, found := last(c.when, since, now.Add(-c.later))
	if !found {
		return Turn{}, false
	}
	t := c.turn(nominal)
	tried := slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Nominal.Equal(nominal) })
	switch {
	case slices.ContainsFunc(attempts, func(a Attempt) bool { return a.Succeeded && a.Nominal.Equal(nominal) }):
		return Turn{}, false
	case !t.Deadline.IsZero() && !now.Before(t.Deadline):
		return Turn{}, false
	case c.terms.Missed == Skip && !tried && !now.Before(t.Begins.Add(onTime)):
		return Turn{}, false
	}
	return t, true
}

// longestGap is more than lies between two moments of any calendar: a 29
// February that falls on one day of the week comes after at most 40 years.
const longestGap = 41 * 366 * envdb.Day

// last returns the last moment from since to now. It looks back twice as far
// each time, because calendars only look ahead.
func last(when Moments, since, now time.Time) (time.Time, bool) {
	for back := time.Minute; ; back *= 2 {
		from := now.Add(-back)
		if from.Before(since) {
			return lastBetween(when, since.Add(-time.Nanosecond), now)
		}
		if m, found := lastBetween(when, from, now); found || back > longestGap {
			return m, found
		}
	}
}

// lastBetween returns the last moment after from and not after now.
func lastBetween(when Moments, from, now time.Time) (last time.Time, found bool) {
	for n := 1; ; n = 64 {
		moments := when.Next(from, n)
		for _, m := range moments {
			if m.After(now) {
				return last, found
			}
			last, found, from = m, true, m
		}
		if len(moments) < n {
			return last, found
		}
	}
}
