package backup

import (
	"cmp"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// View is what the listings of an environment show: its backups, its marks and
// its write intents. It is shared by all who ask, so nobody changes it.
type View struct {
	Environment string
	// Listed is when the listing began.
	Listed time.Time
	// Backups are those that have a manifest, readable or not, oldest first.
	Backups []Summary
	// Running are the write intents, whether their writers live or died.
	Running []Intent

	Bursts    []time.Time
	Policies  []PolicyMark   // the one that was seen last at the end
	Calendars []CalendarMark // by job, the oldest first
	// Turns are the nominal times of successes of each job, in no order: of the
	// last one, and of those that a clock which was ahead has marked.
	Turns map[string][]time.Time

	// Swept are backups whose deletion has begun and not ended, and that have no
	// manifest any more.
	Swept []envdb.BackupID

	// Incomplete says what was listed and cannot be read or understood. While
	// there is any, nothing is deleted.
	Incomplete []string

	undecided []envdb.BackupID // have a fate, and no tombstone that it is about
}

// Find returns the summary of a backup, or nil.
func (v *View) Find(id envdb.BackupID) *Summary {
	i, found := slices.BinarySearchFunc(v.Backups, id, func(b Summary, id envdb.BackupID) int { return cmp.Compare(b.ID, id) })
	if !found {
		return nil
	}
	return &v.Backups[i]
}

// Summary is what is needed of a backup to plan with.
type Summary struct {
	ID envdb.BackupID
	// Err says why the manifest cannot be read; then nothing is known that would
	// stand in it.
	Err error

	Point, Started, Finished time.Time
	Took                     time.Duration
	// GoodUntil is the moment up to which nothing changed after the point; it is
	// the point itself if nothing is known.
	GoodUntil time.Time
	// Promised is until when the policy keeps it under which it was written.
	Promised                  time.Time
	LogicalBytes, StoredBytes int64
	Tier                      envdb.Tier
	Source                    Source
	Stillness                 *Stillness

	Pinned, Proven, Bad bool
	Damaged             []string
	Tombstone           *Tombstone
}

// Usable reports whether the backup can be restored as far as is known, and
// may be.
func (s Summary) Usable() bool {
	return s.Err == nil && !s.Bad && len(s.Damaged) == 0 && s.Tombstone == nil
}

func summarise(m *Manifest) Summary {
	return Summary{
		ID: m.ID, Point: m.Point, Started: m.Started, Finished: m.Finished, Took: max(0, m.Finished.Sub(m.Started)),
		GoodUntil: m.Point, Promised: m.Promised, LogicalBytes: m.Totals.LogicalBytes, StoredBytes: m.Totals.StoredBytes,
		Tier: m.Tier, Source: m.Source, Stillness: m.Stillness,
	}
}
