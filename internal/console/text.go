package console

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"
)

// Bytes returns a size as "1.2 GiB".
func Bytes(n int64) string {
	if n < 0 {
		return "-" + humanize.IBytes(uint64(-n))
	}
	return humanize.IBytes(uint64(n))
}

// Count returns a number as "1,234,567".
func Count(n int64) string { return humanize.Comma(n) }

// Duration returns a time span in the two units that matter: "340ms", "12.3s",
// "4m05s", "3h07m", "2d4h".
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + Duration(-d)
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second-500*time.Microsecond:
		return d.Round(time.Millisecond).String()
	case d < time.Minute-50*time.Millisecond:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + "s"
	}
	d = d.Round(time.Second)
	hours, minutes, seconds := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", minutes, seconds)
	case d < day:
		return fmt.Sprintf("%dh%02dm", hours, minutes)
	}
	return fmt.Sprintf("%dd%dh", hours/24, hours%24)
}

// Age returns how long ago something was: "3m ago".
func Age(d time.Duration) string {
	switch {
	case d < -time.Second:
		return "in " + brief(-d)
	case d < time.Second:
		return "just now"
	}
	return brief(d) + " ago"
}

// brief returns the largest unit of a time span.
func brief(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for _, u := range units {
		if d >= u.size {
			return fmt.Sprintf("%d%s", d/u.size, u.name)
		}
	}
	return "0s"
}

// Time returns a moment in the terminal's zone, with UTC behind it.
func Time(t time.Time) string { return TimeIn(t, time.Local) }

// TimeIn returns a moment in a zone, with UTC behind it where that differs, and
// "-" for none.
func TimeIn(t time.Time, zone *time.Location) string {
	const date, clock = "2006-01-02", "15:04:05"
	if t.IsZero() {
		return "-"
	}
	local, utc := t.In(zone), t.UTC()
	name, offset := local.Zone()
	if offset == 0 {
		return utc.Format(date + " " + clock + " UTC")
	}
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		name = local.Format("-07:00")
	}
	form := clock
	if local.Format(date) != utc.Format(date) {
		form = date + " " + clock
	}
	return fmt.Sprintf("%s %s (%s UTC)", local.Format(date+" "+clock), name, utc.Format(form))
}

// Printable returns text with its control characters spelled out: a name in a
// database may hold what moves the cursor or rings the bell. Line breaks stay.
func Printable(text string) string {
	if !strings.ContainsFunc(text, unsafeRune) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unsafeRune(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// unsafeRune reports control characters, and those that turn the direction of
// writing around.
func unsafeRune(r rune) bool {
	return r != '\n' && r != '\t' && unicode.IsControl(r) ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// excerpt is lines of a file that an error shows, with their numbers, and the
// line with the caret.
var excerpt = regexp.MustCompile(`(\n+ *\d* +\|[^\n]*)+\n?`)

// oneLine returns text without line breaks. Lines of a file make no sense
// beside each other; the text before them says which are meant.
func oneLine(text string) string {
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(excerpt.ReplaceAllString(text, ""))
}
