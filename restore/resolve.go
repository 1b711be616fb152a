package restore

import (
	"fmt"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Resolve returns the backup that a point means: the newest good one, one by
// its id, or the newest good one whose restore point is at or before the
// moment. Backups that are bad, damaged, unreadable or deleted are passed over;
// one that was asked for by its id is an error instead (ErrVerification, or
// ErrRefused for one that can be undeleted). When nothing
// answers, the error is ErrNotFound and says what there is. The order of
// backups does not matter.
func Resolve(backups []backup.Backup, point envdb.Point) (backup.Backup, error) {
	if id, named := point.Backup(); named {
		return byID(backups, id)
	}
	moment, dated := point.Moment()
	var best *backup.Backup
	for i := range backups {
		b := &backups[i]
		switch {
		case flaw(*b) != "":
		case dated && b.Manifest.Point.After(moment):
		case best == nil || newer(*b, *best):
			best = b
		}
	}
	if best == nil {
		return backup.Backup{}, nothing(backups, point)
	}
	return *best, nil
}

// Behind returns how far before the asked moment the restored state lies. It
// is 0 for a point that names no moment, and within the time in which the
// database is known not to have changed: a backup is exact from its restore
// point to its good-until.
func Behind(b backup.Backup, point envdb.Point) time.Duration {
	moment, dated := point.Moment()
	if !dated {
		return 0
	}
	exactUntil := b.Manifest.Point
	if b.GoodUntil.After(exactUntil) {
		exactUntil = b.GoodUntil
	}
	return max(0, moment.Sub(exactUntil))
}

// newer reports whether a is the newer restore point; of two at one moment it
// is the one with the later id, which was written last.
func newer(a, b backup.Backup) bool {
	if !a.Manifest.Point.Equal(b.Manifest.Point) {
		return a.Manifest.Point.After(b.Manifest.Point)
	}
	return a.ID() > b.ID()
}

// flaw says why a backup cannot be restored, or "".
func flaw(b backup.Backup) string {
	switch {
	case b.Err != nil:
		return fmt.Sprintf("cannot be read: %v", b.Err)
	case len(b.Damaged) > 0:
		return "is damaged: " + strings.Join(b.Damaged, ", ")
	case b.Bad:
		return "is marked bad"
	case b.Tombstone != nil && b.Tombstone.Begun:
		return "is being deleted"
	case b.Tombstone != nil:
		return "is deleted, and goes at " + show(b.Tombstone.SweepAfter)
	}
	return ""
}

func byID(backups []backup.Backup, id envdb.BackupID) (backup.Backup, error) {
	for _, b := range backups {
		if b.ID() != id {
			continue
		}
		why := flaw(b)
		if why == "" {
			return b, nil
		}
		if b.Tombstone != nil && !b.Tombstone.Begun {
			return backup.Backup{}, envdb.Fail(envdb.ErrRefused, "backup %s %s", id, why).WithState("nothing was changed").
				WithNext("undelete it first: envdb undelete %s@%s", b.Manifest.Environment, id)
		}
		p := envdb.Fail(envdb.ErrVerification, "backup %s %s", id, why).WithState("nothing was changed")
		p.Err = b.Err
		return backup.Backup{}, p.WithNext("%s", instead(backups, id))
	}
	return backup.Backup{}, envdb.Fail(envdb.ErrNotFound, "there is no backup %s", id).
		WithState("nothing was changed").WithNext("%s", holdings(backups))
}

// instead names the newest good backup before the one that cannot be used.
func instead(backups []backup.Backup, id envdb.BackupID) string {
	var best *backup.Backup
	for i := range backups {
		if b := &backups[i]; flaw(*b) == "" && b.ID() < id && (best == nil || newer(*b, *best)) {
			best = b
		}
	}
	if best == nil {
		return holdings(backups)
	}
	return fmt.Sprintf("the newest good backup before it is %s, of %s", best.ID(), show(best.Manifest.Point))
}

// nothing is the error of a point that no backup answers.
func nothing(backups []backup.Backup, point envdb.Point) error {
	var p *envdb.Problem
	moment, dated := point.Moment()
	switch {
	case len(backups) == 0:
		p = envdb.Fail(envdb.ErrNotFound, "there is no backup")
	case dated && len(good(backups)) > 0:
		p = envdb.Fail(envdb.ErrNotFound, "there is no good backup at or before %s", show(moment))
	case len(backups) == 1:
		p = envdb.Fail(envdb.ErrNotFound, "there is one backup, and it is not good")
	default:
		p = envdb.Fail(envdb.ErrNotFound, "there are %d backups, and none of them is good", len(backups))
	}
	return p.WithState("nothing was changed").WithNext("%s", holdings(backups))
}

// holdings says what there is to ask for.
func holdings(backups []backup.Backup) string {
	usable := good(backups)
	switch {
	case len(backups) == 0:
		return "take one first"
	case len(usable) == 0:
		return "see what is wrong with each, and take a new one"
	}
	oldest, newest := usable[0], usable[0]
	for _, b := range usable[1:] {
		if newer(b, newest) {
			newest = b
		}
		if newer(oldest, b) {
			oldest = b
		}
	}
	if oldest.ID() == newest.ID() {
		return fmt.Sprintf("the only good backup is %s, of %s", oldest.ID(), show(oldest.Manifest.Point))
	}
	return fmt.Sprintf("the oldest good backup is %s, of %s; the newest is %s, of %s",
		oldest.ID(), show(oldest.Manifest.Point), newest.ID(), show(newest.Manifest.Point))
}

func good(backups []backup.Backup) []backup.Backup {
	var usable []backup.Backup
	for _, b := range backups {
		if flaw(b) == "" {
			usable = append(usable, b)
		}
	}
	return usable
}

func show(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
