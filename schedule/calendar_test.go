package schedule_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func cron(t failer, expr string) schedule.Cron {
	t.Helper()
	c, err := schedule.ParseCron(expr)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func calendar(t failer, when schedule.Moments, terms schedule.Terms) schedule.Calendar {
	t.Helper()
	c, err := schedule.NewCalendar("mirror/prod-copy", when, terms)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCalendarDue(t *testing.T) {
	t.Parallel()
	const at4 = "CRON_TZ=UTC 0 4 * * *"
	for name, c := range map[string]struct {
		terms        schedule.Terms
		now, since   string
		failed, done string
		want         string // nominal, or ""
	}{
		"on time":                        {now: "2026-11-20 04:00:00", since: "2026-11-01 00:00:00", want: "2026-11-20 04:00:00"},
		"just before: the one before":    {now: "2026-11-20 03:59:59", since: "2026-11-01 00:00:00", want: "2026-11-19 04:00:00"},
		"done":                           {now: "2026-11-20 04:00:10", since: "2026-11-01 00:00:00", done: "2026-11-20 04:00:00"},
		"the one before is done":         {now: "2026-11-20 04:00:10", since: "2026-11-01 00:00:00", done: "2026-11-19 04:00:00", want: "2026-11-20 04:00:00"},
		"failed, again":                  {now: "2026-11-20 05:00:00", since: "2026-11-01 00:00:00", failed: "2026-11-20 04:00:00", want: "2026-11-20 04:00:00"},
		"missed for a week, once":        {now: "2026-11-20 12:00:00", since: "2026-11-01 00:00:00", done: "2026-11-13 04:00:00", want: "2026-11-20 04:00:00"},
		"not before it is in force":      {now: "2026-11-20 12:00:00", since: "2026-11-20 11:00:00"},
		"in force from its moment on":    {now: "2026-11-20 12:00:00", since: "2026-11-20 04:00:00", want: "2026-11-20 04:00:00"},
		"the clock is back":              {now: "2026-11-20 03:00:00", since: "2026-11-01 00:00:00", done: "2026-11-19 04:00:00"},
		"a success next year is no bar":  {now: "2026-11-20 04:00:00", since: "2026-11-01 00:00:00", done: "2027-11-20 04:00:00", want: "2026-11-20 04:00:00"},
		"skip: in time":                  {terms: schedule.Terms{Missed: schedule.Skip}, now: "2026-11-20 04:00:59", since: "2026-11-01 00:00:00", want: "2026-11-20 04:00:00"},
		"skip: too late":                 {terms: schedule.Terms{Missed: schedule.Skip}, now: "2026-11-20 04:01:00", since: "2026-11-01 00:00:00"},
		"skip: begun in time and failed": {terms: schedule.Terms{Missed: schedule.Skip}, now: "2026-11-20 05:00:00", since: "2026-11-01 00:00:00", failed: "2026-11-20 04:00:00", want: "2026-11-20 04:00:00"},
		"before the deadline":            {terms: schedule.Terms{Deadline: time.Hour}, now: "2026-11-20 04:59:59", since: "2026-11-01 00:00:00", want: "2026-11-20 04:00:00"},
		"after the deadline":             {terms: schedule.Terms{Deadline: time.Hour}, now: "2026-11-20 05:00:00", since: "2026-11-01 00:00:00", failed: "2026-11-20 04:00:00"},
	} {
		var attempts []schedule.Attempt
		if c.failed != "" {
			attempts = append(attempts, schedule.Attempt{Nominal: utc(t, c.failed)})
		}
		if c.done != "" {
			attempts = append(attempts, schedule.Attempt{Nominal: utc(t, c.done).In(time.FixedZone("", 3600)), Succeeded: true})
		}
		turn, due := calendar(t, cron(t, at4), c.terms).Due(utc(t, c.now), utc(t, c.since), attempts)
		got := ""
		if due {
			got = turn.Nominal.Format(time.DateTime)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestCalendarLooksFarBack(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"CRON_TZ=UTC * * * * *":     "2027-03-01 12:00:00",
		"CRON_TZ=UTC * 3 1 1 *":     "2027-01-01 03:59:00",
		"CRON_TZ=UTC 0 0 29 2 *":    "2024-02-29 00:00:00",
		"CRON_TZ=UTC 0 0 28 2 0":    "2027-02-28 00:00:00", // either field will do, as in cron
		"@every 6h":                 "2027-03-01 12:00:00",
		"CRON_TZ=UTC 30 23 31 12 *": "2026-12-31 23:30:00",
	} {
		turn, due := calendar(t, cron(t, expr), schedule.Terms{}).Due(utc(t, "2027-03-01 12:00:00"), time.Time{}, nil)
		if got := turn.Nominal.Format(time.DateTime); !due || got != want {
			t.Errorf("%s: %v, %s, want %s", expr, due, got, want)
		}
	}
}

func TestCalendarJitter(t *testing.T) {
	t.Parallel()
	day := utc(t, "2026-11-20 00:00:00")
	begins := map[time.Duration]bool{}
	for _, name := range []string{"mirror/prod-copy", "mirror/staging", "seed/qa", "drill/weekly", "verify/prod", "mirror/prod-copy"} {
		c, err := schedule.NewCalendar(name, cron(t, "CRON_TZ=UTC 0 4 * * *"), schedule.Terms{Jitter: time.Hour, Deadline: 2 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		next := c.Next(day, 5)
		if len(next) != 5 {
			t.Fatalf("%s: %v", name, next)
		}
		later := next[0].Begins.Sub(next[0].Nominal)
		if later < 0 || later >= time.Hour || next[4].Begins.Sub(next[4].Nominal) != later || next[0].Nominal.Hour() != 4 {
			t.Errorf("%s begins %s later", name, later)
		}
		if next[0].Deadline != next[0].Nominal.Add(2*time.Hour) {
			t.Errorf("%s: the deadline is %s", name, next[0].Deadline)
		}
		if turn, due := c.Due(next[0].Begins.Add(-time.Second), day, nil); due {
			t.Errorf("%s is due before it begins: %v", name, turn)
		}
		if turn, due := c.Due(next[0].Begins, day, nil); !due || turn != next[0] {
			t.Errorf("%s: %v, %v; want %v", name, turn, due, next[0])
		}
		begins[later] = true
	}
	if len(begins) != 5 {
		t.Errorf("five names have %d jitters", len(begins))
	}
}

func TestNewCalendarRefuses(t *testing.T) {
	t.Parallel()
	for want, terms := range map[string]schedule.Terms{
		`missed: missed is "later"`:                                                   {Missed: "later"},
		"the jitter and the deadline of mirror/qa must not be negative":               {Jitter: -time.Second},
		"the deadline of mirror/qa is 10m after its time, and its jitter may take 1h": {Jitter: time.Hour, Deadline: 10 * time.Minute},
	} {
		_, err := schedule.NewCalendar("mirror/qa", schedule.Cron{}, terms)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	var none schedule.Calendar
	if _, due := none.Due(newYear, time.Time{}, nil); due || none.Next(newYear, 5) != nil {
		t.Error("the zero calendar has turns")
	}
	if m, err := schedule.ParseMissed(""); m != schedule.RunOnce || err != nil {
		t.Errorf("nothing is %q, %v", m, err)
	}
}

// Whatever daemons do, stop and restart, and whatever their clocks do: no turn
// succeeds twice, none begins before its time or after its deadline, and what
// was missed is made up for at most once.
func TestTurnsSucceedOnce(t *testing.T) {
	t.Parallel()
	exprs := []string{"CRON_TZ=UTC */30 * * * *", "CRON_TZ=Europe/Berlin 30 2 * * *", "CRON_TZ=America/New_York 0,20,40 1-2 * * *", "@every 47m"}
	rapid.Check(t, func(t *rapid.T) {
		terms := schedule.Terms{
			Missed: rapid.SampledFrom([]schedule.Missed{"", schedule.RunOnce, schedule.Skip}).Draw(t, "missed"),
			Jitter: time.Duration(rapid.IntRange(0, 20).Draw(t, "jitter")) * time.Minute,
		}
		if rapid.Bool().Draw(t, "with a deadline") {
			terms.Deadline = terms.Jitter + time.Duration(rapid.IntRange(1, 90).Draw(t, "deadline"))*time.Minute
		}
		c := calendar(t, cron(t, rapid.SampledFrom(exprs).Draw(t, "expr")), terms)
		since := time.Date(2026, 10, 24, 12, 0, 0, 0, time.UTC) // clocks change in that night, and a week later
		now := since
		var attempts []schedule.Attempt
		succeeded := map[time.Time]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.IntRange(0, 60), rapid.IntRange(-7200, 40_000)).Draw(t, "later")) * time.Second)
			turn, due := c.Due(now, since, attempts)
			if !due {
				continue
			}
			switch {
			case succeeded[turn.Nominal]:
				t.Fatalf("%s succeeds twice", turn.Nominal)
			case now.Before(turn.Begins) || turn.Nominal.Before(since):
				t.Fatalf("%v begins at %s", turn, now)
			case !turn.Deadline.IsZero() && !now.Before(turn.Deadline):
				t.Fatalf("%v begins at %s, after its deadline", turn, now)
			case len(c.Next(turn.Begins, 1)) != 1 || !c.Next(turn.Begins, 1)[0].Begins.After(now):
				t.Fatalf("%v begins at %s, after the next one", turn, now)
			}
			ok := rapid.Bool().Draw(t, "succeeds")
			succeeded[turn.Nominal] = ok
			attempts = append(attempts, schedule.Attempt{Nominal: turn.Nominal, Succeeded: ok})
		}
	})
}
