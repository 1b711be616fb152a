package config

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/goccy/go-yaml/token"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// Schedule is when a job has its turns, and how strictly they are kept. The
// zero Schedule has none.
type Schedule struct {
	// Moments are the nominal times; nil for none.
	Moments schedule.Moments
	Terms   schedule.Terms
	// Text says which moments they are, always in the same words: schedules with
	// one Text have one calendar, however the file writes them.
	Text string
}

// IsZero reports whether there is no schedule.
func (s Schedule) IsZero() bool { return s.Moments == nil }

// Fingerprint is 16 hexadecimal digits of the Text, or empty without one. It
// is that of the moments alone: another deadline does not make another
// calendar, whose turns would begin to count anew.
func (s Schedule) Fingerprint() string {
	if s.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(s.Text))
	return hex.EncodeToString(sum[:8])
}

// Calendar returns the calendar of the job of that name.
func (s Schedule) Calendar(name string) (schedule.Calendar, error) {
	if s.IsZero() {
		return schedule.Calendar{}, nil
	}
	return schedule.NewCalendar(name, s.Moments, s.Terms)
}

// Zone returns the zone whose clocks the schedule goes by, or nil without a
// schedule.
func (s Schedule) Zone() *time.Location {
	if zoned, ok := s.Moments.(interface{ Zone() *time.Location }); ok {
		return zoned.Zone()
	}
	return nil
}

// String returns the schedule with its terms, as people read it.
func (s Schedule) String() string {
	if s.IsZero() {
		return ""
	}
	words := []string{s.Text}
	if s.Terms.Missed == schedule.Skip {
		words = append(words, "missed "+string(schedule.Skip))
	}
	if s.Terms.Deadline > 0 {
		words = append(words, "deadline "+envdb.FormatDuration(s.Terms.Deadline))
	}
	if s.Terms.Jitter > 0 {
		words = append(words, "jitter "+envdb.FormatDuration(s.Terms.Jitter))
	}
	return strings.Join(words, ", ")
}

// MarshalText implements encoding.TextMarshaler.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// schedule reads a cron expression, or a mapping.
func (v value) schedule() Schedule {
	v.doc.needsDaemon(v.at())
	if v.kind() != "a mapping" {
		return ofCron(v.cron())
	}
	var s Schedule
	var terms schedule.Terms
	var interval, anchor value
	seen := v.object(fields{
		"cron":     func(v value) { s = ofCron(v.cron()) },
		"every":    func(v value) { interval = v },
		"anchor":   func(v value) { anchor = v },
		"missed":   func(v value) { terms.Missed = v.missed() },
		"deadline": func(v value) { terms.Deadline = v.span() },
		"jitter":   func(v value) { terms.Jitter = v.span() },
	})
	_, hasCron := seen["cron"]
	_, hasEvery := seen["every"]
	from, hasAnchor := seen["anchor"]
	switch {
	case hasCron && hasEvery:
		v.fault("holds cron or every, and one of them only")
	case !hasCron && !hasEvery:
		v.hint(`write cron: "CRON_TZ=UTC 0 4 * * *", or every: 14d with an anchor`, "does not say when")
	case hasCron && hasAnchor:
		v.doc.fault(from.at, "remove it", "%s: an anchor is for every; a cron expression needs none", from.path)
	case hasEvery && !hasAnchor:
		v.require(seen, "anchor")
	case hasEvery:
		s = v.every(interval, anchor)
	}
	if s.IsZero() {
		return Schedule{}
	}
	s.Terms.Deadline, s.Terms.Jitter = terms.Deadline, terms.Jitter
	if terms.Missed != "" {
		s.Terms.Missed = terms.Missed
	}
	if _, err := s.Calendar("this job"); err != nil {
		v.failed(err)
	}
	return s
}

// ofCron returns the schedule of an expression.
func ofCron(c schedule.Cron) Schedule {
	if c.IsZero() {
		return Schedule{}
	}
	return Schedule{Moments: c, Terms: schedule.Terms{Missed: schedule.RunOnce}, Text: cronText(c)}
}

// cronText is an expression with its zone, which an interval does not have.
func cronText(c schedule.Cron) string {
	words := strings.Fields(c.String())
	if strings.Contains(words[0], "TZ=") {
		words = words[1:]
	}
	if words[0] != "@every" {
		words = append([]string{"CRON_TZ=" + c.Zone().String()}, words...)
	}
	return strings.Join(words, " ")
}

// every reads an interval and the moment from which it counts.
func (v value) every(interval, anchor value) Schedule {
	before := len(v.doc.faults)
	span, since := interval.text(), anchor.text()
	if len(v.doc.faults) > before {
		return Schedule{}
	}
	// With an anchor that is right, what is wrong is the interval.
	if _, err := schedule.ParseEvery(span, "2000-01-01"); err != nil {
		interval.failed(err)
		return Schedule{}
	}
	e, err := schedule.ParseEvery(span, since)
	if err != nil {
		anchor.failed(err)
		return Schedule{}
	}
	if !strings.Contains(since, "TZ=") {
		v.doc.warn(anchor.at(), "%s names no zone and is read in UTC; write CRON_TZ=… before it", anchor.path)
	}
	return Schedule{Moments: e, Terms: schedule.Terms{Missed: schedule.RunOnce}, Text: e.String()}
}

func (v value) missed() schedule.Missed {
	return schedule.Missed(v.choice("value", string(schedule.RunOnce), string(schedule.Skip)))
}

// cron reads a cron expression.
func (v value) cron() schedule.Cron {
	expr := v.text()
	if expr == "" {
		return schedule.Cron{}
	}
	c, err := schedule.ParseCron(expr)
	if err != nil {
		v.failed(err)
		return schedule.Cron{}
	}
	if !c.Zoned() {
		v.doc.warn(v.at(), "%s names no zone and is read in UTC; write CRON_TZ=… before it", v.path)
	}
	return c
}

// span reads a duration that is not zero.
func (v value) span() time.Duration {
	before := len(v.doc.faults)
	d := v.duration()
	if d <= 0 && len(v.doc.faults) == before {
		v.hint("write 15m, 6h or 7d", "is no time at all")
	}
	return d
}

// needsDaemon notes, once, what acts on ladders and schedules.
func (d *document) needsDaemon(at *token.Position) {
	if !d.daemon {
		d.note(at, "ladders and schedules are kept by `envdb daemon`: it must run, on one machine or on several")
		d.daemon = true
	}
}
