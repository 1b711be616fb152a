package backup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// marks is what the names of an environment's marks say.
type marks struct {
	pinned, proven, bad map[envdb.BackupID]bool
	goodUntil           map[envdb.BackupID]time.Time
	tombstones          map[envdb.BackupID]time.Time // when they go
	fates               map[envdb.BackupID]bool      // somebody decided on what has a tombstone
	badPacks            map[PackID]bool
	badIndexes          map[envdb.BackupID]bool
	any                 map[envdb.BackupID]bool // some mark names the backup

	bursts    []time.Time
	policies  map[string]PolicyMark
	calendars []CalendarMark
	turns     map[string][]time.Time

	strange []string // names of a known kind that cannot be read
}

func newMarks() *marks {
	return &marks{
		pinned: map[envdb.BackupID]bool{}, proven: map[envdb.BackupID]bool{}, bad: map[envdb.BackupID]bool{},
		goodUntil: map[envdb.BackupID]time.Time{}, tombstones: map[envdb.BackupID]time.Time{}, fates: map[envdb.BackupID]bool{},
		badPacks: map[PackID]bool{}, badIndexes: map[envdb.BackupID]bool{}, any: map[envdb.BackupID]bool{},
		policies: map[string]PolicyMark{}, turns: map[string][]time.Time{},
	}
}

// readMarks lists the marks of an environment.
func (r *Repository) readMarks(ctx context.Context, env string) (*marks, error) {
	m := newMarks()
	prefix := r.keys.marksOf(env)
	for object, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the marks of %s: %w", env, err)
		}
		name := strings.TrimPrefix(object.Key, prefix)
		if !m.add(name) {
			m.strange = append(m.strange, "mark "+name)
		}
	}
	return m, nil
}

// add reads the name of one mark, and reports whether it could. An unknown kind
// is one of a newer envdb, and ignored.
func (m *marks) add(name string) bool {
	kind, rest, _ := strings.Cut(name, "/")
	switch kind {
	case markBurst:
		return m.addBurst(rest)
	case markPolicy:
		return m.addPolicy(strings.Split(rest, "/"))
	case markCalendar:
		return m.addCalendar(strings.Split(rest, "/"))
	case markTurn:
		return m.addTurn(strings.Split(rest, "/"))
	case markPinned, markProven, markBad, markTombstone, markFate, markBadIndex, markBadPack, markGoodUntil:
		return m.addOfBackup(kind, rest)
	}
	return true
}

// addOfBackup reads a mark that names a backup.
func (m *marks) addOfBackup(kind, rest string) bool {
	first, detail, _ := strings.Cut(rest, "/")
	id, err := envdb.ParseBackupID(first)
	if err != nil {
		return false
	}
	m.any[id] = true
	switch kind {
	case markPinned:
		m.pinned[id] = true
	case markProven:
		m.proven[id] = true
	case markBad:
		m.bad[id] = true
	case markFate:
		m.fates[id] = true
	case markBadIndex:
		m.badIndexes[id] = true
	case markBadPack:
		pack, ok := parsePack(rest)
		if ok {
			m.badPacks[pack] = true
		}
		return ok
	case markGoodUntil:
		return keepLatest(m.goodUntil, id, detail)
	case markTombstone:
		if keepLatest(m.tombstones, id, detail) {
			return true
		}
		m.tombstones[id] = farAhead // it is one, and nobody knows when it goes
		return false
	}
	return true
}

// farAhead is later than anything that happens.
var farAhead = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// keepLatest notes the time in the name of a mark, if it is the latest, and
// reports whether it is one.
func keepLatest[K comparable](latest map[K]time.Time, key K, text string) bool {
	t, err := time.Parse(markTime, text)
	if err == nil && (latest[key].IsZero() || t.After(latest[key])) {
		latest[key] = t
	}
	return err == nil
}

func (m *marks) addBurst(rest string) bool {
	begun, err := time.Parse(markTime, rest)
	if err == nil {
		m.bursts = append(m.bursts, begun)
	}
	return err == nil
}

func (m *marks) addPolicy(words []string) bool {
	p, ok := parsePolicyMark(words)
	if !ok {
		return false
	}
	was, known := m.policies[p.Hash]
	if !known || p.Last.After(was.Last) || p.Last.Equal(was.Last) && p.First.After(was.First) {
		m.policies[p.Hash] = p
	}
	return true
}

func (m *marks) addCalendar(words []string) bool {
	if len(words) != 3 || !isFingerprint(words[1]) {
		return false
	}
	job, ok := unescapeJob(words[0])
	since, err := time.Parse(markTime, words[2])
	if !ok || err != nil {
		return false
	}
	m.calendars = append(m.calendars, CalendarMark{Job: job, Fingerprint: words[1], Since: since})
	return true
}

func (m *marks) addTurn(words []string) bool {
	if len(words) != 2 {
		return false
	}
	job, ok := unescapeJob(words[0])
	nominal, err := time.Parse(markTime, words[1])
	if !ok || err != nil {
		return false
	}
	m.turns[job] = append(m.turns[job], nominal)
	return true
}

// policyMarks returns the policies, the one that was seen last at the end.
func (m *marks) policyMarks() []PolicyMark {
	var policies []PolicyMark
	for _, p := range m.policies {
		policies = append(policies, p)
	}
	slices.SortFunc(policies, func(a, b PolicyMark) int {
		if c := a.Last.Compare(b.Last); c != 0 {
			return c
		}
		return strings.Compare(a.Hash, b.Hash)
	})
	return policies
}

// calendarMarks returns the schedules of jobs, by job, the oldest first.
func (m *marks) calendarMarks() []CalendarMark {
	calendars := slices.Clone(m.calendars)
	slices.SortFunc(calendars, func(a, b CalendarMark) int {
		if c := strings.Compare(a.Job, b.Job); c != 0 {
			return c
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Fingerprint, b.Fingerprint)
	})
	return calendars
}
