package notify

import (
	"time"
)

// spell is a stretch of time in which something is not well. What is well has
// none.
type spell struct {
	// Kind is that of the event which begins an alarm.
	Kind        Kind              `json:"kind"`
	Subject     string            `json:"subject"`
	Environment string            `json:"environment,omitempty"`
	Failures    int               `json:"failures"`
	Since       time.Time         `json:"since"` // the first failure
	Seen        time.Time         `json:"seen"`  // the last observation that counted
	OKSince     time.Time         `json:"ok_since,omitzero"`
	Text        string            `json:"text,omitempty"`
	Next        string            `json:"next,omitempty"`
	Run         string            `json:"run,omitempty"`
	Links       map[string]string `json:"links,omitempty"`
	Reason      Reason            `json:"reason,omitzero"`
	Patience    Patience          `json:"patience,omitzero"`
	// Alarm is the key of the alarm that it is part of; empty if nobody was told.
	Alarm string `json:"alarm,omitempty"`
}

// mostKept is how much of a text the state keeps, in bytes.
const mostKept = 500

func spellKey(kind Kind, subject string) string { return string(kind) + "|" + line(subject) }

// fail takes in that it is not well.
func (s *spell) fail(o Observation) {
	s.Failures++
	s.OKSince = time.Time{}
	s.Seen, s.Environment, s.Run, s.Reason, s.Patience = o.At, o.Environment, o.Run, o.Reason, o.Patience
	s.Text, s.Next = text(o.Text, mostKept), text(o.Next, mostKept)
	const mostKeptLinks = 8
	s.Links = nil
	for i, name := range sortedKeys(o.Links) {
		if i == mostKeptLinks {
			break
		}
		if s.Links == nil {
			s.Links = map[string]string{}
		}
		s.Links[line(name)] = line(o.Links[name])
	}
}

// open reports whether people were told of it, and it is not well.
func (s *spell) open() bool { return s.Alarm != "" && s.OKSince.IsZero() }

// impatient reports whether people should hear of it.
func (s *spell) impatient(now time.Time) bool {
	return s.Failures >= max(s.Patience.Failures, 1) || s.Patience.For > 0 && now.Sub(s.Since) >= s.Patience.For
}

// alarmKey names the alarm that is to be raised.
func (s *spell) alarmKey() string {
	if s.Reason.Text == "" {
		return s.ownKey()
	}
	return "reason|" + string(s.Kind) + "|" + s.Reason.Environment + "|" + s.Reason.Text
}

func (s *spell) ownKey() string { return "subject|" + spellKey(s.Kind, s.Subject) }
