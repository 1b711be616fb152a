package restore_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/restore"
)

var midnight = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// taken returns a backup begun the given time after midnight; its restore
// point is five seconds later.
func taken(after time.Duration, change ...func(*backup.Backup)) backup.Backup {
	point := midnight.Add(after + 5*time.Second)
	b := backup.Backup{
		Manifest:  &backup.Manifest{ID: envdb.NewBackupID(midnight.Add(after)), Point: point},
		GoodUntil: point,
	}
	for _, c := range change {
		c(&b)
	}
	return b
}

func bad(b *backup.Backup)     { b.Bad = true }
func damaged(b *backup.Backup) { b.Damaged = []string{"pack 20261120-010000/3"} }
func unreadable(b *backup.Backup) {
	b.Err = io.ErrUnexpectedEOF
	b.Manifest = &backup.Manifest{ID: b.Manifest.ID, Environment: "prod"}
}
func goodFor(d time.Duration) func(*backup.Backup) {
	return func(b *backup.Backup) { b.GoodUntil = b.Manifest.Point.Add(d) }
}

func at(after time.Duration) envdb.Point { return envdb.At(midnight.Add(after)) }

func TestResolve(t *testing.T) {
	t.Parallel()
	hourly := []backup.Backup{taken(0), taken(time.Hour, goodFor(30*time.Minute)), taken(2 * time.Hour), taken(3*time.Hour, bad), taken(4*time.Hour, damaged), taken(5*time.Hour, unreadable)}
	for name, c := range map[string]struct {
		backups []backup.Backup
		point   envdb.Point
		want    envdb.BackupID
		behind  time.Duration
	}{
		"latest":                       {hourly, envdb.Latest(), "20261120-020000", 0},
		"by id":                        {hourly, envdb.AtBackup("20261120-010000"), "20261120-010000", 0},
		"exactly at the point":         {hourly, at(2*time.Hour + 5*time.Second), "20261120-020000", 0},
		"just before a point":          {hourly, at(2*time.Hour + 4*time.Second), "20261120-010000", 29*time.Minute + 59*time.Second},
		"begun, but not yet its point": {hourly, at(2 * time.Hour), "20261120-010000", 29*time.Minute + 55*time.Second},
		"within good-until":            {hourly, at(80 * time.Minute), "20261120-010000", 0},
		"at good-until":                {hourly, at(90*time.Minute + 5*time.Second), "20261120-010000", 0},
		"passes over what is not good": {hourly, at(12 * time.Hour), "20261120-020000", 10*time.Hour - 5*time.Second},
		"in any order":                 {[]backup.Backup{hourly[2], hourly[0], hourly[1]}, envdb.Latest(), "20261120-020000", 0},
		"one point, two backups": {
			[]backup.Backup{taken(time.Second, func(b *backup.Backup) { b.Manifest.Point = midnight }), taken(0, func(b *backup.Backup) { b.Manifest.Point = midnight })},
			envdb.Latest(), "20261120-000001", 0,
		},
		// The source's clock was ahead when the first one was taken.
		"by point, not by id": {
			[]backup.Backup{taken(0, func(b *backup.Backup) { b.Manifest.Point = midnight.Add(9 * time.Hour) }), taken(time.Hour)},
			envdb.Latest(), "20261120-000000", 0,
		},
	} {
		got, err := restore.Resolve(c.backups, c.point)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.ID() != c.want {
			t.Errorf("%s: %s, want %s", name, got.ID(), c.want)
		}
		if behind := restore.Behind(got, c.point); behind != c.behind {
			t.Errorf("%s: %s behind, want %s", name, behind, c.behind)
		}
	}
}

func TestResolveSaysWhatThereIs(t *testing.T) {
	t.Parallel()
	two := []backup.Backup{taken(time.Hour), taken(2 * time.Hour), taken(3*time.Hour, damaged), taken(4*time.Hour, unreadable), taken(5*time.Hour, bad)}
	const holdings = "the oldest good backup is 20261120-010000, of 2026-11-20 01:00:05 UTC; the newest is 20261120-020000, of 2026-11-20 02:00:05 UTC"
	for name, c := range map[string]struct {
		backups    []backup.Backup
		point      envdb.Point
		kind       error
		want, next string
	}{
		"before everything": {two, at(0), envdb.ErrNotFound, "there is no good backup at or before 2026-11-20 00:00:00 UTC", holdings},
		"unknown id":        {two, envdb.AtBackup("20261119-000000"), envdb.ErrNotFound, "there is no backup 20261119-000000", holdings},
		"damaged id": {two, envdb.AtBackup("20261120-030000"), envdb.ErrVerification, "backup 20261120-030000 is damaged: pack 20261120-010000/3",
			"the newest good backup before it is 20261120-020000, of 2026-11-20 02:00:05 UTC"},
		"unreadable id": {two, envdb.AtBackup("20261120-040000"), envdb.ErrVerification, "backup 20261120-040000 cannot be read: unexpected EOF",
			"the newest good backup before it is 20261120-020000, of 2026-11-20 02:00:05 UTC"},
		"bad id": {two, envdb.AtBackup("20261120-050000"), envdb.ErrVerification, "backup 20261120-050000 is marked bad",
			"the newest good backup before it is 20261120-020000, of 2026-11-20 02:00:05 UTC"},
		"bad id and nothing before": {[]backup.Backup{taken(0, bad), taken(time.Hour)}, envdb.AtBackup("20261120-000000"), envdb.ErrVerification, "backup 20261120-000000 is marked bad",
			"the only good backup is 20261120-010000, of 2026-11-20 01:00:05 UTC"},
		"none":      {nil, envdb.Latest(), envdb.ErrNotFound, "there is no backup", "take one first"},
		"none good": {two[2:], envdb.Latest(), envdb.ErrNotFound, "there are 3 backups, and none of them is good", "see what is wrong with each, and take a new one"},
		"one, bad":  {two[4:], at(9 * time.Hour), envdb.ErrNotFound, "there is one backup, and it is not good", "see what is wrong with each, and take a new one"},
	} {
		_, err := restore.Resolve(c.backups, c.point)
		if err == nil || err.Error() != c.want || !errors.Is(err, c.kind) {
			t.Errorf("%s:\n got %v\nwant %s", name, err, c.want)
		}
		if _, next := envdb.Advice(err); next != c.next {
			t.Errorf("%s advises:\n got %s\nwant %s", name, next, c.next)
		}
	}
	_, err := restore.Resolve(two, envdb.AtBackup("20261120-040000"))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cause is lost: %v", err)
	}
}

// Whatever there is: the answer is good and not after the moment, nothing good
// lies between the two, and the order of the list does not matter.
func TestResolveProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var backups []backup.Backup
		for _, minute := range rapid.SliceOfNDistinct(rapid.IntRange(0, 600), 0, 20, rapid.ID[int]).Draw(t, "minutes") {
			change := rapid.SampledFrom([]func(*backup.Backup){bad, damaged, unreadable, goodFor(0), goodFor(10 * time.Minute), goodFor(0)}).Draw(t, "change")
			backups = append(backups, taken(time.Duration(minute)*time.Minute, change))
		}
		moment := midnight.Add(time.Duration(rapid.IntRange(-60, 40000).Draw(t, "moment")) * time.Second)
		got, err := restore.Resolve(backups, envdb.At(moment))
		again, _ := restore.Resolve(rapid.Permutation(backups).Draw(t, "order"), envdb.At(moment))
		if err == nil && again.ID() != got.ID() {
			t.Fatalf("%s in one order, %s in another", got.ID(), again.ID())
		}
		for _, b := range backups {
			if !b.Usable() || b.Manifest.Point.After(moment) {
				continue
			}
			if err != nil {
				t.Fatalf("%s answers, but: %v", b.ID(), err)
			}
			if b.Manifest.Point.After(got.Manifest.Point) {
				t.Fatalf("%s is nearer to %s than %s", b.ID(), moment, got.ID())
			}
		}
		if err != nil {
			return
		}
		if !got.Usable() || got.Manifest.Point.After(moment) {
			t.Fatalf("%s does not answer %s", got.ID(), moment)
		}
		if behind := restore.Behind(got, envdb.At(moment)); behind < 0 || behind > moment.Sub(got.Manifest.Point) {
			t.Fatalf("%s is %s behind %s", got.ID(), behind, moment)
		}
	})
}
