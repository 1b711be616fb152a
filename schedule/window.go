package schedule

import (
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Window is a stretch of the week that comes again: some days, or the same
// hours of some days, by the clocks of a zone. The zero Window is empty.
//
// Its ends are instants as those of a Cron are: a wall-clock time that the zone
// skips is the first valid instant after it, and one that it shows twice is the
// first of the two.
type Window struct {
	text string
	days [7]bool // on which it begins, by time.Weekday
	// from and to are minutes of the day; a to that is not after from is one of
	// the next day.
	from, to int
	zone     *time.Location
	zoned    bool
}

const (
	minutesOfDay = 24 * 60
	windowNext   = `write days, hours and their zone, e.g. "22:00-06:00 Europe/Berlin", "Sat,Sun Europe/Berlin" or "Mon-Fri 20:00-07:00 UTC"`
)

// ParseWindow reads days, hours and a zone: "22:00-06:00 Europe/Berlin",
// "Sat,Sun", "Mon-Fri 20:00-07:00 UTC". Without days it is every day, without
// hours whole days, and without a zone it is read in UTC; see Zoned. Hours that
// end the next day belong to the day on which they begin.
func ParseWindow(text string) (Window, error) {
	w := Window{text: strings.Join(strings.Fields(text), " "), zone: time.UTC, to: minutesOfDay}
	words := strings.Fields(text)
	if len(words) == 0 {
		return Window{}, badWindow(text, "it is empty")
	}
	days, found := parseDays(words[0])
	if found {
		w.days, words = days, words[1:]
	} else {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	hours := false
	if len(words) > 0 && strings.Contains(words[0], ":") {
		why := ""
		if w.from, w.to, why = parseHours(words[0]); why != "" {
			return Window{}, badWindow(text, why)
		}
		hours, words = true, words[1:]
	}
	switch {
	case !found && !hours:
		return Window{}, badWindow(text, "it begins with neither days nor hours")
	case len(words) > 1:
		return Window{}, badWindow(text, "there is more behind its zone "+words[0])
	case len(words) == 0:
		return w, nil
	case strings.EqualFold(words[0], "local"):
		return Window{}, badWindow(text, words[0]+" is not the name of a zone")
	}
	zone, err := time.LoadLocation(words[0])
	if err != nil {
		return Window{}, badWindow(text, words[0]+" is not the name of a zone")
	}
	w.zone, w.zoned = zone, true
	return w, nil
}

func badWindow(text, why string) error {
	return envdb.Fail(envdb.ErrMisuse, "the hours %q: %s", text, why).WithNext(windowNext)
}

// weekdays are the names of days, by time.Weekday.
var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// parseDays reads Sat,Sun or Mon-Fri; found is false for what names no days.
func parseDays(word string) (days [7]bool, found bool) {
	for part := range strings.SplitSeq(word, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, known := weekday(first)
		to := from
		if isRange && known {
			to, known = weekday(last)
		}
		if !known {
			return days, false
		}
		for day := from; ; day = (day + 1) % 7 {
			days[day] = true
			if day == to {
				break
			}
		}
	}
	return days, true
}

func weekday(name string) (int, bool) {
	for day, known := range weekdays {
		if strings.EqualFold(name, known) || strings.EqualFold(name, time.Weekday(day).String()) {
			return day, true
		}
	}
	return 0, false
}

// parseHours reads 22:00-06:00 as minutes of the day.
func parseHours(word string) (from, to int, why string) {
	first, last, _ := strings.Cut(word, "-")
	from, okFrom := parseMinute(first)
	to, okTo := parseMinute(last)
	switch {
	case !okFrom || !okTo || from == minutesOfDay:
		return 0, 0, word + " is no stretch of a day"
	case from == to:
		return 0, 0, word + " begins when it ends; for whole days leave the hours out"
	}
	return from, to, ""
}

// parseMinute reads 06:00, and 24:00 for the end of the day.
func parseMinute(text string) (int, bool) {
	if text == "24:00" {
		return minutesOfDay, true
	}
	at, err := time.Parse("15:04", text)
	return at.Hour()*60 + at.Minute(), err == nil
}

// String returns the window as it was written.
func (w Window) String() string { return w.text }

// MarshalText implements encoding.TextMarshaler.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.text), nil }

// Zoned reports whether the text names its zone.
func (w Window) Zoned() bool { return w.zoned }

// At reports whether t is in the window, and until when.
func (w Window) At(t time.Time) (until time.Time, inside bool) {
	if w.zone == nil {
		return time.Time{}, false
	}
	today := wallClock(t.In(w.zone)).Truncate(envdb.Day)
	// One that began yesterday may not be over; around a change of the clocks
	// the day of an instant is not certain, so one more is looked at.
	for back := -1; back <= 2; back++ {
		day := today.AddDate(0, 0, -back)
		if !w.days[day.Weekday()] {
			continue
		}
		begins, ends := w.on(day)
		if !t.Before(begins) && t.Before(ends) && ends.After(until) {
			until, inside = ends, true
		}
	}
	return until, inside
}

// on returns the window that begins on a day.
func (w Window) on(day time.Time) (begins, ends time.Time) {
	length := w.to - w.from
	if length <= 0 {
		length += minutesOfDay
	}
	wall := day.Add(time.Duration(w.from) * time.Minute)
	return firstInstant(wall, w.zone), firstInstant(wall.Add(time.Duration(length)*time.Minute), w.zone)
}
