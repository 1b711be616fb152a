package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Kind says what an event tells.
type Kind string

// The kinds. Recovered, Fresh and ObjectiveMet each end what Failing, Stale and
// Objective began. Warning is what somebody should look at this week.
const (
	KindFailing      Kind = "failing"
	KindRecovered    Kind = "recovered"
	KindStale        Kind = "stale"
	KindFresh        Kind = "fresh"
	KindObjective    Kind = "objective"
	KindObjectiveMet Kind = "objective-met"
	KindWarning      Kind = "warning"
	KindDigest       Kind = "digest"
	KindTest         Kind = "test"
)

// Severity is how soon somebody should look.
type Severity string

// The severities: now, this week, no longer, and whenever one likes.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityOK      Severity = "ok"
	SeverityInfo    Severity = "info"
)

// Severity returns how soon somebody should look at such an event.
func (k Kind) Severity() Severity {
	switch k {
	case KindFailing, KindStale:
		return SeverityError
	case KindObjective, KindWarning:
		return SeverityWarning
	case KindRecovered, KindFresh, KindObjectiveMet:
		return SeverityOK
	}
	return SeverityInfo
}

// Event is something that people are told.
type Event struct {
	Kind Kind `json:"kind"`
	// Subject is what it is about: "backup/prod", or "prod: unreachable" for what
	// keeps several from working.
	Subject string `json:"subject,omitempty"`
	// Environment is empty for what is of none, which everybody is told.
	Environment string    `json:"environment,omitempty"`
	At          time.Time `json:"at"`
	// Title is one line, Text what happened, Next what to do now.
	Title string `json:"title"`
	Text  string `json:"text,omitempty"`
	Next  string `json:"next,omitempty"`
	Run   string `json:"run,omitempty"`
	// Since is when what it tells began.
	Since  time.Time         `json:"since,omitzero"`
	Fields map[string]string `json:"fields,omitempty"`
	Links  map[string]string `json:"links,omitempty"`

	// Alarm is the same for what begins an alarm, reminds of it and ends it.
	Alarm string `json:"alarm,omitempty"`
	// Reminder says that it has been told before, and is still so.
	Reminder bool `json:"reminder,omitempty"`
	// Besides is the kind of another alarm of the same subject that is open: who is
	// told of that one needs not be told of this.
	Besides Kind `json:"besides,omitempty"`

	// Project and Sender say which envdb tells this, and Dropped how many events
	// before it were not; the Notifier fills them in.
	Project string `json:"project,omitempty"`
	Sender  string `json:"sender,omitempty"`
	Dropped int    `json:"dropped,omitempty"`

	// Had are the channels which have it already, or have given it up, while others
	// have not.
	Had []string `json:"had,omitempty"`
}

// ID is the event's own. It is the same wherever and how often it is sent, so
// that a receiver can tell that it has it already.
func (e Event) ID() string {
	return digestOf(string(e.Kind), e.Alarm, e.Subject, e.Environment, e.At.UTC().Format(time.RFC3339Nano), e.Title, fmt.Sprint(e.Reminder))
}

// digestOf returns a short name for the parts together.
func digestOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// What a message may be long at most, in bytes. What comes from a server can be
// of any length.
const (
	mostLine = 200
	mostText = 8 << 10
	mostMore = 32 // fields and links
)

// clean returns the event as every channel can take it: without what would
// break out of a line, and of a length that people read.
func (e Event) clean() Event {
	for _, s := range []*string{&e.Subject, &e.Environment, &e.Title, &e.Run, &e.Alarm, &e.Project, &e.Sender} {
		*s = line(*s)
	}
	e.Text, e.Next = text(e.Text, mostText), text(e.Next, mostText)
	e.Fields, e.Links = cleanMap(e.Fields), cleanMap(e.Links)
	return e
}

func cleanMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	cleaned := map[string]string{}
	for _, key := range sortedKeys(m) {
		if len(cleaned) == mostMore {
			break
		}
		cleaned[line(key)] = text(m[key], 1000)
	}
	return cleaned
}
