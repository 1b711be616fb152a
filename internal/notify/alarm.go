package notify

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// alarm is something that people were told of, and that is not over. Its
// members are the spells that bear its key.
type alarm struct {
	ID          string `json:"id"`
	Kind        Kind   `json:"kind"`
	Subject     string `json:"subject"`
	Environment string `json:"environment,omitempty"`
	Reason      Reason `json:"reason,omitzero"`
	// Shared is that of a reason, whatever subjects have it.
	Shared bool      `json:"shared,omitempty"`
	Since  time.Time `json:"since"`
	Told   time.Time `json:"told"` // when people last heard of it
	// Changed is since when everything that fails does so for another reason.
	Changed time.Time `json:"changed,omitzero"`
	Besides Kind      `json:"besides,omitempty"`
	// Count is how many alarms this is of the same thing, each within a day after
	// the one before.
	Count int `json:"count"`
}

// calm is how often something has come and gone.
type calm struct {
	Count int       `json:"count"`
	Over  time.Time `json:"over"`
}

// phrases are how the alarms of a kind are told.
var phrases = map[Kind]struct {
	over                Kind
	begins, still, ends string
}{
	KindFailing:   {KindRecovered, "%s fails", "%s still fails, for %s now", "%s is well again, after %s"},
	KindStale:     {KindFresh, "%s is stale", "%s is still stale, for %s now", "%s is fresh again, after %s"},
	KindObjective: {KindObjectiveMet, "%s misses its objective", "%s still misses its objective, for %s now", "%s meets its objective again, after %s"},
}

// settle is how long its members must be well.
func (a *alarm) settle() time.Duration { return settled << min(max(a.Count-1, 0), mostDoubled) }

// raise begins an alarm, or joins the one that is open for the same reason.
func (t *Tracker) raise(now time.Time, s *spell, besides Kind) []Event {
	s.Alarm = s.alarmKey()
	t.state.changed = true
	if t.state.Alarms[s.Alarm] != nil {
		return nil
	}
	a := &alarm{Kind: s.Kind, Subject: s.Subject, Environment: s.Environment, Reason: s.Reason, Since: s.Since, Told: now, Besides: besides, Count: 1}
	title := fmt.Sprintf(phrases[s.Kind].begins, s.Subject)
	if s.Reason.Text != "" {
		a.Shared = true
		a.Subject, a.Environment = s.Reason.name(), s.Reason.Environment
		title = a.Subject
	}
	if before := t.state.Calm[s.Alarm]; before != nil {
		a.Count += before.Count
	}
	a.ID = digestOf(s.Alarm, s.Since.UTC().Format(time.RFC3339Nano), strconv.Itoa(a.Count))
	t.state.Alarms[s.Alarm] = a
	e := a.event(now, s.Kind, title, []*spell{s})
	e.Text = s.Text
	if a.Count > 1 {
		e.Fields["times"] = fmt.Sprintf("%d, each within a day of the one before", a.Count)
	}
	return t.tell(e)
}

func (r Reason) name() string {
	if r.Environment == "" {
		return r.Text
	}
	return r.Environment + ": " + r.Text
}

// event returns one of the events of an alarm, of which the first of the spells
// says the most.
func (a *alarm) event(now time.Time, kind Kind, title string, spells []*spell) Event {
	e := Event{
		Kind: kind, Subject: a.Subject, Environment: a.Environment, At: now, Title: title, Since: a.Since,
		Alarm: a.ID, Besides: a.Besides, Fields: map[string]string{},
	}
	var subjects []string
	failures := 0
	for _, s := range spells {
		subjects = append(subjects, s.Subject)
		failures += s.Failures
	}
	if a.Kind == KindFailing && failures > 1 {
		e.Fields["failures"] = strconv.Itoa(failures)
	}
	if a.Shared {
		e.Fields["affected"] = listed(subjects)
	}
	if len(spells) > 0 {
		e.Next, e.Run, e.Links = spells[0].Next, spells[0].Run, spells[0].Links
	}
	return e
}

// listed writes names, of which there may be too many.
func listed(names []string) string {
	const most = 20
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// failing returns those of the members that are not well.
func failing(members []*spell) []*spell {
	var list []*spell
	for _, s := range members {
		if s.OKSince.IsZero() {
			list = append(list, s)
		}
	}
	return list
}

// over reports whether an alarm is over, and since when: some member has been
// well for long enough, and none was seen to fail for its reason since.
func (a *alarm) over(now time.Time, members []*spell) (since time.Time, over bool) {
	for _, s := range members {
		if !s.OKSince.IsZero() && now.Sub(s.OKSince) >= a.settle() && (!over || s.OKSince.Before(since)) {
			since, over = s.OKSince, true
		}
	}
	if !over {
		return since, false
	}
	for _, s := range failing(members) {
		if s.Reason == a.Reason && s.Seen.After(since) {
			return since, false
		}
	}
	return since, true
}

// end closes an alarm that is over since then. What still fails goes on with an
// alarm of its own, of which the message tells.
func (t *Tracker) end(now time.Time, key string, a *alarm, members []*spell, since time.Time) []Event {
	left := failing(members)
	lasted := span(since.Sub(a.Since))
	e := a.event(now, phrases[a.Kind].over, fmt.Sprintf(phrases[a.Kind].ends, a.Subject, lasted), members)
	if a.Shared {
		e.Title = fmt.Sprintf("%s: over after %s", a.Subject, lasted)
	}
	e.Fields["lasted"], e.Next = lasted, ""
	e.Text = fmt.Sprintf("It has been well since %s.", clock(since))
	if wait := a.settle(); wait > settled {
		e.Text += fmt.Sprintf(" This is told after %s, because it was the %s time within days.", span(wait), ordinal(a.Count))
	}
	if last := members[0].Text; last != "" {
		e.Text += " The last trouble: " + last
	}
	for _, s := range members {
		if s.OKSince.IsZero() {
			s.Alarm = s.ownKey()
			own := &alarm{Kind: s.Kind, Subject: s.Subject, Environment: s.Environment, Reason: s.Reason, Since: s.Since, Told: now, Count: 1}
			own.ID = digestOf(s.Alarm, s.Since.UTC().Format(time.RFC3339Nano), a.ID)
			t.state.Alarms[s.Alarm] = own
			continue
		}
		delete(t.state.Spells, spellKey(s.Kind, s.Subject))
	}
	if len(left) > 0 {
		var subjects []string
		for _, s := range left {
			subjects = append(subjects, s.Subject)
		}
		e.Fields["not yet well"], e.Next = listed(subjects), left[0].Next
	}
	delete(t.state.Alarms, key)
	t.state.Calm[key] = &calm{Count: a.Count, Over: now}
	return t.tell(e)
}

// remind tells of an alarm again: once a day, when it has been failing for
// another reason for a while, and when the alarm beside it has ended.
func (t *Tracker) remind(now time.Time, a *alarm, members []*spell) []Event {
	left := failing(members)
	if len(left) == 0 {
		return nil
	}
	title := fmt.Sprintf(phrases[a.Kind].still, a.Subject, span(now.Sub(a.Since)))
	if a.Shared {
		title = fmt.Sprintf("still %s, for %s now", a.Subject, span(now.Sub(a.Since)))
	}
	switch {
	case t.otherReason(now, a, left):
		title = fmt.Sprintf("%s is not over: for another reason now", a.Subject)
		a.Reason, a.Changed = left[0].Reason, time.Time{}
	case a.Besides != "" && !t.stillBeside(a):
		a.Besides = ""
	case now.Sub(a.Told) < reminded:
		return nil
	}
	a.Told = now
	e := a.event(now, a.Kind, title, left)
	e.Text, e.Reminder = left[0].Text, true
	return t.tell(e)
}

// otherReason reports whether everything that fails has done so for another
// reason than people know for as long as it takes to settle.
func (t *Tracker) otherReason(now time.Time, a *alarm, left []*spell) bool {
	for _, s := range left {
		if s.Reason == a.Reason {
			t.state.changed = t.state.changed || !a.Changed.IsZero()
			a.Changed = time.Time{}
			return false
		}
	}
	if a.Changed.IsZero() {
		a.Changed, t.state.changed = now, true
	}
	return now.Sub(a.Changed) >= a.settle()
}

// stillBeside reports whether the alarm that this one is told besides is open.
func (t *Tracker) stillBeside(a *alarm) bool {
	s := t.state.Spells[spellKey(a.Besides, a.Subject)]
	return s != nil && s.Alarm != ""
}

func ordinal(n int) string {
	switch {
	case n%100/10 == 1:
	case n%10 == 1:
		return fmt.Sprintf("%dst", n)
	case n%10 == 2:
		return fmt.Sprintf("%dnd", n)
	case n%10 == 3:
		return fmt.Sprintf("%drd", n)
	}
	return fmt.Sprintf("%dth", n)
}
