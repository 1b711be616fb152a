package envdb_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "15m": 15 * time.Minute, "7d": 7 * envdb.Day, "2w": 14 * envdb.Day,
		"1d12h": 36 * time.Hour, "1.5h": 90 * time.Minute, "1w1d1h1m1s1ms": envdb.Week + envdb.Day + time.Hour + time.Minute + time.Second + time.Millisecond,
		"250ms": 250 * time.Millisecond, "3µs": 3 * time.Microsecond, "0.5d": 12 * time.Hour, "9223372036s": 9223372036 * time.Second,
	} {
		got, err := envdb.ParseDuration(text)
		if err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":               `duration "" is empty`,
		"7":              `duration "7" has a number without a unit`,
		"-5m":            `duration "-5m" is negative`,
		"7 d":            `duration "7 d" has the unknown unit " d"`,
		"d":              `duration "d" is not a number with a unit`,
		"1.2.3h":         `duration "1.2.3h" is not a number with a unit`,
		"3y":             `duration "3y" has the unknown unit "y"`,
		"1h30":           `duration "1h30" has a number without a unit`,
		"1e9d":           `duration "1e9d" has the unknown unit "e"`,
		"99999w":         `duration "99999w" is longer than 292 years`,
		"15000w1d15000w": `duration "15000w1d15000w" is longer than 292 years`,
	} {
		_, err := envdb.ParseDuration(text)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ParseDuration(%q): %v; want %s", text, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("ParseDuration(%q) gives no advice", text)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 7 * envdb.Day: "1w", 30 * envdb.Day: "30d", 36 * time.Hour: "1d12h", time.Hour: "1h", 90 * time.Second: "1m30s",
		1500 * time.Millisecond: "1.5s", 20 * time.Millisecond: "20ms", time.Minute + 500*time.Millisecond: "1m500ms", -time.Minute: "-1m",
	} {
		if got := envdb.FormatDuration(d); got != want {
			t.Errorf("FormatDuration(%d) = %s, want %s", d, got, want)
		}
	}
	if got := envdb.FormatDuration(math.MinInt64); got == "" {
		t.Error("the least duration has no text")
	}
}

func TestDurationsReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "d"))
		if rapid.Bool().Draw(t, "round") {
			want = want.Truncate(time.Minute)
		}
		text := envdb.FormatDuration(want)
		got, err := envdb.ParseDuration(text)
		// A fraction of a second goes through a float.
		if err != nil || (got-want).Abs() > time.Microsecond {
			t.Fatalf("%v is written %s and read %v, %v", want, text, got, err)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	f.Add("1d12h")
	f.Add("1.5w0.5")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := envdb.ParseDuration(s); err == nil && d < 0 {
			t.Errorf("ParseDuration(%q) = %d", s, d)
		}
	})
}
