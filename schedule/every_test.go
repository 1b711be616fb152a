package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestEveryNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ every, anchor, from, want string }{
		"a sprint":                  {"14d", "2026-01-09", "2026-01-10T00:00:00Z", "01-23T00:00Z 02-06T00:00Z 02-20T00:00Z"},
		"two weeks are 14 days":     {"2w", "2026-01-09 18:00", "2026-01-09T17:59:59Z", "01-09T18:00Z 01-23T18:00Z 02-06T18:00Z"},
		"not before its anchor":     {"1d", "2026-06-01", "2026-01-01T00:00:00Z", "06-01T00:00Z 06-02T00:00Z 06-03T00:00Z"},
		"long after its anchor":     {"14d", "1999-01-01", "2026-01-01T00:00:00Z", "01-09T00:00Z 01-23T00:00Z 02-06T00:00Z"},
		"at one time, all the year": {"14d", "CRON_TZ=Europe/Berlin 2026-03-20 18:00", "2026-03-20T12:00:00Z", "03-20T17:00Z 04-03T16:00Z 04-17T16:00Z"},
		"hours are absolute":        {"36h", "CRON_TZ=Europe/Berlin 2026-03-28 12:00", "2026-03-28T00:00:00Z", "03-28T11:00Z 03-29T23:00Z 03-31T11:00Z"},
		"a skipped hour":            {"7d", "CRON_TZ=Europe/Berlin 2026-03-22 02:30", "2026-03-22T00:00:00Z", "03-22T01:30Z 03-29T01:00Z 04-05T00:30Z"},
		"an anchor that is skipped": {"7d", "CRON_TZ=Europe/Berlin 2026-03-29 02:30", "2026-03-22T00:00:00Z", "03-29T01:00Z 04-05T00:30Z 04-12T00:30Z"},
		"a repeated hour, once":     {"7d", "CRON_TZ=Europe/Berlin 2026-10-18 02:30", "2026-10-18T00:00:00Z", "10-18T00:30Z 10-25T00:30Z 11-01T01:30Z"},
		"asked within a repetition": {"7d", "CRON_TZ=Europe/Berlin 2026-10-18 02:30", "2026-10-25T01:10:00Z", "11-01T01:30Z 11-08T01:30Z 11-15T01:30Z"},
	} {
		e, err := schedule.ParseEvery(c.every, c.anchor)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, m := range e.Next(from, 3) {
			texts = append(texts, m.Format("01-02T15:04Z07:00"))
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestParseEveryRefuses(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]string{
		`every "": duration "" is empty`:                                                {"", "2026-01-09"},
		`every "-14d": duration "-14d" is negative`:                                     {"-14d", "2026-01-09"},
		`every "10s": the interval is shorter than 1m`:                                  {"10s", "2026-01-09"},
		`anchor "" is not a date, or a date and a time`:                                 {"14d", ""},
		`anchor "friday" is not a date, or a date and a time`:                           {"14d", "friday"},
		`anchor "2026-02-30" is not a date, or a date and a time`:                       {"14d", "2026-02-30"},
		`anchor "CRON_TZ=Mars 2026-01-09": zone: unknown time zone Mars`:                {"14d", "CRON_TZ=Mars 2026-01-09"},
		`anchor "CRON_TZ=Local 2026-01-09": the zone "Local" is not the name of a zone`: {"14d", "CRON_TZ=Local 2026-01-09"},
	} {
		_, err := schedule.ParseEvery(c[0], c[1])
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	var none schedule.Every
	if !none.IsZero() || none.String() != "" || none.Next(newYear, 5) != nil {
		t.Error("the zero Every fires")
	}
	e, err := schedule.ParseEvery("14d", "CRON_TZ=Europe/Berlin 2026-01-09 18:00")
	if err != nil || e.String() != "every 2w since 2026-01-09 18:00 Europe/Berlin" {
		t.Errorf("%s, %v", e, err)
	}
}
