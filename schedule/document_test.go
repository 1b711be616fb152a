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

var update = flag.Bool("update", false, "write what docs/ladder.md shows")

const document = "../docs/ladder.md"

// TestDocumentShowsWhatIsSimulated holds the tables of docs/ladder.md to what
// the code does. Each stands between two comments of one name.
func TestDocumentShowsWhatIsSimulated(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for name, table := range map[string]string{
		"ladder": ladderTable(t), "example": exampleTable(t), "duty": dutyTable(t), "year": yearTable(),
	} {
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
		t.Fatalf("%s has no %q", document, from)
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
