package envdb_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParsePointReadsWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for text, want := range map[string]string{
		"latest":                    "latest",
		" latest ":                  "latest",
		"20261120-140500":           "20261120-140500",
		"2026-11-20T14:05:00Z":      "2026-11-20T14:05:00Z",
		"2026-11-20T14:05:00+01:00": "2026-11-20T13:05:00Z",
		"2026-11-20T14:05:00.25Z":   "2026-11-20T14:05:00.25Z",
		"2026-11-20 14:05":          "2026-11-20T13:05:00Z",
		"2026-11-20 14:05:30":       "2026-11-20T13:05:30Z",
		"2026-11-20T14:05":          "2026-11-20T13:05:00Z",
		"2026-11-20 14:05 UTC":      "2026-11-20T14:05:00Z",
		"2026-11-20 14:05Z":         "2026-11-20T14:05:00Z",
		"2026-11-20 14:05:06+02:00": "2026-11-20T12:05:06Z",
		"2026-07-20 14:05":          "2026-07-20T12:05:00Z", // summer time
		"t-1d":                      "2026-11-20T12:00:00Z",
		"t-90m":                     "2026-11-21T10:30:00Z",
		"t-0s":                      "2026-11-21T12:00:00Z",
		"1d ago":                    "2026-11-20T12:00:00Z",
		"1d 2h ago":                 "2026-11-20T10:00:00Z",
		"2w ago":                    "2026-11-07T12:00:00Z",
		"yesterday 14:05":           "2026-11-20T13:05:00Z",
		"today 09:00":               "2026-11-21T08:00:00Z",
	} {
		p, err := envdb.ParsePoint(text, noon, berlin)
		if err != nil || p.String() != want {
			t.Errorf("ParsePoint(%q) = %s, %v; want %s", text, p, err, want)
		}
	}
}

func TestParsePointRefusesWhatItWouldHaveToGuess(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for text, want := range map[string][2]string{
		"":                     {"the point is empty", `write latest, a backup id, t-1d, "1d ago", "2026-11-20 14:05" or 2026-11-20T14:05:00Z`},
		"newest":               {`"newest" is not a point`, `write latest, a backup id, t-1d, "1d ago", "2026-11-20 14:05" or 2026-11-20T14:05:00Z`},
		"2026-11-20":           {`point "2026-11-20" names a day, not a moment`, `write "2026-11-20 00:00" for the beginning of that day, or "2026-11-21 00:00" for its end`},
		"yesterday":            {`point "yesterday" names a day, not a moment`, `write "2026-11-20 00:00" for the beginning of that day, or "2026-11-21 00:00" for its end`},
		"2026-11-22T00:00:00Z": {`point "2026-11-22T00:00:00Z" is in the future: it is 2026-11-22 00:00:00 UTC, and now is 2026-11-21 12:00:00 UTC`, "name a moment in the past, or use latest"},
		"2026-03-29 02:30":     {`point "2026-03-29 02:30" does not exist in Europe/Berlin: its clocks skipped it`, "write the moment with an offset, e.g. 2026-03-29T03:30:00+02:00"},
		"2026-10-25 02:30":     {`point "2026-10-25 02:30" happened twice in Europe/Berlin`, "write 2026-10-25T02:30:00+02:00 for the first time, or 2026-10-25T02:30:00+01:00 for the second"},
		"20261399-140500":      {`backup id "20261399-140500": parsing time "20261399-140500": month out of range`, "an id looks like 20261120-140500; see `envdb backups ENV`"},
		"t-":                   {`duration "" is empty`, "write numbers with units, e.g. 90s, 15m, 6h, 7d, 2w or 1d12h"},
		"t--1d":                {`duration "-1d" is negative`, "write numbers with units, e.g. 90s, 15m, 6h, 7d, 2w or 1d12h"},
		"2026-02-30 10:00":     {`"2026-02-30 10:00" is not a point`, `write latest, a backup id, t-1d, "1d ago", "2026-11-20 14:05" or 2026-11-20T14:05:00Z`},
	} {
		_, err := envdb.ParsePoint(text, noon, berlin)
		if err == nil || err.Error() != want[0] || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ParsePoint(%q):\n got %v\nwant %s", text, err, want[0])
		}
		if _, next := envdb.Advice(err); next != want[1] {
			t.Errorf("ParsePoint(%q) advises:\n got %s\nwant %s", text, next, want[1])
		}
	}
}

func TestPointTellsWhatItIs(t *testing.T) {
	t.Parallel()
	var zero envdb.Point
	if !zero.IsLatest() || zero != envdb.Latest() {
		t.Error("the zero point is not the latest")
	}
	if id, named := envdb.AtBackup("20261120-140500").Backup(); !named || id != "20261120-140500" {
		t.Errorf("Backup() = %s, %v", id, named)
	}
	if _, dated := envdb.AtBackup("20261120-140500").Moment(); dated {
		t.Error("a backup id has a moment")
	}
	if at, dated := envdb.At(noon.In(zone(t, "Asia/Tokyo"))).Moment(); !dated || at != noon {
		t.Errorf("Moment() = %v, %v", at, dated)
	}
	if text, err := json.Marshal(envdb.At(noon)); err != nil || string(text) != `"2026-11-21T12:00:00Z"` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

// Zones change their clocks by half hours, at midnight and by whole days: a
// wall-clock time is read as the instant at which it was shown, or refused.
func TestLocalMomentsReadBack(t *testing.T) {
	t.Parallel()
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(1.2e9, noon.Unix()).Draw(t, "at"), 0)
		text := at.In(loc).Format(time.DateTime)
		p, err := envdb.ParsePoint(text, noon, loc)
		if err != nil {
			// Shown twice: within three hours another instant shows the same.
			for d := -3 * time.Hour; d <= 3*time.Hour; d += 30 * time.Minute {
				if d != 0 && at.Add(d).In(loc).Format(time.DateTime) == text {
					return
				}
			}
			t.Fatalf("%s in %s: %v", text, loc, err)
		}
		if got, _ := p.Moment(); !got.Equal(at) {
			t.Fatalf("%s in %s is read as %s, want %s", text, loc, got, at.UTC())
		}
	})
}

func FuzzParsePoint(f *testing.F) {
	for _, seed := range []string{"latest", "t-1d", "1d ago", "2026-11-20 14:05", "20261120-140500", "yesterday 10:00"} {
		f.Add(seed)
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := envdb.ParsePoint(s, noon, berlin)
		if err != nil {
			return
		}
		again, err := envdb.ParsePoint(p.String(), noon, time.UTC)
		if err != nil || again != p {
			t.Errorf("%q is %s, and that is read as %s, %v", s, p, again, err)
		}
	})
}
