package schedule_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestDue(t *testing.T) {
	t.Parallel()
	ladder := schedule.Ladder{time.Minute, 5 * time.Minute, time.Hour}
	noon := newYear.Add(12 * time.Hour)
	at := func(hms string) time.Time { return utc(t, "2026-01-01 "+hms) }
	bad := point(at("12:00:00"))
	bad.State = schedule.Bad
	running := schedule.RestorePoint{ID: "20260101-120001", State: schedule.Running, At: at("12:00:01")}
	idle := point(at("09:30:00"))
	idle.GoodUntil = at("11:59:30")
	wrong := point(at("09:30:00"))
	wrong.GoodUntil = noon.Add(365 * envdb.Day)
	behind := point(at("11:49:59")) // the source is ten minutes behind
	behind.Started = at("12:00:00")
	for name, c := range map[string]struct {
		now    string
		points []schedule.RestorePoint
		want   string
		next   string
	}{
		"nothing yet":               {"12:00:00", nil, "[1m, 5m, 1h]", "12:01:00"},
		"the last minute":           {"12:00:00", []schedule.RestorePoint{point(at("11:59:59"))}, "[1m, 5m, 1h]", "12:01:00"},
		"in every slot":             {"12:00:59", []schedule.RestorePoint{point(at("12:00:00"))}, "[]", "12:01:00"},
		"the finest":                {"12:01:00", []schedule.RestorePoint{point(at("12:00:00"))}, "[1m]", "12:02:00"},
		"two of three":              {"12:05:10", []schedule.RestorePoint{point(at("12:04:00")), point(at("12:00:00"))}, "[1m, 5m]", "12:06:00"},
		"a bad one covers nothing":  {"12:00:30", []schedule.RestorePoint{bad}, "[1m, 5m, 1h]", "12:01:00"},
		"a running one covers":      {"12:00:30", []schedule.RestorePoint{running}, "[]", "12:01:00"},
		"… where it began":          {"12:01:30", []schedule.RestorePoint{running}, "[1m]", "12:02:00"},
		"unchanged until":           {"11:59:40", []schedule.RestorePoint{idle}, "[]", "12:00:00"},
		"unchanged no more":         {"12:00:00", []schedule.RestorePoint{idle}, "[1m, 5m, 1h]", "12:01:00"},
		"a good-until of next year": {"12:00:00", []schedule.RestorePoint{wrong}, "[1m, 5m, 1h]", "12:01:00"},
		"a point of next year":      {"12:00:00", []schedule.RestorePoint{point(noon.Add(365 * envdb.Day))}, "[1m, 5m, 1h]", "12:01:00"},
		"a source behind":           {"12:00:30", []schedule.RestorePoint{behind}, "[]", "12:01:00"},
		"a source a little ahead":   {"12:00:30", []schedule.RestorePoint{point(at("12:01:10"))}, "[]", "12:02:00"},
		"after ten days":            {"12:00:00", []schedule.RestorePoint{point(at("12:00:00").Add(-10 * envdb.Day))}, "[1m, 5m, 1h]", "12:01:00"},
	} {
		due := schedule.Rules{Policy: policy(t, ladder, schedule.Keep{})}.Due(at(c.now), c.points)
		if due.Rungs.String() != c.want || due.Any() != (c.want != "[]") || due.Next.Format(time.TimeOnly) != c.next {
			t.Errorf("%s: %s, next %s; want %s, next %s", name, due.Rungs, due.Next.Format(time.TimeOnly), c.want, c.next)
		}
	}
}

func TestWithoutLadderNothingIsDue(t *testing.T) {
	t.Parallel()
	due := schedule.Rules{}.Due(newYear, pointsAt(0))
	if due.Any() || !due.Next.IsZero() || due.Duty.String() != "there is no ladder" {
		t.Errorf("%+v", due)
	}
}

func TestSuspendedRungsAreNotDue(t *testing.T) {
	t.Parallel()
	points := every(time.Hour, 6, newYear)
	for i := range points {
		points[i].Took = 3*time.Minute + 40*time.Second
	}
	due := schedule.Rules{Policy: standard(t)}.Due(newYear.Add(59*time.Minute), points)
	if due.Any() || !due.Next.Equal(newYear.Add(time.Hour)) {
		t.Errorf("due are %s, next at %s", due.Rungs, due.Next)
	}
	want := "backups take 3m40s: the rungs 1m, 2m, 5m and 10m are suspended, effective RPO 1h3m40s"
	if got := due.Duty.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestDuty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took []time.Duration // oldest first
		want string
	}{
		"none":                     {nil, "no backup was measured yet, RPO 1m and what a backup takes"},
		"one":                      {[]time.Duration{10 * time.Second}, "backups take 10s, RPO 1m10s"},
		"the slower of two":        {[]time.Duration{10 * time.Second, 20 * time.Second}, "backups take 20s: the rung 1m is suspended, effective RPO 2m20s"},
		"one outlier":              {[]time.Duration{1e9, 1e9, 1e9, 1e9, time.Hour}, "backups take 1s, RPO 1m1s"},
		"slow of late":             {[]time.Duration{1e9, 1e9, 1e9, 60e9, 60e9, 60e9}, "backups take 1m: the rungs 1m and 2m are suspended, effective RPO 6m"},
		"only the last five count": {[]time.Duration{60e9, 60e9, 60e9, 60e9, 1e9, 1e9, 1e9}, "backups take 1s, RPO 1m1s"},
		"resumes by itself":        {[]time.Duration{60e9, 60e9, 60e9, 60e9, 60e9, 1e9, 1e9, 1e9}, "backups take 1s, RPO 1m1s"},
		"longer than the ladder":   {[]time.Duration{30 * time.Hour}, "backups take 1d6h: the rungs 1m, 2m, 5m, 10m, 1h, 3h and 6h are suspended, effective RPO 3d6h"},
		"milliseconds":             {[]time.Duration{40 * time.Millisecond}, "backups take 40ms, RPO 1m"},
	} {
		points := every(time.Hour, len(c.took), newYear)
		for i := range points {
			points[i].Took = c.took[len(c.took)-1-i]
			points[i].At = newYear.Add(-time.Duration(i) * time.Hour) // newest first
		}
		unknown := point(newYear.Add(time.Minute))
		future := point(newYear.Add(envdb.Day))
		future.Took = 20 * time.Hour
		if got := standard(t).Duty(newYear.Add(time.Hour), append(points, unknown, future)).String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// One backup fills every due rung, and then nothing is due before Next.
func TestOneBackupFillsEveryRung(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := drawHistory(t, newYear)
		now := newYear.Add(time.Duration(rapid.Int64Range(0, 3e6).Draw(t, "now")) * time.Second)
		rules := schedule.Rules{Policy: drawPolicy(t)}
		taken := append(points, point(now))
		due := rules.Due(now, taken)
		if due.Any() {
			t.Fatalf("a backup was taken, and %s are due", due.Rungs)
		}
		if !due.Next.After(now) {
			t.Fatalf("next is %s, and now is %s", due.Next, now)
		}
		if early := rules.Due(due.Next.Add(-time.Second), taken); early.Any() {
			t.Fatalf("%s are due before %s", early.Rungs, due.Next)
		}
		if then := rules.Due(due.Next, taken); !then.Any() && !futureDated(points, due.Next) {
			t.Fatalf("nothing is due at %s", due.Next)
		}
	})
}

// futureDated reports whether a point is later than now, so that it may cover
// what comes.
func futureDated(points []schedule.RestorePoint, now time.Time) bool {
	for _, p := range points {
		if p.At.After(now) {
			return true
		}
	}
	return false
}
