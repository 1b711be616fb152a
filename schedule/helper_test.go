package schedule_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

var newYear = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// failer is a test or a property.
type failer interface {
	Helper()
	Fatal(...any)
}

func policy(t failer, ladder schedule.Ladder, keep schedule.Keep) schedule.Policy {
	t.Helper()
	p, err := schedule.NewPolicy(ladder, keep, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func standard(t failer) schedule.Policy {
	t.Helper()
	return policy(t, schedule.DefaultLadder(), schedule.Keep{})
}

// point is a good restore point; its id is that of its moment.
func point(at time.Time) schedule.RestorePoint {
	return schedule.RestorePoint{ID: envdb.NewBackupID(at), State: schedule.Good, At: at}
}

// pointsAt are good restore points some time after New Year.
func pointsAt(after ...time.Duration) []schedule.RestorePoint {
	points := make([]schedule.RestorePoint, len(after))
	for i, d := range after {
		points[i] = point(newYear.Add(d))
	}
	return points
}

// every are good restore points at regular intervals, up to last.
func every(interval time.Duration, n int, last time.Time) []schedule.RestorePoint {
	points := make([]schedule.RestorePoint, n)
	for i := range points {
		points[i] = point(last.Add(-time.Duration(n-1-i) * interval))
	}
	return points
}

// kept are the points that stay.
func kept(rules schedule.Rules, now time.Time, points []schedule.RestorePoint) []schedule.RestorePoint {
	decisions := rules.Keep(now, points)
	var left []schedule.RestorePoint
	for i, d := range decisions {
		if d.Kept() {
			left = append(left, points[i])
		}
	}
	return left
}

func ids(points []schedule.RestorePoint) []envdb.BackupID {
	var ids []envdb.BackupID
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

// drawPolicy draws a ladder with auto or any numbers.
func drawPolicy(t *rapid.T) schedule.Policy {
	seconds := rapid.SliceOfNDistinct(rapid.Int64Range(1, 5000), 1, 6, rapid.ID[int64]).Draw(t, "rungs")
	slices.Sort(seconds)
	ladder := make(schedule.Ladder, len(seconds))
	keep := schedule.Keep{All: rapid.IntRange(0, 5).Draw(t, "keep"), Rungs: map[time.Duration]int{}}
	for i, s := range seconds {
		ladder[i] = time.Duration(s) * time.Second
		if n := rapid.IntRange(-5, 5).Draw(t, "slots"); n > 0 {
			keep.Rungs[ladder[i]] = n
		}
	}
	return policy(t, ladder, keep)
}

// drawHistory draws good restore points in the order in which they were taken:
// dense, sparse, and with long gaps.
func drawHistory(t *rapid.T, from time.Time) []schedule.RestorePoint {
	var points []schedule.RestorePoint
	gap := rapid.OneOf(rapid.Int64Range(1, 10), rapid.Int64Range(1, 600), rapid.Int64Range(1, 100_000))
	for _, g := range rapid.SliceOfN(gap, 0, 120).Draw(t, "gaps") {
		from = from.Add(time.Duration(g) * time.Second)
		points = append(points, point(from))
	}
	return points
}

// utc reads "2026-01-01 12:00:00".
func utc(t failer, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
