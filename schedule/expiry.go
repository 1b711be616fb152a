package schedule

import (
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// lastGood is how many of the newest good points never go by themselves.
const lastGood = 3

// Expiry is what may be deleted, oldest first.
type Expiry struct {
	// Goes may be deleted without asking.
	Goes []envdb.BackupID
	// Asks are held back until a person agrees.
	Asks []HeldBack
}

// HeldBack is a point that nothing keeps, and that is not deleted without
// asking.
type HeldBack struct {
	ID envdb.BackupID
	// Promised is until when it should have been kept; zero if that is over.
	Promised time.Time
	// Last reports whether it is one of the three newest good ones.
	Last bool
}

// Expire returns what may be deleted. It fails with ErrRefused, and nothing may
// go, while a point is unreadable or the clocks are too far apart.
func (r Rules) Expire(now time.Time, skew Skew, points []RestorePoint) (Expiry, error) {
	if skew.Stops() {
		return Expiry{}, envdb.Fail(envdb.ErrRefused, "nothing expires: %s", skew).
			WithState("nothing was deleted").WithNext("set the clocks of the source and of the machines that run envdb")
	}
	for i := range points {
		if points[i].ownReason(now) == NotReadable {
			return Expiry{}, envdb.Fail(envdb.ErrRefused, "nothing expires: backup %s cannot be read", points[i].ID).
				WithState("nothing was deleted").WithNext("envdb verify shows what is wrong with it")
		}
	}
	var e Expiry
	last := lastOf(now, points)
	for _, i := range r.unkept(now, points) {
		p := &points[i]
		held := HeldBack{ID: p.ID, Last: slices.Contains(last, i)}
		if p.Promised.After(now) {
			held.Promised = p.Promised
		}
		if held.Last || !held.Promised.IsZero() {
			e.Asks = append(e.Asks, held)
		} else {
			e.Goes = append(e.Goes, p.ID)
		}
	}
	return e, nil
}

// unkept returns the indexes of the points that nothing keeps, oldest first.
func (r Rules) unkept(now time.Time, points []RestorePoint) []int {
	var unkept []int
	for i, d := range r.Keep(now, points) {
		if !d.Kept() {
			unkept = append(unkept, i)
		}
	}
	slices.SortFunc(unkept, func(i, j int) int { return points[i].compare(&points[j]) })
	return unkept
}

// lastOf returns the indexes of the newest good points.
func lastOf(now time.Time, points []RestorePoint) []int {
	good := goodPoints(now, points)
	var last []int
	for _, p := range good[max(0, len(good)-lastGood):] {
		last = append(last, p.index)
	}
	return last
}

// LastGood returns the newest good points, at most three, oldest first: those
// that nobody deletes without having been asked.
func LastGood(now time.Time, points []RestorePoint) []envdb.BackupID {
	var ids []envdb.BackupID
	for _, i := range lastOf(now, points) {
		ids = append(ids, points[i].ID)
	}
	return ids
}
