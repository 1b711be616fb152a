package schedule_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

var update = flag.Bool("update", false, "write what docs/ladder.md and docs/schedules.md show")

// TestDocumentShowsWhatIsSimulated holds the tables of docs/ladder.md to what
// the code does.
func TestDocumentShowsWhatIsSimulated(t *testing.T) {
	t.Parallel()
	checkTables(t, "../docs/ladder.md", map[string]string{
		"ladder": ladderTable(t), "example": exampleTable(t), "duty": dutyTable(t), "year": yearTable(),
	})
}

// TestDocumentShowsWhatTheCalendarSays does so for docs/schedules.md.
func TestDocumentShowsWhatTheCalendarSays(t *testing.T) {
	t.Parallel()
	checkTables(t, "../docs/schedules.md", map[string]string{
		"clocks": clocksTable(t), "sprints": sprintsTable(t), "quiet": quietTable(t),
	})
}

// checkTables holds a document to tables, each of which stands between two
// comments of one name.
func checkTables(t *testing.T, document string, tables map[string]string) {
	t.Helper()
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for name, table := range tables {
		want = between(t, want, "<!-- "+name+" -->\n", "<!-- end of "+name+" -->", table)
	}
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(content) {
		t.Errorf("%s shows something else; run go test ./schedule -run Document -update. It should be:\n%s", document, want)
	}
}

// between replaces what stands between two marks.
func between(t *testing.T, text, from, to, table string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, from)
	_, after, ended := strings.Cut(rest, to)
	if !found || !ended {
		t.Fatalf("the document has no %q", from)
	}
	return before + from + table + to + after
}

// ladderTable shows what the standard ladder keeps and gives.
func ladderTable(t *testing.T) string {
	f := standard(t).Forecast(10 * time.Second)
	var b strings.Builder
	b.WriteString("| rung | slots | reaches back | asked for | one gets at worst |\n|---|---|---|---|---|\n")
	for _, r := range f.Rungs {
		rung := envdb.FormatDuration(r.Rung)
		fmt.Fprintf(&b, "| %s | %d | %s | %s ago | %s |\n",
			rung, r.Slots, envdb.FormatDuration(time.Duration(r.Slots-1)*r.Rung), rung, envdb.FormatDuration(r.Worst))
	}
	return b.String()
}

// exampleTable lists what is left of forty days.
func exampleTable(t *testing.T) string {
	now := newYear.Add(40*envdb.Day + 14*time.Hour + 37*time.Minute)
	points := every(time.Minute, 40*24*60, now)
	var b strings.Builder
	b.WriteString("| point | age | stands for |\n|---|---|---|\n")
	decisions := schedule.Rules{Policy: standard(t)}.Keep(now, points)
	for i := len(points) - 1; i >= 0; i-- {
		if !decisions[i].Kept() {
			continue
		}
		var words []string
		for _, r := range decisions[i].Reasons {
			if r.Why == schedule.Represents {
				words = append(words, envdb.FormatDuration(r.Rung))
			} else {
				words = append(words, r.String())
			}
		}
		at := points[i].At
		fmt.Fprintf(&b, "| %s | %s | %s |\n", at.Format("2 Jan 15:04"), envdb.FormatDuration(now.Sub(at)+20*time.Second), strings.Join(words, ", "))
	}
	return b.String()
}

// dutyTable shows what slow backups suspend, and what one gets then.
func dutyTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| a backup takes | suspended | effective RPO | 1h ago is at worst |\n|---|---|---|---|\n")
	for _, took := range []time.Duration{10 * time.Second, 20 * time.Second, time.Minute, 3*time.Minute + 40*time.Second, 20 * time.Minute} {
		points := every(time.Hour, 5, newYear)
		for i := range points {
			points[i].Took = took
		}
		duty := standard(t).Duty(newYear, points)
		f := standard(t).Forecast(took)
		suspended := strings.Trim(duty.Suspended.String(), "[]")
		if suspended == "" {
			suspended = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", envdb.FormatDuration(took), suspended, envdb.FormatDuration(duty.RPO()), envdb.FormatDuration(f.Rungs[4].Worst))
	}
	return b.String()
}

// yearTable shows what a year of bad weather comes to.
func yearTable() string {
	var b strings.Builder
	b.WriteString("| asked for | one gets at worst | of that, thinned out |\n|---|---|---|\n")
	for _, r := range theYear().Rungs {
		fmt.Fprintf(&b, "| %s ago | %s | %s |\n", envdb.FormatDuration(r.Rung), envdb.FormatDuration(r.Worst), envdb.FormatDuration(r.Thinned))
	}
	return b.String()
}

// The nights in which Berlin's clocks change in 2026: from midnight to five.
var nights = [][2]string{{"2026-03-28 23:00:00", "2026-03-29 03:00:00"}, {"2026-10-24 22:00:00", "2026-10-25 04:00:00"}}

// clocksTable shows what schedules do in those nights.
func clocksTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| schedule | 29 March: 02:00 becomes 03:00 | 25 October: 03:00 becomes 02:00 |\n|---|---|---|\n")
	row := func(name string, when schedule.Moments) {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, clocksOf(t, when, nights[0]), clocksOf(t, when, nights[1]))
	}
	for _, expr := range []string{"30 2 * * *", "0 2,3 * * *", "*/30 2 * * *", "0 * * * *"} {
		row("`CRON_TZ=Europe/Berlin "+expr+"`", cron(t, "CRON_TZ=Europe/Berlin "+expr))
	}
	row("`CRON_TZ=UTC 30 1 * * *`", cron(t, "CRON_TZ=UTC 30 1 * * *"))
	row("`@every 2h`", cron(t, "@every 2h"))
	for _, interval := range []string{"1d", "2h"} {
		every, err := schedule.ParseEvery(interval, "CRON_TZ=Europe/Berlin 2026-01-09 02:30")
		if err != nil {
			t.Fatal(err)
		}
		row("`every: "+interval+"`, `anchor: CRON_TZ=Europe/Berlin 2026-01-09 02:30`", every)
	}
	return b.String()
}

// clocksOf lists the moments of a night as Berlin's clocks show them.
func clocksOf(t *testing.T, when schedule.Moments, night [2]string) string {
	from, to := utc(t, night[0]), utc(t, night[1])
	var words []string
	for _, m := range when.Next(from.Add(-time.Nanosecond), 12) {
		if !m.After(to) {
			words = append(words, m.In(berlin(t)).Format("15:04 MST"))
		}
	}
	return strings.Join(words, ", ")
}

func berlin(t *testing.T) *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// sprintsTable shows the ends of sprints around the change of the clocks.
func sprintsTable(t *testing.T) string {
	every, err := schedule.ParseEvery("14d", "CRON_TZ=Europe/Berlin 2026-01-09 18:00")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| in Berlin | UTC |\n|---|---|\n")
	for _, m := range every.Next(utc(t, "2026-03-01 00:00:00"), 4) {
		fmt.Fprintf(&b, "| %s | %s |\n", m.In(berlin(t)).Format("Mon 2 Jan 2006 15:04 MST"), m.Format("2 Jan 15:04"))
	}
	return b.String()
}

// quietTable shows when windows begin and end.
func quietTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| window | an ordinary night | 29 March: 02:00 becomes 03:00 | 25 October: 03:00 becomes 02:00 |\n|---|---|---|---|\n")
	for _, text := range []string{"22:00-06:00 Europe/Berlin", "00:30-02:30 Europe/Berlin", "02:30-04:00 Europe/Berlin", "02:00-02:45 Europe/Berlin"} {
		w, err := schedule.ParseWindow(text)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` |", text)
		for _, evening := range []string{"2026-01-12 17:00:00", "2026-03-28 17:00:00", "2026-10-24 16:00:00"} {
			fmt.Fprintf(&b, " %s |", spanOf(t, w, utc(t, evening)))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// spanOf finds the first stretch of a window within half a day, by the minute.
func spanOf(t *testing.T, w schedule.Window, from time.Time) string {
	for m := from; m.Before(from.Add(14 * time.Hour)); m = m.Add(time.Minute) {
		if until, inside := w.At(m); inside {
			return fmt.Sprintf("%s to %s, %s", m.In(berlin(t)).Format("15:04 MST"), until.In(berlin(t)).Format("15:04 MST"), envdb.FormatDuration(until.Sub(m)))
		}
	}
	return "never"
}
