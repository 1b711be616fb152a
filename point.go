package envdb

import (
	"strings"
	"time"
)

// Point is what a person types behind the @ to say what to restore: the
// latest backup, one backup by its id, or a moment. The zero Point is the
// latest. restore.Resolve turns it into a backup.
type Point struct {
	id BackupID
	at time.Time
}

// Latest returns the point that means the newest good backup.
func Latest() Point { return Point{} }

// AtBackup returns the point that means exactly the backup named id.
func AtBackup(id BackupID) Point { return Point{id: id} }

// At returns the point that means the newest restore point at or before t.
func At(t time.Time) Point { return Point{at: t.UTC()} }

// IsLatest reports whether p means the newest good backup.
func (p Point) IsLatest() bool { return p.id == "" && p.at.IsZero() }

// Backup returns the id that p names, if it names one.
func (p Point) Backup() (BackupID, bool) { return p.id, p.id != "" }

// Moment returns the moment that p names in UTC, if it names one.
func (p Point) Moment() (time.Time, bool) { return p.at, p.id == "" && !p.at.IsZero() }

// String returns p as ParsePoint reads it anywhere: "latest", a backup id, or
// a moment in UTC.
func (p Point) String() string {
	switch {
	case p.id != "":
		return string(p.id)
	case p.at.IsZero():
		return "latest"
	}
	return p.at.Format(time.RFC3339Nano)
}

// MarshalText implements encoding.TextMarshaler.
func (p Point) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

const pointForms = "write latest, a backup id, t-1d, \"1d ago\", \"2026-11-20 14:05\" or 2026-11-20T14:05:00Z"

// ParsePoint returns the point that s names. Moments without an offset are
// read in loc; those that loc's clocks skipped or showed twice, those in the
// future and dates without a time are refused, because a guess would restore
// something else than was meant. A day in "t-1d" is 24 hours.
func ParsePoint(s string, now time.Time, loc *time.Location) (Point, error) {
	text := strings.TrimSpace(s)
	switch {
	case text == "":
		return Point{}, Fail(ErrMisuse, "the point is empty").WithNext(pointForms)
	case text == "latest":
		return Latest(), nil
	case backupIDForm.MatchString(text):
		id, err := ParseBackupID(text)
		return AtBackup(id), err
	}
	at, err := parseMoment(text, now, loc)
	if err != nil {
		return Point{}, err
	}
	if at.After(now) {
		return Point{}, Fail(ErrMisuse, "point %q is in the future: it is %s, and now is %s", s, showUTC(at), showUTC(now)).
			WithNext("name a moment in the past, or use latest")
	}
	return At(at), nil
}

// parseMoment reads a span before now, or a date and time.
func parseMoment(text string, now time.Time, loc *time.Location) (time.Time, error) {
	if span, ok := spanBefore(text); ok {
		d, err := ParseDuration(span)
		if err != nil {
			return time.Time{}, err
		}
		return now.Add(-d), nil
	}
	return parseClock(text, dayNamed(text, now.In(loc)), loc)
}

// spanBefore returns the span in "t-SPAN" and "SPAN ago".
func spanBefore(text string) (string, bool) {
	if span, ok := strings.CutPrefix(text, "t-"); ok {
		return strings.TrimSpace(span), true
	}
	if span, ok := strings.CutSuffix(text, " ago"); ok {
		return strings.ReplaceAll(span, " ", ""), true
	}
	return "", false
}

// dayNamed returns text with a leading "today" or "yesterday" as a date.
func dayNamed(text string, today time.Time) string {
	for word, back := range map[string]int{"today": 0, "yesterday": 1} {
		if rest, ok := strings.CutPrefix(text, word); ok && (rest == "" || rest[0] == ' ') {
			return today.AddDate(0, 0, -back).Format(time.DateOnly) + rest
		}
	}
	return text
}

// The forms of a date with a time; a fraction of a second is read behind
// seconds. Those of the first list say their offset.
var (
	offsetLayouts = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00"}
	localLayouts  = []string{time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}
)

// parseClock reads date, a date and time; text is what the person wrote.
func parseClock(text, date string, loc *time.Location) (time.Time, error) {
	if utc, ok := strings.CutSuffix(date, " UTC"); ok {
		date, loc = utc, time.UTC
	}
	for _, layout := range offsetLayouts {
		if t, err := time.Parse(layout, date); err == nil {
			return t, nil
		}
	}
	for _, layout := range localLayouts {
		if wall, err := time.Parse(layout, date); err == nil {
			return onlyInstant(text, wall, loc)
		}
	}
	if day, err := time.Parse(time.DateOnly, date); err == nil {
		return time.Time{}, Fail(ErrMisuse, "point %q names a day, not a moment", text).
			WithNext("write \"%s 00:00\" for the beginning of that day, or \"%s 00:00\" for its end",
				day.Format(time.DateOnly), day.AddDate(0, 0, 1).Format(time.DateOnly))
	}
	return time.Time{}, Fail(ErrMisuse, "%q is not a point", text).WithNext(pointForms)
}

// onlyInstant returns the one instant at which loc's clocks show what wall
// shows in UTC.
func onlyInstant(text string, wall time.Time, loc *time.Location) (time.Time, error) {
	instants := instantsOf(wall, loc)
	switch len(instants) {
	case 1:
		return instants[0], nil
	case 0:
		return time.Time{}, Fail(ErrMisuse, "point %q does not exist in %s: its clocks skipped it", text, loc).
			WithNext("write the moment with an offset, e.g. %s", time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, loc).Format(time.RFC3339))
	}
	first, second := instants[0].In(loc), instants[1].In(loc)
	return time.Time{}, Fail(ErrMisuse, "point %q happened twice in %s", text, loc).
		WithNext("write %s for the first time, or %s for the second", first.Format(time.RFC3339), second.Format(time.RFC3339))
}

// instantsOf returns the instants at which loc's clocks show what wall shows
// in UTC, earliest first: one, none in a gap, two in an overlap.
func instantsOf(wall time.Time, loc *time.Location) []time.Time {
	var instants []time.Time
	// No clock is further than a day from UTC, and no zone changes twice within
	// two days, so the offsets on both sides are all that can apply.
	for _, near := range []time.Time{wall.Add(-Day), wall.Add(Day)} {
		_, offset := near.In(loc).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second)
		_, actual := t.In(loc).Zone()
		if actual == offset && (len(instants) == 0 || !instants[0].Equal(t)) {
			instants = append(instants, t)
		}
	}
	if len(instants) == 2 && instants[1].Before(instants[0]) {
		instants[0], instants[1] = instants[1], instants[0]
	}
	return instants
}

func showUTC(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
