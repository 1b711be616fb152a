package notify

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Line is what a digest says of an environment.
type Line struct {
	Environment string
	// Newest is the newest restore point; zero is none.
	Newest time.Time
	// OK and Failed are the runs since the last digest.
	OK, Failed int
	// Failing are the subjects that fail now.
	Failing []string
	// Bytes are what its backups take in the store.
	Bytes int64
}

// Digest returns the summary of the time since the last one, with a table of
// the environments.
func Digest(now, since time.Time, lines []Line) Event {
	e := Event{Kind: KindDigest, Subject: "digest", At: now, Since: since}
	failing, failed, ok := 0, 0, 0
	var bytes int64
	rows := [][]string{{"ENVIRONMENT", "NEWEST POINT", "AGE", "OK", "FAILED", "STORED", "FAILING NOW"}}
	for _, l := range lines {
		newest, age := "none", "-"
		if !l.Newest.IsZero() {
			newest, age = clock(l.Newest), span(now.Sub(l.Newest))
		}
		now := "-"
		if len(l.Failing) > 0 {
			now = listed(l.Failing)
			failing++
		}
		ok, failed, bytes = ok+l.OK, failed+l.Failed, bytes+l.Bytes
		rows = append(rows, []string{l.Environment, newest, age, fmt.Sprint(l.OK), fmt.Sprint(l.Failed), size(l.Bytes), now})
	}
	switch {
	case len(lines) == 0:
		e.Title, e.Text = "Nothing to report: there are no environments", "The configuration has no environments."
		return e
	case failing > 0:
		e.Title = fmt.Sprintf("%s, %d with trouble; %s ok, %d failed", counted(len(lines), "environment"), failing, counted(ok, "run"), failed)
	default:
		e.Title = fmt.Sprintf("%s, all well; %s ok, %d failed", counted(len(lines), "environment"), counted(ok, "run"), failed)
	}
	e.Fields = map[string]string{"stored": size(bytes)}
	e.Text = table(rows)
	return e
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// table writes rows in aligned columns, as many as a message takes.
func table(rows [][]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = line(cell)
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush() // into memory, which takes everything
	var lines []string
	for l := range strings.Lines(b.String()) {
		lines = append(lines, strings.TrimRight(l, " \n"))
	}
	const most = 60
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], fmt.Sprintf("and %d more: envdb status", more))
	}
	return strings.Join(lines, "\n")
}
