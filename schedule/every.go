package schedule

import (
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Every is a calendar schedule that counts intervals from an anchor, such as
// the end of a sprint. An interval of whole days keeps the anchor's time on the
// wall clock of its zone, whatever the clocks do; others are spans of absolute
// time. Its first moment is the anchor. The zero Every never fires.
type Every struct {
	interval time.Duration
	anchor   time.Time // a wall clock, written as UTC
	zone     *time.Location
}

const everyNext = "write an interval and a first moment, e.g. every: 14d, anchor: CRON_TZ=Europe/Berlin 2026-01-09 18:00"

// ParseEvery reads an interval and its anchor: a date, with a time or for
// midnight, behind CRON_TZ= and a zone. Without a zone it is read in UTC. A time
// that the zone's clocks skip is the first valid instant after it, and one that
// they show twice is the first of the two.
func ParseEvery(interval, anchor string) (Every, error) {
	d, err := parseInterval(interval)
	if err != nil {
		return Every{}, envdb.Fail(envdb.ErrMisuse, "every %q: %w", interval, err).WithNext(everyNext)
	}
	e := Every{interval: d, zone: time.UTC}
	zone, text, err := takeZone(strings.TrimSpace(anchor))
	if err != nil {
		return Every{}, envdb.Fail(envdb.ErrMisuse, "anchor %q: %w", anchor, err).WithNext(everyNext)
	}
	if zone != nil {
		e.zone = zone
	}
	if e.anchor, err = parseWall(text); err != nil {
		return Every{}, envdb.Fail(envdb.ErrMisuse, "anchor %q is not a date, or a date and a time", anchor).WithNext(everyNext)
	}
	return e, nil
}

func parseWall(text string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return time.Parse("2006-01-02 15:04", text)
}

// String returns the schedule as people read it.
func (e Every) String() string {
	if e.IsZero() {
		return ""
	}
	return "every " + envdb.FormatDuration(e.interval) + " since " + e.anchor.Format("2006-01-02 15:04") + " " + e.zone.String()
}

// Zone returns the zone of the anchor.
func (e Every) Zone() *time.Location {
	if e.zone == nil {
		return time.UTC
	}
	return e.zone
}

// IsZero reports whether there is no schedule.
func (e Every) IsZero() bool { return e.interval == 0 }

// Next returns the next n moments after t, in UTC.
func (e Every) Next(t time.Time, n int) []time.Time {
	if e.IsZero() || n <= 0 {
		return nil
	}
	var moments []time.Time
	last := t
	passed := t.Sub(e.moment(0)) / e.interval
	if e.byDays() {
		passed -= clocksChange/e.interval + 1
	}
	for k := max(0, passed); len(moments) < n; k++ {
		if at := e.moment(int64(k)); at.After(last) {
			moments = append(moments, at)
			last = at
		}
	}
	return moments
}

// byDays reports whether days of the calendar are counted, not spans of time.
func (e Every) byDays() bool { return e.interval%envdb.Day == 0 }

// moment returns the k-th moment after the anchor.
func (e Every) moment(k int64) time.Time {
	if e.byDays() {
		days := k * int64(e.interval/envdb.Day)
		return firstInstant(e.anchor.AddDate(0, 0, int(days)), e.zone)
	}
	return firstInstant(e.anchor, e.zone).Add(time.Duration(k) * e.interval)
}
