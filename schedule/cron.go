package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/envdb/envdb"
)

// Cron is a calendar schedule: five fields or a descriptor such as @daily, in
// a time zone. Its moments do not depend on when they are asked for, so every
// machine names the same ones. The zero Cron never fires.
//
// A wall-clock time that the zone skips in spring fires at the first valid
// instant, and one that it shows twice in autumn fires the first time only.
type Cron struct {
	expr  string
	zone  *time.Location
	zoned bool // the expression names its zone

	every  time.Duration // of @every, else 0
	fields cron.Schedule // on wall-clock times written as UTC
}

const cronNext = "write five fields with their zone, e.g. \"CRON_TZ=UTC 0 4 * * *\", or @daily, @hourly, \"@every 6h\""

// finestEvery is the shortest interval of @every: the reconcile loop looks a
// few times a minute.
const finestEvery = time.Minute

// ParseCron reads a calendar expression. One without CRON_TZ= is read in UTC;
// see Zoned. Expressions that never fire are refused.
func ParseCron(expr string) (Cron, error) {
	c := Cron{expr: strings.TrimSpace(expr), zone: time.UTC}
	zone, spec, err := takeZone(c.expr)
	if zone != nil {
		c.zone, c.zoned = zone, true
	}
	switch {
	case err != nil:
		return Cron{}, badCron(expr, err)
	case spec == "":
		return Cron{}, badCron(expr, fmt.Errorf("there are no fields"))
	case strings.HasPrefix(spec, "@every"):
		if c.every, err = parseEvery(spec); err != nil {
			return Cron{}, badCron(expr, err)
		}
		return c, nil
	}
	// The zone is taken off and UTC put in its place: left alone, the library
	// reads fields in the machine's zone.
	if c.fields, err = cron.ParseStandard("TZ=UTC " + spec); err != nil {
		return Cron{}, badCron(expr, err)
	}
	// A fixed year, so that an answer does not change with the calendar: the
	// library looks five years ahead, which has a 29 February from here.
	if c.fields.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, envdb.Fail(envdb.ErrMisuse, "schedule %q never fires: there is no such day", expr).WithNext(cronNext)
	}
	return c, nil
}

// takeZone takes CRON_TZ= or TZ= off the front of text. Without one, zone is
// nil.
func takeZone(text string) (zone *time.Location, rest string, err error) {
	name, found := strings.CutPrefix(text, "CRON_TZ=")
	if !found {
		if name, found = strings.CutPrefix(text, "TZ="); !found {
			return nil, text, nil
		}
	}
	name, rest, _ = strings.Cut(name, " ")
	if name == "" || name == "Local" {
		return nil, "", fmt.Errorf("the zone %q is not the name of a zone", name)
	}
	if zone, err = time.LoadLocation(name); err != nil {
		return nil, "", fmt.Errorf("zone: %w", err)
	}
	return zone, strings.TrimSpace(rest), nil
}

func parseEvery(spec string) (time.Duration, error) {
	return parseInterval(strings.TrimSpace(strings.TrimPrefix(spec, "@every")))
}

func parseInterval(text string) (time.Duration, error) {
	d, err := envdb.ParseDuration(text)
	if err != nil {
		return 0, err
	}
	if d < finestEvery {
		return 0, fmt.Errorf("the interval is shorter than %s", envdb.FormatDuration(finestEvery))
	}
	return d, nil
}

func badCron(expr string, err error) error {
	return envdb.Fail(envdb.ErrMisuse, "schedule %q: %w", expr, err).WithNext(cronNext)
}

// String returns the expression.
func (c Cron) String() string { return c.expr }

// MarshalText implements encoding.TextMarshaler.
func (c Cron) MarshalText() ([]byte, error) { return []byte(c.expr), nil }

// IsZero reports whether there is no schedule.
func (c Cron) IsZero() bool { return c.fields == nil && c.every == 0 }

// Zone returns the zone in which the fields are read.
func (c Cron) Zone() *time.Location {
	if c.zone == nil {
		return time.UTC
	}
	return c.zone
}

// Zoned reports whether the expression names its zone, or needs none.
func (c Cron) Zoned() bool { return c.zoned || c.every > 0 }

// Next returns the next n moments after t, in UTC.
func (c Cron) Next(t time.Time, n int) []time.Time {
	switch {
	case c.IsZero() || n <= 0:
		return nil
	case c.every > 0:
		return c.nextEvery(t, n)
	}
	return c.nextFields(t, n)
}

// nextEvery counts intervals from the epoch, so that restarts move nothing.
func (c Cron) nextEvery(t time.Time, n int) []time.Time {
	epoch := time.Unix(0, 0).UTC()
	slot := t.Sub(epoch) / c.every
	if t.Before(epoch) {
		slot--
	}
	moments := make([]time.Time, n)
	for i := range moments {
		moments[i] = epoch.Add((slot + time.Duration(i) + 1) * c.every)
	}
	return moments
}

// nextFields walks wall-clock times and turns each into its instant.
func (c Cron) nextFields(t time.Time, n int) []time.Time {
	var moments []time.Time
	last := t
	wall := wallClock(t.In(c.zone))
	if !steady(t, c.zone) {
		wall = wall.Add(-clocksChange)
	}
	for len(moments) < n {
		if wall = c.fields.Next(wall); wall.IsZero() {
			return moments
		}
		if at := firstInstant(wall, c.zone); at.After(last) {
			moments = append(moments, at)
			last = at
		}
	}
	return moments
}

// clocksChange is more than clocks ever change by. Around a change, wall
// clocks run ahead of instants: so far back is before every wall-clock time
// whose instant is after the one that is looked at.
const clocksChange = 48 * time.Hour

// steady reports whether zone's clocks do not change around t.
func steady(t time.Time, zone *time.Location) bool {
	start, end := t.In(zone).ZoneBounds()
	return (start.IsZero() || start.Before(t.Add(-clocksChange))) && (end.IsZero() || end.After(t.Add(clocksChange)))
}

// wallClock returns what t's clock shows, written as UTC.
func wallClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// firstInstant returns the first instant at which zone's clocks show wall or
// have passed it.
func firstInstant(wall time.Time, zone *time.Location) time.Time {
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	start, end := at.ZoneBounds()
	if shown := wallClock(at); !shown.Equal(wall) {
		// In a gap, time.Date is on one side of it or the other.
		if shown.After(wall) {
			return start.UTC()
		}
		return end.UTC()
	}
	if start.IsZero() {
		return at.UTC()
	}
	// In an overlap, the same wall clock was shown before the change too.
	_, before := start.Add(-time.Nanosecond).In(zone).Zone()
	earlier := wall.Add(-time.Duration(before) * time.Second)
	if earlier.Before(start) && wallClock(earlier.In(zone)).Equal(wall) {
		return earlier.UTC()
	}
	return at.UTC()
}
