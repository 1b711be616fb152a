package envdb

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// The units that people write and time.Duration lacks. Both are spans of
// absolute time: a day is 24 hours, also when clocks change.
const (
	Day  = 24 * time.Hour
	Week = 7 * Day
)

// durationUnits are the units of ParseDuration, coarsest first.
var durationUnits = []struct {
	name string
	span time.Duration
}{
	{"w", Week},
	{"d", Day},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"µs", time.Microsecond},
	{"ns", time.Nanosecond},
}

// ParseDuration returns the span that s names: numbers with units, as in
// "90s", "1d12h" or "2w". It is time.ParseDuration with d and w, without signs.
func ParseDuration(s string) (time.Duration, error) {
	switch {
	case s == "":
		return 0, badDuration(s, "is empty")
	case s == "0":
		return 0, nil
	case strings.HasPrefix(s, "-"):
		return 0, badDuration(s, "is negative")
	}
	var total time.Duration
	for rest := s; rest != ""; {
		span, tail, why := leadingSpan(rest)
		if why == "" && total > math.MaxInt64-span {
			why = "is longer than 292 years"
		}
		if why != "" {
			return 0, badDuration(s, why)
		}
		total, rest = total+span, tail
	}
	return total, nil
}

// leadingSpan takes one number with its unit off the front of s. A non-empty
// why says what is wrong instead.
func leadingSpan(s string) (span time.Duration, rest, why string) {
	n := strings.IndexFunc(s, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if n < 0 {
		return 0, "", "has a number without a unit"
	}
	number, tail := s[:n], s[n:]
	value, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, "", "is not a number with a unit"
	}
	u := strings.IndexFunc(tail, func(r rune) bool { return r == '.' || (r >= '0' && r <= '9') })
	if u < 0 {
		u = len(tail)
	}
	unit, found := unitNamed(tail[:u])
	if !found {
		return 0, "", "has the unknown unit " + strconv.Quote(tail[:u])
	}
	if value*float64(unit) >= math.MaxInt64 {
		return 0, "", "is longer than 292 years"
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		return time.Duration(whole) * unit, tail[u:], ""
	}
	return time.Duration(math.Round(value * float64(unit))), tail[u:], ""
}

func unitNamed(name string) (time.Duration, bool) {
	for _, u := range durationUnits {
		if u.name == name {
			return u.span, true
		}
	}
	return 0, false
}

func badDuration(s, why string) error {
	return Fail(ErrMisuse, "duration %q %s", s, why).WithNext("write numbers with units, e.g. 90s, 15m, 6h, 7d, 2w or 1d12h")
}

// FormatDuration writes d as ParseDuration reads it, in as few units as it
// takes: "2w", "1d12h", "1m30s". Weeks are used for whole weeks only.
func FormatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d == math.MinInt64:
		return d.String()
	case d < 0:
		return "-" + FormatDuration(-d)
	case d%Week == 0:
		return strconv.FormatInt(int64(d/Week), 10) + "w"
	case d < time.Second:
		return d.String()
	}
	var b strings.Builder
	for _, u := range durationUnits[1:4] {
		if n := d / u.span; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.span
		}
	}
	if d > 0 {
		// What is left is less than a minute: Go writes it as 1.5s or 20ms.
		b.WriteString(d.String())
	}
	return b.String()
}
