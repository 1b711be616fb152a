package notify

import "time"

// Merge takes in what another tracker knows that went its own way since a moment,
// because its daemon could not reach the state that all share. What either was
// told is not told again, of a subject the newer news count, and what one has
// ended since is over. Since the zero time it takes in everything. The other one
// stays as it is.
func (t *Tracker) Merge(other *Tracker, since time.Time) {
	t.state.init()
	for key, c := range other.state.Calm {
		t.mergeEnd(key, c, since)
	}
	for key, s := range other.state.Spells {
		t.mergeSpell(key, *s, other.state.Alarms[s.Alarm], since)
	}
	for subject, w := range other.state.Warned {
		if mine := t.state.Warned[subject]; mine == nil || mine.At.Before(w.At) {
			taken := *w
			t.state.Warned[subject] = &taken
		}
	}
	known := map[string]bool{}
	for _, e := range t.state.Untold {
		known[e.ID()] = true
	}
	for _, e := range other.state.Untold {
		for _, channel := range e.Had {
			t.ToldBy(e, channel)
		}
		if !known[e.ID()] && !e.At.Before(since) {
			t.state.Untold = append(t.state.Untold, e)
		}
	}
	t.state.Version++
	if other.state.Latest.After(t.state.Latest) {
		t.state.Latest = other.state.Latest
	}
}

// mergeEnd ends an alarm that the other one has told to be over since.
func (t *Tracker) mergeEnd(key string, c *calm, since time.Time) {
	if mine := t.state.Calm[key]; c.Over.Before(since) || mine != nil && !mine.Over.Before(c.Over) {
		return
	}
	for _, s := range t.state.members()[key] {
		if s.news().After(c.Over) {
			return // it began again
		}
	}
	for _, s := range t.state.members()[key] {
		delete(t.state.Spells, spellKey(s.Kind, s.Subject))
	}
	delete(t.state.Alarms, key)
	taken := *c
	t.state.Calm[key] = &taken
}

// mergeSpell takes in a spell of the other one, and the alarm that it is part of.
func (t *Tracker) mergeSpell(key string, s spell, a *alarm, since time.Time) {
	mine := t.state.Spells[key]
	if over := t.state.Calm[s.Alarm]; s.Alarm != "" && over != nil && t.state.Alarms[s.Alarm] == nil && !over.Over.Before(since) {
		if !over.Over.Before(s.news()) {
			return // that it is over has been told
		}
		s.Alarm, a = "", nil // it fails again, which has not
	}
	if mine == nil && s.news().Before(since) {
		return // it is over, of which nothing was told, or all is forgotten
	}
	if mine == nil && a != nil && a.Since.Before(since) && a.Told.Before(since) {
		return // it was known to all, and is over
	}
	if mine != nil && mine.Alarm != "" {
		s.Alarm, a = mine.Alarm, nil
	}
	if a != nil && t.state.Alarms[s.Alarm] == nil {
		taken := *a
		t.state.Alarms[s.Alarm] = &taken
	}
	if mine != nil && !s.news().After(mine.news()) {
		mine.Alarm = s.Alarm
		return
	}
	t.state.Spells[key] = &s
}

// news is when something was last seen of it.
func (s *spell) news() time.Time {
	if s.OKSince.After(s.Seen) {
		return s.OKSince
	}
	return s.Seen
}

// Clone returns a tracker that knows the same.
func (t *Tracker) Clone() (*Tracker, error) {
	text, err := t.State()
	if err != nil {
		return nil, err
	}
	clone := &Tracker{}
	return clone, clone.Restore(text)
}

// Orphans returns events that nobody has told for a while, because the daemon
// that was to tell them died, and leaves them to the caller: after the state was
// stored nobody else gets them for as long.
func (t *Tracker) Orphans(now time.Time, after time.Duration) []Event {
	var orphans []Event
	taken := map[string]time.Time{}
	for _, e := range t.state.Untold {
		last := e.At
		if at, known := t.state.Taken[e.ID()]; known {
			last = at
		}
		if age := now.Sub(last); age > after {
			orphans = append(orphans, e)
			last = now
		}
		if last.After(e.At) {
			taken[e.ID()] = last
		}
	}
	if len(orphans) > 0 {
		t.state.Taken = taken
		t.state.Version++
	}
	return orphans
}
