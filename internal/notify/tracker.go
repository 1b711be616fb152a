package notify

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

const (
	// reminded is how often people hear of what goes on.
	reminded = envdb.Day
	// settled is how long something must be well before people hear so. Each alarm
	// of the same thing within a day doubles it, so that what comes and goes is told
	// a few times a day at most.
	settled     = 5 * time.Minute
	mostDoubled = 5 // 2h40m
	// firstborn is how long there may be no restore point at all.
	firstborn = 2 * time.Minute
	// repeated is how long a warning that says the same is not told again.
	repeated = envdb.Week
)

// LadderPatience is for what is tried again every minute or so: that one
// attempt in a thousand fails is no news.
var LadderPatience = Patience{Failures: 3, For: 10 * time.Minute}

// Patience is how long something must fail before people hear of it: so many
// times in a row, or for so long since the first. The zero Patience has none.
type Patience struct {
	Failures int           `json:"failures,omitempty"`
	For      time.Duration `json:"for,omitempty"`
}

// Reason is what keeps several subjects from working: they share one alarm.
type Reason struct {
	// Text is the reason, in as many words as it takes to be the same for all that
	// have it: "unreachable". Empty is none that is shared.
	Text string `json:"text,omitempty"`
	// Environment is the one in which it lies, and whose people are told: that of
	// the subject, or "" for what is everybody's, such as the store.
	Environment string `json:"environment,omitempty"`
}

// Observation is what was seen of a subject.
type Observation struct {
	// Subject is always the same for the same thing: "backup/prod".
	Subject     string
	Environment string
	// OK says that it is well: that a run succeeded.
	OK bool
	// Text says what is wrong, Next what a person can do, Run which run it was. The
	// same run is counted once.
	Text, Next, Run string
	Links           map[string]string
	Reason          Reason
	Patience        Patience
	// At is when it was so; zero is now. What is older than what was observed
	// before is no news.
	At time.Time
}

// Tracker turns observations into what people are told. It is pure: it knows no
// clock and no store. The zero Tracker has observed nothing. It is not safe for
// concurrent use.
//
// Several daemons share one by its state in the store. Whoever takes the lease
// restores it and tells what is Untold. From then on it observes, stores the
// state if the store still holds the Version that it knows, and only then tells
// what the observations returned; when that is delivered, it is Told. So one
// daemon tells, and what one that died did not get round to, the next one does.
//
// The machine, for each subject and each of failing, stale and objective:
//
//	well → weak      it fails, and Patience is not at an end; nothing is told
//	weak → well      nothing is told
//	weak → alarmed   failing is told, unless an alarm for the same Reason is open
//	alarmed → alarmed   a reminder once a day while it fails; and once if it has
//	                 failed for another Reason for as long as it takes to settle
//	alarmed → well   recovered is told, when it has been well for as long as it
//	                 takes to settle: 5 minutes, longer for what comes and goes
//
// The alarm of a Reason is over when one of its subjects has settled, and none
// was seen to fail for it since. Subjects that still fail then, because they
// were not tried since or for another reason, are named in the message and have
// alarms of their own from then on.
type Tracker struct {
	state state
	// ticked is when it was last looked what is due by time alone: an observation
	// of one thing need not look at all others again in the same second.
	ticked time.Time
}

// Observe takes in an observation, and returns what people are to be told.
func (t *Tracker) Observe(now time.Time, o Observation) []Event {
	return t.observe(now, KindFailing, o, "")
}

// Stale takes in of when the newest restore point is, and returns what people
// are to be told: stale when it is older than limit, fresh when it is not any
// more. The zero since is for a subject that has none. Without a limit nothing
// is ever stale. A subject that has none has two minutes: the daemon that first
// looks at a new environment takes its first backup meanwhile.
//
// An alarm is marked with Besides if the same subject is known to fail.
func (t *Tracker) Stale(now time.Time, subject, environment string, since time.Time, limit time.Duration) []Event {
	if limit <= 0 {
		t.forget(spellKey(KindStale, subject))
		return t.Tick(now)
	}
	o := Observation{Subject: subject, Environment: environment, OK: !since.IsZero() && now.Sub(since) <= limit, Next: "envdb runs --env " + environment + " shows what became of its backups"}
	if environment == "" {
		o.Next = "envdb runs shows what became of its backups"
	}
	switch {
	case since.IsZero():
		o.Patience = Patience{Failures: math.MaxInt32, For: firstborn}
		o.Text = "There is no restore point, and one every " + envdb.FormatDuration(limit) + " is wanted."
	case !o.OK:
		o.Text = "The newest restore point is of " + clock(since) + ", " + span(now.Sub(since)) + " ago; at most " + envdb.FormatDuration(limit) + " is wanted."
	}
	return t.observe(now, KindStale, o, t.failing(subject))
}

// failing is KindFailing if the subject is known to fail.
func (t *Tracker) failing(subject string) Kind {
	if failing := t.state.Spells[spellKey(KindFailing, subject)]; failing != nil && failing.open() {
		return KindFailing
	}
	return ""
}

// Unproven is Stale of a restore drill, which last passed at since.
func (t *Tracker) Unproven(now time.Time, subject, environment string, since time.Time, limit time.Duration) []Event {
	o := Observation{Subject: subject, Environment: environment, OK: now.Sub(since) <= limit, Next: "envdb " + strings.Replace(subject, "/", " ", 1)}
	if !o.OK {
		o.Text = "The drill has not passed since " + clock(since) + ", " + span(now.Sub(since)) + " ago; at most " + envdb.FormatDuration(limit) + " is wanted."
	}
	return t.observe(now, KindStale, o, t.failing(subject))
}

// Quiet takes in that a subject is well as far as one can see, and returns what
// people are to be told. It counts if nobody has seen it fail for so long: who
// sees it well may not see what another one does.
func (t *Tracker) Quiet(now time.Time, subject string, d time.Duration) []Event {
	s := t.state.Spells[spellKey(KindFailing, subject)]
	if s == nil || !s.OKSince.IsZero() || now.Sub(s.Seen) < d {
		return nil
	}
	return t.Observe(now, Observation{Subject: subject, Environment: s.Environment, OK: true, At: now})
}

// Objective takes in whether a subject met its objective, such as how long a
// restore may take, and returns what people are to be told.
func (t *Tracker) Objective(now time.Time, o Observation) []Event {
	return t.observe(now, KindObjective, o, "")
}

// Warn returns a warning, if it is news: another text than before, and the
// first of its subject in a day, or the same one after a week.
func (t *Tracker) Warn(now time.Time, subject, environment, said, next string) []Event {
	defer t.state.begin(now)()
	subject, said = line(subject), text(said, mostKept)
	last := t.state.Warned[subject]
	if last != nil && (now.Sub(last.At) < reminded || last.Text == digestOf(said) && now.Sub(last.At) < repeated) {
		return nil
	}
	t.state.Warned[subject] = &warned{At: now, Text: digestOf(said)}
	return t.tell(Event{
		Kind: KindWarning, Subject: subject, Environment: line(environment), At: now, Reminder: last != nil && last.Text == digestOf(said),
		Title: subject + ": " + lineOf(said, mostLine), Text: said, Next: text(next, mostKept),
	})
}

// Tick returns what people are to be told because time passed: that something
// has settled, or still fails. Call it every minute or so; an observation does
// it too.
func (t *Tracker) Tick(now time.Time) []Event {
	defer t.state.begin(now)()
	return t.tick(now)
}

// observe is one observation for the machine of that kind.
func (t *Tracker) observe(now time.Time, kind Kind, o Observation, besides Kind) []Event {
	defer t.state.begin(now)()
	if o.At.IsZero() || o.At.After(now) {
		o.At = now
	}
	o.Subject, o.Environment, o.Run = line(o.Subject), line(o.Environment), line(o.Run)
	o.Reason.Text, o.Reason.Environment = line(o.Reason.Text), line(o.Reason.Environment)
	key := spellKey(kind, o.Subject)
	s := t.state.Spells[key]
	var events []Event
	switch {
	case s != nil && (o.At.Before(s.Seen) || o.Run != "" && o.Run == s.Run):
	case o.OK && s != nil:
		t.well(key, s, o)
	case !o.OK:
		if s == nil {
			s = &spell{Kind: kind, Subject: o.Subject, Since: o.At}
			t.state.Spells[key] = s
		}
		s.fail(o)
		t.state.changed = true
		if s.Alarm == "" && s.impatient(now) {
			events = t.raise(now, s, besides)
		}
	}
	if since := now.Sub(t.ticked); since >= 0 && since < time.Second && len(t.state.Spells) <= mostSpells+mostSpells/10 {
		return events
	}
	return append(events, t.tick(now)...)
}

// well notes that something is well.
func (t *Tracker) well(key string, s *spell, o Observation) {
	switch {
	case s.Alarm == "":
		delete(t.state.Spells, key)
	case s.OKSince.IsZero():
		s.OKSince, s.Seen, s.Run = o.At, o.At, o.Run
	default:
		return // it is known
	}
	t.state.changed = true
}

// tick does what is due by time alone.
func (t *Tracker) tick(now time.Time) []Event {
	t.ticked = now
	var events []Event
	for _, key := range sortedKeys(t.state.Spells) {
		if s := t.state.Spells[key]; s.Alarm == "" && s.Patience.For > 0 && s.impatient(now) {
			events = append(events, t.raise(now, s, "")...)
		}
	}
	members := t.state.members()
	for _, key := range sortedKeys(t.state.Alarms) {
		a := t.state.Alarms[key]
		if since, over := a.over(now, members[key]); over {
			events = append(events, t.end(now, key, a, members[key], since)...)
		} else {
			events = append(events, t.remind(now, a, members[key])...)
		}
	}
	t.state.prune(now)
	return events
}

// tell remembers events until they are told.
func (t *Tracker) tell(events ...Event) []Event {
	t.state.Untold = append(t.state.Untold, events...)
	if more := len(t.state.Untold) - mostUntold; more > 0 {
		t.state.Untold = t.state.Untold[more:]
	}
	if len(events) > 0 {
		t.state.changed = true
	}
	return events
}

// Untold returns what was not yet said to be told: after a restart, what the
// daemon before did not get round to.
func (t *Tracker) Untold() []Event { return append([]Event(nil), t.state.Untold...) }

// Told notes that an event has been told.
func (t *Tracker) Told(e Event) {
	for i, other := range t.state.Untold {
		if other.ID() == e.ID() {
			t.state.Untold = append(t.state.Untold[:i:i], t.state.Untold[i+1:]...)
			t.state.Version++
			return
		}
	}
}

// ToldBy notes that an event which is still untold has reached one channel.
func (t *Tracker) ToldBy(e Event, channel string) {
	for i := range t.state.Untold {
		if other := &t.state.Untold[i]; other.ID() == e.ID() && !slices.Contains(other.Had, channel) {
			other.Had = append(slices.Clone(other.Had), channel)
			t.state.Version++
		}
	}
}

// Failing returns the subjects of an environment of which people have been told
// that they fail, are stale or miss an objective, in alphabetical order.
func (t *Tracker) Failing(environment string) []string {
	subjects := map[string]bool{}
	for _, s := range t.state.Spells {
		if s.open() && s.Environment == environment {
			subjects[s.Subject] = true
		}
	}
	return sortedKeys(subjects)
}

// Forget drops what is known of subjects that are gone, such as those of a
// configuration that changed, and returns what people are to be told: that an
// alarm is over of which nothing is left. Gone is asked with the moment at which
// the subject was last seen to fail.
func (t *Tracker) Forget(now time.Time, gone func(subject string, seen time.Time) bool) []Event {
	defer t.state.begin(now)()
	var events []Event
	for _, key := range sortedKeys(t.state.Spells) {
		s := t.state.Spells[key]
		if !gone(s.Subject, s.Seen) {
			continue
		}
		a := t.state.Alarms[s.Alarm]
		t.forget(key)
		if a != nil && t.state.Alarms[s.Alarm] == nil {
			e := a.event(now, phrases[a.Kind].over, a.Subject+" is no longer looked after", []*spell{s})
			e.Text, e.Next = "It is not in the configuration any more, which ends the alarm.", ""
			events = append(events, e)
		}
	}
	for subject, w := range t.state.Warned {
		if gone(subject, w.At) {
			delete(t.state.Warned, subject)
			t.state.changed = true
		}
	}
	return t.tell(events...)
}

// forget drops a spell, and its alarm if it was the last one of it.
func (t *Tracker) forget(key string) {
	s := t.state.Spells[key]
	if s == nil {
		return
	}
	defer t.state.begin(t.state.Latest)()
	delete(t.state.Spells, key)
	t.state.changed = true
	if s.Alarm != "" && len(t.state.members()[s.Alarm]) == 0 {
		delete(t.state.Alarms, s.Alarm)
	}
}
