package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestBurstIsDue(t *testing.T) {
	t.Parallel()
	burst := schedule.NewBurst(newYear)
	last := pointsAt(10 * time.Minute)
	for name, c := range map[string]struct {
		after  time.Duration
		points []schedule.RestorePoint
		want   time.Duration // of the due time, or -1
		next   time.Duration
	}{
		"not at once":                {0, nil, -1, time.Minute},
		"the first":                  {time.Minute, pointsAt(0), time.Minute, 2 * time.Minute},
		"taken":                      {61 * time.Second, pointsAt(time.Minute), -1, 2 * time.Minute},
		"the second":                 {2 * time.Minute, pointsAt(time.Minute), 2 * time.Minute, 5 * time.Minute},
		"missed ones are past":       {30 * time.Minute, pointsAt(time.Minute), 10 * time.Minute, time.Hour},
		"an hour":                    {time.Hour, last, time.Hour, 3 * time.Hour},
		"the last":                   {envdb.Day, last, envdb.Day, 0},
		"the last, late":             {envdb.Day + 23*time.Hour, last, envdb.Day, 0},
		"the last, too late":         {2 * envdb.Day, last, -1, 0},
		"the last, taken":            {envdb.Day + time.Hour, pointsAt(envdb.Day), -1, 0},
		"the clock before the burst": {-time.Hour, nil, -1, time.Minute},
	} {
		due := schedule.Rules{Bursts: []schedule.Burst{burst}}.Due(newYear.Add(c.after), c.points)
		switch {
		case c.want < 0 && due.Any(), c.want >= 0 && !slices.Equal(due.Bursts, []time.Time{newYear.Add(c.want)}):
			t.Errorf("%s: due %v", name, due.Bursts)
		case c.next == 0 && !due.Next.IsZero(), c.next > 0 && !due.Next.Equal(newYear.Add(c.next)):
			t.Errorf("%s: next %s", name, due.Next)
		}
	}
}

func TestBurstDoesNotHeedMaxDuty(t *testing.T) {
	t.Parallel()
	points := pointsAt(0)
	points[0].Took = 3 * time.Minute
	rules := schedule.Rules{Policy: standard(t), Bursts: []schedule.Burst{schedule.NewBurst(newYear)}}
	due := rules.Due(newYear.Add(time.Minute), points)
	if len(due.Rungs) != 0 || len(due.Bursts) != 1 {
		t.Errorf("due are %s and %v", due.Rungs, due.Bursts)
	}
}

func TestBurstIsKeptUntilItsLastIsADayOld(t *testing.T) {
	t.Parallel()
	rules := schedule.Rules{
		Policy: policy(t, schedule.Ladder{time.Hour}, schedule.Keep{All: 1}),
		Bursts: []schedule.Burst{schedule.NewBurst(newYear)},
	}
	const s = time.Second
	points := pointsAt(-time.Hour, 5*s, 30*s, 60*s, 90*s, 120*s, 310*s, 620*s, 700*s, 62*time.Minute, 3*time.Hour, 6*time.Hour, 7*time.Hour, 25*time.Hour)
	got := reasons(rules.Keep(newYear.Add(26*time.Hour), points))
	want := strings.Join([]string{
		"20251231-230000: ",
		"20260101-000005: burst of 2026-01-01", // the one that began it
		"20260101-000030: ",
		"20260101-000100: burst of 2026-01-01 00:01",
		"20260101-000130: ",
		"20260101-000200: burst of 2026-01-01 00:02",
		"20260101-000510: burst of 2026-01-01 00:05",
		"20260101-001020: burst of 2026-01-01 00:10",
		"20260101-001140: ",
		"20260101-010200: burst of 2026-01-01 01:00",
		"20260101-030000: burst of 2026-01-01 03:00",
		"20260101-060000: burst of 2026-01-01 06:00",
		"20260101-070000: ",
		"20260102-010000: newest good, 1h slot of 2026-01-02 01:00, burst of 2026-01-02",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	burst := rules.Bursts[0]
	late := append(points, pointsAt(49*time.Hour-time.Second)...) // the last one was an hour late
	if burst.Over(newYear.Add(10*envdb.Week), late) || len(kept(rules, newYear.Add(10*envdb.Week), late)) != 10 {
		t.Error("the burst is over before its last backup is a day old")
	}
	over := append(points, pointsAt(49*time.Hour)...)
	if !burst.Over(newYear.Add(49*time.Hour), over) || len(kept(rules, newYear.Add(49*time.Hour), over)) != 1 {
		t.Error("the burst is not over after its last backup was a day old")
	}
	if !(schedule.Burst{}).Over(newYear, nil) {
		t.Error("the zero burst keeps something")
	}
}

// On an idle database no backup is taken: what was known to be exact stands in.
func TestBurstOnAnIdleDatabase(t *testing.T) {
	t.Parallel()
	points := pointsAt(70*time.Second, 2*time.Hour)
	points[0].GoodUntil = newYear.Add(6 * time.Minute)
	rules := schedule.Rules{
		Policy: policy(t, schedule.Ladder{time.Hour}, schedule.Keep{All: 1}),
		Bursts: []schedule.Burst{schedule.NewBurst(newYear)},
	}
	want := "20260101-000110: burst of 2026-01-01 00:01, burst of 2026-01-01 00:02, burst of 2026-01-01 00:05"
	if got, _, _ := strings.Cut(reasons(rules.Keep(newYear.Add(2*time.Hour), points)), "\n"); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
