package notify_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

var start = time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC)

// told collects what people hear, with when they do.
type told struct {
	events []notify.Event
	lines  []string
}

func (h *told) hear(now time.Time, events []notify.Event) {
	for _, e := range events {
		kind := string(e.Kind)
		if e.Reminder {
			kind = "(" + kind + ")"
		}
		h.events = append(h.events, e)
		h.lines = append(h.lines, fmt.Sprintf("%s %s: %s", envdb.FormatDuration(now.Sub(start)), kind, e.Title))
	}
}

func (h *told) check(t *testing.T, want ...string) {
	t.Helper()
	if got, want := strings.Join(h.lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("people were told\n%s\nwant\n%s", got, want)
	}
}

func bad(subject string) notify.Observation {
	return notify.Observation{Subject: subject, Environment: "prod", Text: "connection refused", Next: "start the server"}
}

func good(subject string) notify.Observation {
	return notify.Observation{Subject: subject, Environment: "prod", OK: true}
}

// scripted observes a subject once a minute: x is a failure, o a success and .
// nothing.
func scripted(tracker *notify.Tracker, script string, observed notify.Observation) *told {
	var heard told
	for i, c := range script {
		now := start.Add(time.Duration(i) * time.Minute)
		if c == '.' {
			heard.hear(now, tracker.Tick(now))
			continue
		}
		o := observed
		o.OK = c == 'o'
		heard.hear(now, tracker.Observe(now, o))
	}
	return &heard
}

func TestTrackerTellsChanges(t *testing.T) {
	t.Parallel()
	patient := bad("backup/prod")
	patient.Patience = notify.LadderPatience
	for _, c := range []struct {
		name, script string
		observed     notify.Observation
		want         []string
	}{
		{"what is well is no news", "ooooo.....", bad("verify/prod"), nil},
		{"the first failure", "ox", bad("verify/prod"), []string{"1m failing: verify/prod fails"}},
		{"once", "xxxxxxxx", bad("verify/prod"), []string{"0s failing: verify/prod fails"}},
		{"well for five minutes", "xxoooooooo", bad("verify/prod"), []string{"0s failing: verify/prod fails", "7m recovered: verify/prod is well again, after 2m"}},
		{"well once, and five minutes pass", "xo........", bad("verify/prod"), []string{"0s failing: verify/prod fails", "6m recovered: verify/prod is well again, after 1m"}},
		{"flapping", "xoxooxoooxooooxoxoxoxo", bad("verify/prod"), []string{"0s failing: verify/prod fails"}},
		{"the second alarm settles for ten minutes", "xo....." + "xo..........", bad("verify/prod"), []string{
			"0s failing: verify/prod fails", "6m recovered: verify/prod is well again, after 1m",
			"7m failing: verify/prod fails", "18m recovered: verify/prod is well again, after 1m",
		}},
		{"patience: two in a row are none", "xxoxxoxxo", patient, nil},
		{"patience: three in a row", "xxxx", patient, []string{"2m failing: backup/prod fails"}},
		{"patience: ten minutes after one", "x..............", patient, []string{"10m failing: backup/prod fails"}},
		{"patience: well before ten minutes pass", "x....o.........", patient, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var tracker notify.Tracker
			scripted(&tracker, c.script, c.observed).check(t, c.want...)
		})
	}
}

// TestADayWithoutDatabase is what the tracker is for: one alarm, no storm, one
// message that it is over.
func TestADayWithoutDatabase(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	subjects := []string{"backup/prod", "mirror/prod-copy", "migrate/prod", "drill/prod"}
	for minute := -30; minute < 24*60+30; minute++ {
		now := start.Add(time.Duration(minute) * time.Minute)
		down := minute >= 0 && minute < 24*60
		for _, subject := range subjects {
			o := bad(subject)
			o.Reason = notify.Reason{Text: "unreachable", Environment: "prod"}
			o.Patience = notify.LadderPatience
			o.Run = fmt.Sprintf("%s-%d", subject, minute)
			o.OK = !down
			heard.hear(now, tracker.Observe(now, o))
		}
	}
	heard.check(t, "2m failing: prod: unreachable", "1d5m recovered: prod: unreachable: over after 1d")
	over := heard.events[1]
	if got, want := over.Fields["affected"], "backup/prod, drill/prod, migrate/prod, mirror/prod-copy"; got != want {
		t.Errorf("affected: %q, want %q", got, want)
	}
	if over.Fields["failures"] != "5760" || over.Fields["lasted"] != "1d" {
		t.Errorf("fields: %v", over.Fields)
	}
	if over.Alarm == "" || over.Alarm != heard.events[0].Alarm {
		t.Errorf("the alarms are %q and %q", heard.events[0].Alarm, over.Alarm)
	}
	if got := tracker.Failing("prod"); len(got) != 0 {
		t.Errorf("still failing: %v", got)
	}
}

func TestTheStoreIsEverybodys(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	for i := range 200 {
		o := bad(fmt.Sprintf("backup/env%d", i))
		o.Environment = fmt.Sprintf("env%d", i)
		o.Reason = notify.Reason{Text: "the store is unreachable"}
		heard.hear(start, tracker.Observe(start, o))
	}
	heard.check(t, "0s failing: the store is unreachable")
	if heard.events[0].Environment != "" {
		t.Errorf("told of the environment %q only", heard.events[0].Environment)
	}
}

func TestRemindersAreDaily(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	heard := scripted(&tracker, "x"+strings.Repeat("x", 3*24*60), bad("verify/prod"))
	heard.check(t, "0s failing: verify/prod fails",
		"1d (failing): verify/prod still fails, for 1d now",
		"2d (failing): verify/prod still fails, for 2d now",
		"3d (failing): verify/prod still fails, for 3d now")
	// A daemon that was gone for a week reminds once.
	week := start.Add(10 * envdb.Day)
	if events := tracker.Tick(week); len(events) != 1 || !events[0].Reminder {
		t.Errorf("after a week: %v", events)
	}
	if events := tracker.Tick(week.Add(time.Minute)); len(events) != 0 {
		t.Errorf("a minute later: %v", events)
	}
}

func TestAGroupThatIsOverNamesWhatIsNotWell(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	at := func(d time.Duration) time.Time { return start.Add(d) }
	unreachable := func(subject string) notify.Observation {
		o := bad(subject)
		o.Reason = notify.Reason{Text: "unreachable", Environment: "prod"}
		return o
	}
	heard.hear(at(0), tracker.Observe(at(0), unreachable("backup/prod")))
	heard.hear(at(time.Minute), tracker.Observe(at(time.Minute), unreachable("mirror/prod")))
	heard.hear(at(time.Hour), tracker.Observe(at(time.Hour), good("backup/prod")))
	heard.hear(at(time.Hour+10*time.Minute), tracker.Tick(at(time.Hour+10*time.Minute)))
	heard.hear(at(6*time.Hour), tracker.Observe(at(6*time.Hour), bad("mirror/prod")))
	heard.hear(at(7*time.Hour), tracker.Observe(at(7*time.Hour), good("mirror/prod")))
	heard.hear(at(8*time.Hour), tracker.Tick(at(8*time.Hour)))
	heard.check(t, "0s failing: prod: unreachable", "1h10m recovered: prod: unreachable: over after 1h", "8h recovered: mirror/prod is well again, after 6h59m")
	if got := heard.events[1].Fields["not yet well"]; got != "mirror/prod" {
		t.Errorf("not yet well: %q", got)
	}
	if heard.events[1].Next != "start the server" {
		t.Errorf("next: %q", heard.events[1].Next)
	}
}

func TestAnotherReasonIsToldOnce(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	for minute := range 60 {
		now := start.Add(time.Duration(minute) * time.Minute)
		o := bad("backup/prod")
		o.Reason = notify.Reason{Text: "unreachable", Environment: "prod"}
		if minute > 30 || minute == 10 {
			o.Reason, o.Text = notify.Reason{}, "password authentication failed"
		}
		heard.hear(now, tracker.Observe(now, o))
	}
	heard.check(t, "0s failing: prod: unreachable", "36m (failing): prod: unreachable is not over: for another reason now")
	if got := heard.events[1].Text; got != "password authentication failed" {
		t.Errorf("text: %q", got)
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	point := start.Add(-time.Minute)
	stale := func(d time.Duration, limit time.Duration) {
		now := start.Add(d)
		heard.hear(now, tracker.Stale(now, "backup/prod", "prod", point, limit))
	}
	for minute := range 9 * 60 {
		stale(time.Duration(minute)*time.Minute, 8*time.Hour)
	}
	point = start.Add(9 * time.Hour)
	stale(9*time.Hour, 8*time.Hour)
	stale(9*time.Hour+5*time.Minute, 8*time.Hour)
	heard.check(t, "8h stale: backup/prod is stale", "9h5m fresh: backup/prod is fresh again, after 1h")
	if want := "The newest restore point is of 2026-11-20 01:59 UTC, 8h1m ago; at most 8h is wanted."; heard.events[0].Text != want {
		t.Errorf("text %q, want %q", heard.events[0].Text, want)
	}
	point = time.Time{}
	stale(10*time.Hour, 8*time.Hour)
	stale(10*time.Hour+2*time.Minute, 8*time.Hour)
	stale(11*time.Hour, 0) // the limit is gone
	stale(12*time.Hour, 8*time.Hour)
	stale(12*time.Hour+time.Minute, 8*time.Hour)
	point = start.Add(12 * time.Hour) // the first backup of a new environment
	stale(12*time.Hour+2*time.Minute, 8*time.Hour)
	stale(12*time.Hour+9*time.Minute, 8*time.Hour)
	heard.check(t, append(heard.lines[:2:2], "10h2m stale: backup/prod is stale")...)
}

// A drill that has not passed for a while is told of like backups that are old,
// in words of its own.
func TestUnproven(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	for day, passed := range []int{0, 0, 0, 0, 0, 0, 0, 0, 8, 9} {
		now := start.AddDate(0, 0, day).Add(time.Hour)
		heard.hear(now, tracker.Unproven(now, "drill/weekly", "staging", start.AddDate(0, 0, passed), 7*envdb.Day))
	}
	heard.check(t, "7d1h stale: drill/weekly is stale", "9d1h fresh: drill/weekly is fresh again, after 1d")
	if first := heard.events[0]; !strings.Contains(first.Text, "The drill has not passed since 2026-11-20 02:00 UTC") || first.Next != "envdb drill weekly" {
		t.Errorf("got %+v", first)
	}
}

// TestStaleBesidesFailing: who is told that backups fail needs not be told that
// there are none, unless it stays so when they work again.
func TestStaleBesidesFailing(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	both := notify.Route{Kinds: []notify.Kind{notify.KindFailing, notify.KindRecovered, notify.KindStale}}
	pager := notify.Route{Kinds: []notify.Kind{notify.KindStale}}
	var all, forBoth, forPager told
	hear := func(now time.Time, events []notify.Event) {
		all.hear(now, events)
		for _, e := range events {
			if both.Wants(e) {
				forBoth.hear(now, []notify.Event{e})
			}
			if pager.Wants(e) {
				forPager.hear(now, []notify.Event{e})
			}
		}
	}
	point := start.Add(-time.Hour)
	for minute := range 20 * 60 {
		now := start.Add(time.Duration(minute) * time.Minute)
		o := bad("backup/prod")
		o.OK = minute >= 12*60
		hear(now, tracker.Observe(now, o))
		if minute == 14*60 {
			point = now
		}
		hear(now, tracker.Stale(now, "backup/prod", "prod", point, 8*time.Hour))
	}
	forBoth.check(t, "0s failing: backup/prod fails", "12h5m recovered: backup/prod is well again, after 12h",
		"12h5m (stale): backup/prod is still stale, for 5h4m now", "14h5m fresh: backup/prod is fresh again, after 6h59m")
	forPager.check(t, "7h1m stale: backup/prod is stale", "12h5m (stale): backup/prod is still stale, for 5h4m now", "14h5m fresh: backup/prod is fresh again, after 6h59m")
}

func TestObjectives(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	o := notify.Observation{Subject: "drill/weekly", Environment: "staging", Text: "restored in 22m, and 15m are wanted"}
	heard.hear(start, tracker.Objective(start, o))
	o.OK = true
	heard.hear(start.Add(envdb.Week), tracker.Objective(start.Add(envdb.Week), o))
	later := start.Add(envdb.Week + 5*time.Minute)
	heard.hear(later, tracker.Tick(later))
	heard.check(t, "0s objective: drill/weekly misses its objective",
		"7d5m objective-met: drill/weekly meets its objective again, after 7d")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	var heard told
	for hour := range 9 * 24 {
		now := start.Add(time.Duration(hour) * time.Hour)
		said := "the clock of this machine is 7 s ahead"
		if hour == 30 {
			said = "the clock of this machine is 9 s ahead"
		}
		heard.hear(now, tracker.Warn(now, "clock/db1", "", said, "start chrony"))
	}
	heard.check(t, "0s warning: clock/db1: the clock of this machine is 7 s ahead", "1d6h warning: clock/db1: the clock of this machine is 9 s ahead",
		"2d6h warning: clock/db1: the clock of this machine is 7 s ahead")
}

func TestClocks(t *testing.T) {
	t.Parallel()
	t.Run("back an hour", func(t *testing.T) {
		t.Parallel()
		var tracker notify.Tracker
		var heard told
		heard.hear(start, tracker.Observe(start, bad("verify/prod")))
		back := start.Add(-time.Hour)
		heard.hear(back, tracker.Observe(back, good("verify/prod")))
		heard.hear(back.Add(5*time.Minute), tracker.Tick(back.Add(5*time.Minute)))
		heard.check(t, "0s failing: verify/prod fails", "-55m recovered: verify/prod is well again, after 0s")
	})
	t.Run("forward a year", func(t *testing.T) {
		t.Parallel()
		var tracker notify.Tracker
		var heard told
		heard.hear(start, tracker.Observe(start, bad("verify/prod")))
		year := start.AddDate(1, 0, 0)
		heard.hear(year, tracker.Tick(year))
		heard.hear(year.Add(time.Minute), tracker.Tick(year.Add(time.Minute)))
		back := start.Add(time.Minute)
		for minute := range 25 * 60 {
			now := back.Add(time.Duration(minute) * time.Minute)
			heard.hear(now, tracker.Observe(now, bad("verify/prod")))
		}
		heard.check(t, "0s failing: verify/prod fails", "365d (failing): verify/prod still fails, for 365d now", "1d1m (failing): verify/prod still fails, for 1d now")
	})
	t.Run("an observation of the past is no news", func(t *testing.T) {
		t.Parallel()
		var tracker notify.Tracker
		tracker.Observe(start, bad("verify/prod"))
		old := good("verify/prod")
		old.At = start.Add(-time.Minute)
		tracker.Observe(start, old)
		if events := tracker.Tick(start.Add(time.Hour)); len(events) != 0 || len(tracker.Failing("prod")) != 1 {
			t.Errorf("an old success ended an alarm: %v", events)
		}
	})
	t.Run("a run counts once", func(t *testing.T) {
		t.Parallel()
		var tracker notify.Tracker
		o := bad("backup/prod")
		o.Patience, o.Run = notify.Patience{Failures: 3}, "r1"
		for range 5 {
			if events := tracker.Observe(start, o); len(events) != 0 {
				t.Fatalf("one failed run made %v", events)
			}
		}
	})
}

// TestRestart: another daemon goes on where one stopped, at every minute.
func TestRestart(t *testing.T) {
	t.Parallel()
	script := "oxxxxo....xxo............................x" + strings.Repeat("x", 1500) + "oooooooooooooooooooooooooooooo"
	var whole notify.Tracker
	want := scripted(&whole, script, bad("verify/prod"))
	var heard told
	var stored []byte
	for i, c := range script {
		now := start.Add(time.Duration(i) * time.Minute)
		var tracker notify.Tracker
		if err := tracker.Restore(stored); err != nil {
			t.Fatal(err)
		}
		before := tracker.Version()
		var events []notify.Event
		if c == '.' {
			events = tracker.Tick(now)
		} else {
			o := bad("verify/prod")
			o.OK = c == 'o'
			events = tracker.Observe(now, o)
		}
		heard.hear(now, events)
		if len(events) > 0 && tracker.Version() == before {
			t.Fatalf("minute %d: %v was told, and the version is still %d", i, events, before)
		}
		for _, e := range tracker.Untold() {
			tracker.Told(e)
		}
		var err error
		if stored, err = tracker.State(); err != nil {
			t.Fatal(err)
		}
	}
	heard.check(t, want.lines...)
	if len(want.lines) < 5 {
		t.Errorf("the script tells only %v", want.lines)
	}
}

func TestUntoldOutlivesADaemon(t *testing.T) {
	t.Parallel()
	var dead, next notify.Tracker
	events := dead.Observe(start, bad("verify/prod"))
	stored, err := dead.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Restore(stored); err != nil {
		t.Fatal(err)
	}
	untold := next.Untold()
	if len(untold) != 1 || untold[0].ID() != events[0].ID() {
		t.Fatalf("untold %v, want %v", untold, events)
	}
	next.Told(untold[0])
	if len(next.Untold()) != 0 {
		t.Errorf("still untold: %v", next.Untold())
	}
	if events := next.Observe(start.Add(time.Minute), bad("verify/prod")); len(events) != 0 {
		t.Errorf("told twice: %v", events)
	}
}

func TestWhatIsWellChangesNothing(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Minute)
		tracker.Observe(now, good("backup/prod"))
		tracker.Stale(now, "backup/prod", "prod", now, time.Hour)
		tracker.Tick(now)
	}
	if v := tracker.Version(); v != 0 {
		t.Errorf("version %d; each is a write to the store", v)
	}
}

func TestStateIsBounded(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	long := strings.Repeat("ü\x00\n", 1000)
	for i := range 1600 {
		now := start.Add(time.Duration(i) * 50 * time.Millisecond)
		o := bad(fmt.Sprintf("%d%s", i, long))
		o.Environment, o.Text, o.Next, o.Run = long, long, long, long
		o.Links = map[string]string{"a": long, long: long}
		o.Reason = notify.Reason{Text: fmt.Sprint(i, long)}
		if i >= 1100 {
			o.Patience.Failures = 2
		}
		tracker.Observe(now, o)
		tracker.Warn(now, o.Subject, long, long, long)
	}
	tracker.Tick(start.Add(time.Hour))
	stored, err := tracker.State()
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) > 5<<20 {
		t.Errorf("the state takes %d bytes", len(stored))
	}
	if open := len(tracker.Failing(strings.TrimSpace(lineOf(long)))); open != 1000 {
		t.Errorf("%d alarms are left, want the newest 1000 rather than what nobody was told", open)
	}
	var next notify.Tracker
	if err := next.Restore(stored); err != nil {
		t.Error(err)
	}
}

// lineOf is how a text becomes a line: the tracker's own rule, seen from outside.
func lineOf(s string) string {
	var tracker notify.Tracker
	return tracker.Warn(start, "x", s, "", "")[0].Environment
}

func TestForget(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	a, b := bad("backup/a"), bad("backup/b")
	a.Reason = notify.Reason{Text: "unreachable", Environment: "prod"}
	b.Reason = a.Reason
	tracker.Observe(start, a)
	tracker.Observe(start, b)
	if told := tracker.Forget(start, func(subject string, _ time.Time) bool { return subject == "backup/a" }); len(told) != 0 {
		t.Errorf("while something is left of an alarm, %v is told", told)
	}
	if got := tracker.Failing("prod"); len(got) != 1 || got[0] != "backup/b" {
		t.Errorf("failing: %v", got)
	}
	told := tracker.Forget(start.Add(time.Hour), func(_ string, seen time.Time) bool { return seen.Equal(start) })
	if len(told) != 1 || told[0].Kind != notify.KindRecovered || told[0].Title != "prod: unreachable is no longer looked after" {
		t.Errorf("of an alarm of which nothing is left %v is told", told)
	}
	if events := tracker.Tick(start.Add(2 * envdb.Day)); len(events) != 0 {
		t.Errorf("what is forgotten makes %v", events)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stored string
		kind   error
	}{
		"no JSON":      {"{", envdb.ErrVerification},
		"a newer form": {`{"format": 2}`, envdb.ErrPreflight},
		"another type": {`[]`, envdb.ErrVerification},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tracker notify.Tracker
			tracker.Observe(start, bad("verify/prod"))
			err := tracker.Restore([]byte(c.stored))
			if state, next := envdb.Advice(err); !errors.Is(err, c.kind) || state == "" || next == "" {
				t.Errorf("error %v, state %q, next %q", err, state, next)
			}
			if len(tracker.Failing("prod")) != 1 {
				t.Error("the tracker is not as it was")
			}
		})
	}
}

// TestRestoreTakesWhatCannotBe: nothing in a state may end a daemon.
func TestRestoreTakesWhatCannotBe(t *testing.T) {
	t.Parallel()
	var tracker notify.Tracker
	for _, subject := range []string{"a", "b"} {
		o := bad(subject)
		o.Reason = notify.Reason{Text: "unreachable", Environment: "prod"}
		tracker.Observe(start, o)
	}
	tracker.Warn(start, "clock", "", "ahead", "")
	stored, err := tracker.State()
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]any
	if err := json.Unmarshal(stored, &whole); err != nil {
		t.Fatal(err)
	}
	damage := 0
	var spoil func(at any, again func())
	spoil = func(at any, again func()) {
		m, ok := at.(map[string]any)
		if !ok {
			return
		}
		for key, was := range m {
			if key == "format" {
				continue
			}
			for _, instead := range []any{nil, map[string]any{}, "", float64(3)} {
				m[key] = instead
				damage++
				again()
			}
			m[key] = was
			spoil(was, again)
		}
	}
	spoil(whole, func() {
		broken, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		var tracker notify.Tracker
		if tracker.Restore(broken) != nil {
			return
		}
		for i := range 4 {
			now := start.Add(time.Duration(i) * 13 * time.Hour)
			tracker.Observe(now, bad("a"))
			tracker.Observe(now, good("b"))
			tracker.Stale(now, "a", "prod", start, time.Hour)
			tracker.Warn(now, "clock", "", "ahead", "")
		}
		tracker.Forget(start, func(string, time.Time) bool { return true })
	})
	if damage < 100 {
		t.Errorf("only %d damages were tried", damage)
	}
}
