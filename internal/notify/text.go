package notify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

// line returns s as one line of at most mostLine bytes: neither a header nor a
// terminal can be broken out of.
func line(s string) string { return lineOf(s, mostLine) }

func lineOf(s string, most int) string {
	s = atMost(s, 8*most)
	return cut(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unprintable(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))), " "), most)
}

// text returns s with its lines, and without what people cannot read.
func text(s string, most int) string {
	s = atMost(s, 8*most)
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unprintable(r) {
			return ' '
		}
		return r
	}, s)
	return cut(strings.TrimSpace(s), most)
}

// atMost returns the beginning of what is much too long anyway, so that nobody
// works on a megabyte for the sake of a line.
func atMost(s string, most int) string { return s[:min(len(s), most)] }

// unprintable reports whether a character is none that people read: controls,
// the ends of lines of Unicode, and what turns the direction of the others.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// cut shortens s to at most so many bytes, between two characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const gone = "…"
	end := most - len(gone)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + gone
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// clock writes a moment for people, who are in several zones.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// span writes a duration for people: two units say enough.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return envdb.FormatDuration(max(d, 0).Truncate(time.Second))
	case d < envdb.Day:
		return envdb.FormatDuration(d.Truncate(time.Minute))
	case d < 100*envdb.Day:
		d = d.Truncate(time.Hour)
	default:
		d = d.Truncate(envdb.Day)
	}
	days, rest := d/envdb.Day, d%envdb.Day
	if rest == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, envdb.FormatDuration(rest))
}

// size writes a number of bytes.
func size(n int64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	f, unit := float64(n)/1000, 0
	for f >= 999.95 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", f, units[unit])
}

// facts are what a message lists below its text.
func (e Event) facts() [][2]string {
	var facts [][2]string
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, [2]string{name, value})
		}
	}
	add("next", e.Next)
	add("environment", e.Environment)
	if !e.Since.IsZero() {
		add("since", clock(e.Since))
	}
	add("run", e.Run)
	for _, key := range sortedKeys(e.Fields) {
		add(key, e.Fields[key])
	}
	for _, key := range sortedKeys(e.Links) {
		add(key, e.Links[key])
	}
	if e.Dropped > 0 {
		add("not told", fmt.Sprintf("%d messages before this one could not be delivered", e.Dropped))
	}
	return facts
}

// from says which envdb tells it, and when it was.
func (e Event) from() string {
	words := []string{"envdb"}
	if e.Project != "" {
		words = append(words, e.Project)
	}
	if e.Sender != "" {
		words = append(words, "on "+e.Sender)
	}
	return strings.Join(append(words, "at "+clock(e.At)), " ")
}

// plain is the event as text.
func (e Event) plain() string {
	var b strings.Builder
	b.WriteString(e.Title + "\n")
	if e.Text != "" {
		b.WriteString("\n" + e.Text + "\n")
	}
	b.WriteString("\n")
	for _, f := range e.facts() {
		fmt.Fprintf(&b, "%s: %s\n", capital(f[0]), f[1])
	}
	return strings.TrimRight(b.String(), "\n") + "\n\n-- \n" + e.from() + "\n"
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
