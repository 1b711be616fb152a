package drill

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Markdown returns the report as text that reads well as it is, and better
// where Markdown is shown.
func (r *Report) Markdown() string {
	var w strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	line("# Restore drill %d%s: %s\n", r.Number, r.titled(), strings.ToUpper(string(r.Outcome)))
	line("%s\n", r.Summary)
	if r.Next != "" {
		line("Next: %s\n", r.Next)
	}
	line("| | |\n|---|---|")
	for _, f := range r.Facts() {
		line("| %s | %s |", f.Name, cell(f.Value))
	}
	if len(r.Verdicts) > 0 {
		line("\n## Objectives\n\n| objective | wanted | measured | |\n|---|---|---|---|")
		for _, v := range r.Verdicts {
			line("| %s | at most %s | %s | %s |", v.Name, show(v.Limit), show(v.Got), mark(v.Outcome))
		}
	}
	for _, warning := range r.Warnings {
		line("\n> Warning: %s", warning)
	}
	line("\n## Where the time went\n\n| phase | time | share | |\n|---|---|---|---|")
	for _, p := range r.Phases {
		name := p.Name
		if p.Parent != "" {
			name = "– " + name
		}
		line("| %s | %s | %.1f %% | %s |", cell(name), show(p.Took), share(p.Took, r.Elapsed), throughput(p))
	}
	line("\n## Checks\n\n| check | | compared | found |\n|---|---|---|---|")
	for _, c := range r.Checks {
		found := append([]string{}, c.Findings...)
		if c.Found > len(c.Findings) {
			found = append(found, fmt.Sprintf("and %d more", c.Found-len(c.Findings)))
		}
		if c.Reason != "" {
			found = append(found, c.Reason)
		}
		line("| %s | %s | %s | %s |", cell(c.Name), mark(c.Outcome), cell(c.Covers), cell(strings.Join(found, "; ")))
	}
	if a := r.Accident; a != nil {
		line("\n## The accident\n\n%s, at %s.\n", a.What, clock(a.At))
		for _, sql := range a.SQL {
			line("    %s", strings.ReplaceAll(sql, "\n", "\n    "))
		}
		line("\n| | fingerprint |\n|---|---|\n| before | `%s` |\n| broken | `%s` |\n| repaired | `%s` |", a.Before, a.Broken, a.After)
		for _, lost := range a.Lost {
			line("\n* %s", lost)
		}
	}
	line("\n---\nReport %d of %s, run %s. SHA-256 of the report before it: `%s`.", r.Number, r.Project, r.Run, orNone(r.Previous))
	return w.String()
}

func (r *Report) titled() string {
	if r.Drill == "" {
		return ""
	}
	return " (" + r.Drill + ")"
}

// Fact is a line of what a report says of itself.
type Fact struct{ Name, Value string }

// Facts are what a reader wants to know first.
func (r *Report) Facts() []Fact {
	var all []Fact
	add := func(name, value string) {
		if value != "" {
			all = append(all, Fact{name, value})
		}
	}
	add("restored", fmt.Sprintf("%s, beside %s", r.From, r.Into))
	asked := r.At
	if !r.Asked.IsZero() {
		asked += ", which was " + clock(r.Asked)
	}
	if r.Why != "" && r.Why != "as asked" {
		asked += " (" + r.Why + ")"
	}
	add("asked for", asked)
	if r.Backup != "" {
		point := clock(r.Point)
		if r.GoodUntil.After(r.Point) {
			point += ", unchanged until " + clock(r.GoodUntil)
		}
		add("answered by", fmt.Sprintf("backup %s: %s", r.Backup, point))
	}
	add("passed over", strings.Join(r.PassedOver, "; "))
	if r.Measured.Behind > 0 {
		add("behind the moment asked for", show(r.Measured.Behind))
	}
	if r.Measured.Freshness != nil {
		add("newest row before the moment asked for", show(*r.Measured.Freshness))
	}
	if r.Measured.WorstGap != nil {
		add("longest time without a restore point", fmt.Sprintf("%s in the last %s", show(*r.Measured.WorstGap), show(r.Measured.Window)))
	}
	if r.Scenario != "" && r.Scenario != "restore" {
		add("scenario", r.Scenario)
	}
	add("release", r.Release)
	add("migration", r.Migration)
	if r.Tables > 0 {
		add("content", fmt.Sprintf("%s, %s, %s", plural(r.Tables, "table"), humanize.Comma(r.Rows)+" rows", humanize.IBytes(uint64(max(0, r.Bytes)))))
	}
	add("sampled", r.Sampled)
	add("promoted", r.Promoted)
	add("from", r.Source)
	add("to", r.Target)
	add("by", fmt.Sprintf("envdb %s on %s", r.Envdb, r.Machine))
	add("began", clock(r.Started))
	add("took", show(r.Elapsed))
	return all
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func mark(o Outcome) string {
	switch o {
	case Pass:
		return "✓ pass"
	case Fail:
		return "✗ **FAIL**"
	case Warned:
		return "! warning"
	}
	return "– skipped"
}

func share(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

func throughput(p Phase) string {
	switch {
	case p.Bytes > 0 && p.Took > 0:
		return fmt.Sprintf("%s, %s/s", humanize.IBytes(uint64(p.Bytes)), humanize.IBytes(uint64(p.Rate())))
	case p.Rows > 0 && p.Took > 0:
		return fmt.Sprintf("%s rows, %s/s", humanize.Comma(p.Rows), humanize.Comma(int64(float64(p.Rows)/p.Took.Seconds())))
	}
	return ""
}

// cell keeps a text inside its cell.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\r", " ", "\n", " ", "<", "&lt;").Replace(s)
}

func orNone(s string) string {
	if s == "" {
		return "none, it is the first"
	}
	return s
}
