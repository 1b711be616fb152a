package notify

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// stateFormat is that of the state; a newer one is not read.
const stateFormat = 1

// How much a state holds at most, so that it stays below a megabyte or two.
const (
	mostSpells = 1000
	mostWarned = 500
	mostUntold = 200
	// abandoned is how long something is kept of which nobody says any more how it
	// is, and of which nobody was told.
	abandoned = 40 * envdb.Day
)

// state is what a Tracker knows.
type state struct {
	Format int `json:"format"`
	// Version counts the changes.
	Version uint64 `json:"version"`
	// Latest is the newest moment at which anything was observed.
	Latest time.Time          `json:"latest,omitzero"`
	Spells map[string]*spell  `json:"spells,omitempty"`
	Alarms map[string]*alarm  `json:"alarms,omitempty"`
	Calm   map[string]*calm   `json:"calm,omitempty"`
	Warned map[string]*warned `json:"warned,omitempty"`
	Untold []Event            `json:"untold,omitempty"`
	// Taken is when a daemon took it on itself to tell what another had not told.
	Taken map[string]time.Time `json:"taken,omitempty"`

	changed bool
	depth   int
}

// warned is the last warning about a subject.
type warned struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"` // its digest
}

// Version is a number that grows with each change of the state. What is well
// changes nothing, so a daemon needs to store nothing.
func (t *Tracker) Version() uint64 { return t.state.Version }

// State returns what the tracker knows, as JSON of a bounded size.
func (t *Tracker) State() ([]byte, error) {
	t.state.Format = stateFormat
	return json.Marshal(t.state)
}

// Restore replaces what the tracker knows. Nothing is a tracker that knows
// nothing. After an error the tracker is as it was.
func (t *Tracker) Restore(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		t.state, t.ticked = state{}, time.Time{}
		return nil
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return envdb.Fail(envdb.ErrVerification, "state of the notifications: %w", err).
			WithState("what was told before is not known").
			WithNext("delete it; alarms that are open are then told once more")
	}
	if s.Format != stateFormat {
		return envdb.Fail(envdb.ErrPreflight, "state of the notifications has format %d, and this envdb knows %d", s.Format, stateFormat).
			WithState("nothing was changed").
			WithNext("run the same version of envdb on all machines")
	}
	s.sanitize()
	t.state, t.ticked = s, time.Time{}
	return nil
}

// sanitize drops what cannot be: a state that was changed by hand must not end
// a daemon.
func (s *state) sanitize() {
	s.init()
	for key, spell := range s.Spells {
		if spell == nil || spellKey(spell.Kind, spell.Subject) != key || phrases[spell.Kind].over == "" {
			delete(s.Spells, key)
		} else if spell.Alarm != "" && s.Alarms[spell.Alarm] == nil {
			spell.Alarm = ""
		}
	}
	members := s.members()
	for key, a := range s.Alarms {
		if a == nil || len(members[key]) == 0 || phrases[a.Kind].over == "" {
			delete(s.Alarms, key)
		}
	}
	for _, spell := range s.Spells {
		if spell.Alarm != "" && s.Alarms[spell.Alarm] == nil {
			spell.Alarm = ""
		}
	}
	for key, c := range s.Calm {
		if c == nil {
			delete(s.Calm, key)
		}
	}
	for key, w := range s.Warned {
		if w == nil {
			delete(s.Warned, key)
		}
	}
}

func (s *state) init() {
	if s.Spells == nil {
		s.Spells = map[string]*spell{}
	}
	if s.Alarms == nil {
		s.Alarms = map[string]*alarm{}
	}
	if s.Calm == nil {
		s.Calm = map[string]*calm{}
	}
	if s.Warned == nil {
		s.Warned = map[string]*warned{}
	}
}

// begin starts a call at a moment, and returns what ends it: a call that
// changed something makes another version.
func (s *state) begin(now time.Time) (end func()) {
	s.init()
	s.rewind(now)
	s.depth++
	return func() {
		s.depth--
		if s.depth > 0 || !s.changed {
			return
		}
		s.Version++
		s.changed = false
		if now.After(s.Latest) {
			s.Latest = now
		}
	}
}

// rewind brings what is in the future back to now: a clock that was set back
// must not silence anything until it has caught up.
func (s *state) rewind(now time.Time) {
	if !now.Before(s.Latest) {
		return
	}
	earlier := func(times ...*time.Time) {
		for _, t := range times {
			if t.After(now) {
				*t = now
			}
		}
	}
	earlier(&s.Latest)
	for _, x := range s.Spells {
		earlier(&x.Since, &x.Seen, &x.OKSince)
	}
	for _, x := range s.Alarms {
		earlier(&x.Since, &x.Told, &x.Changed)
	}
	for _, x := range s.Calm {
		earlier(&x.Over)
	}
	for _, x := range s.Warned {
		earlier(&x.At)
	}
	s.changed = true
}

// members returns the spells of each alarm, by name.
func (s *state) members() map[string][]*spell {
	members := map[string][]*spell{}
	for _, key := range sortedKeys(s.Spells) {
		if x := s.Spells[key]; x.Alarm != "" {
			members[x.Alarm] = append(members[x.Alarm], x)
		}
	}
	return members
}

// prune drops what is of no use any more, and what is too much.
func (s *state) prune(now time.Time) {
	before := len(s.Spells) + len(s.Calm) + len(s.Warned)
	for key, c := range s.Calm {
		if s.Alarms[key] == nil && now.Sub(c.Over) >= envdb.Day {
			delete(s.Calm, key)
		}
	}
	for key, w := range s.Warned {
		if now.Sub(w.At) >= repeated {
			delete(s.Warned, key)
		}
	}
	for key, x := range s.Spells {
		if x.Alarm == "" && now.Sub(x.Seen) >= abandoned {
			delete(s.Spells, key)
		}
	}
	dropOldest(s.Calm, mostSpells, func(c *calm) time.Time { return c.Over })
	dropOldest(s.Warned, mostWarned, func(w *warned) time.Time { return w.At })
	// Of what nobody was told goes first, by being as old as can be.
	dropOldest(s.Spells, mostSpells, func(x *spell) time.Time {
		if x.Alarm == "" {
			return x.Seen.AddDate(-1000, 0, 0)
		}
		return x.Seen
	})
	if before == len(s.Spells)+len(s.Calm)+len(s.Warned) {
		return
	}
	s.changed = true
	members := s.members()
	for key := range s.Alarms {
		if len(members[key]) == 0 {
			delete(s.Alarms, key)
		}
	}
}

// dropOldest leaves at most so many entries, the newest.
func dropOldest[V any](m map[string]V, most int, at func(V) time.Time) {
	more := len(m) - most
	if more <= 0 {
		return
	}
	keys := sortedKeys(m)
	slices.SortStableFunc(keys, func(a, b string) int { return at(m[a]).Compare(at(m[b])) })
	for _, key := range keys[:more] {
		delete(m, key)
	}
}
