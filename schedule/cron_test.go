package schedule_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func moments(c schedule.Cron, from string, n int) string {
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, m := range c.Next(at, n) {
		texts = append(texts, m.Format("01-02T15:04Z07:00"))
	}
	return strings.Join(texts, " ")
}

func TestCronNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ expr, from, want string }{
		"daily in UTC":        {"CRON_TZ=UTC 0 4 * * *", "2026-11-21T04:00:00Z", "11-22T04:00Z 11-23T04:00Z 11-24T04:00Z"},
		"TZ= is CRON_TZ=":     {"TZ=UTC 0 4 * * *", "2026-11-21T03:59:59Z", "11-21T04:00Z 11-22T04:00Z 11-23T04:00Z"},
		"without a zone: UTC": {"@daily", "2026-11-21T08:00:00Z", "11-22T00:00Z 11-23T00:00Z 11-24T00:00Z"},
		"in a zone":           {"CRON_TZ=Europe/Berlin 0 4 * * *", "2026-11-21T00:00:00Z", "11-21T03:00Z 11-22T03:00Z 11-23T03:00Z"},
		"asked in a zone":     {"CRON_TZ=Asia/Tokyo @midnight", "2026-11-21T00:00:00+01:00", "11-21T15:00Z 11-22T15:00Z 11-23T15:00Z"},
		"every 6h":            {"@every 6h", "2026-11-21T07:31:00Z", "11-21T12:00Z 11-21T18:00Z 11-22T00:00Z"},
		"every 7m is fixed":   {"@every 7m", "1970-01-01T00:00:00Z", "01-01T00:07Z 01-01T00:14Z 01-01T00:21Z"},
		"every, on its slot":  {"@every 1h", "2026-11-21T07:00:00Z", "11-21T08:00Z 11-21T09:00Z 11-21T10:00Z"},
		"before the epoch":    {"@every 1h", "1969-12-31T22:30:00Z", "12-31T23:00Z 01-01T00:00Z 01-01T01:00Z"},
		"leap days":           {"CRON_TZ=UTC 0 0 29 2 *", "2026-11-21T00:00:00Z", "02-29T00:00Z 02-29T00:00Z 02-29T00:00Z"},

		// Europe/Berlin goes from 02:00 to 03:00 on 29 March 2026, and from
		// 03:00 back to 02:00 on 25 October.
		"skipped hour, first instant":  {"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:00:00Z", "03-28T01:30Z 03-29T01:00Z 03-30T00:30Z"},
		"skipped hour, once":           {"CRON_TZ=Europe/Berlin */20 2 * * *", "2026-03-28T01:30:00Z", "03-28T01:40Z 03-29T01:00Z 03-30T00:00Z"},
		"skipped, met by a valid one":  {"CRON_TZ=Europe/Berlin 0 2,3 * * *", "2026-03-28T12:00:00Z", "03-29T01:00Z 03-30T00:00Z 03-30T01:00Z"},
		"repeated hour, first time":    {"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24T00:00:00Z", "10-24T00:30Z 10-25T00:30Z 10-26T01:30Z"},
		"repeated hour, asked between": {"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-25T01:00:00Z", "10-26T01:30Z 10-27T01:30Z 10-28T01:30Z"},
		"repeated hour, hourly":        {"CRON_TZ=Europe/Berlin 0 * * * *", "2026-10-24T22:30:00Z", "10-24T23:00Z 10-25T00:00Z 10-25T02:00Z"},
		// Midnight does not exist on the day that Sao Paulo's clocks go ahead.
		"no midnight": {"CRON_TZ=America/Sao_Paulo 0 0 * * *", "2018-11-03T00:00:00Z", "11-03T03:00Z 11-04T03:00Z 11-05T02:00Z"},
		// Samoa had no 30 December 2011.
		"no such day": {"CRON_TZ=Pacific/Apia 0 12 * * *", "2011-12-29T00:00:00Z", "12-29T22:00Z 12-30T10:00Z 12-30T22:00Z"},
	} {
		cron, err := schedule.ParseCron(c.expr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := moments(cron, c.from, 3); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func TestParseCronRefuses(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"":                            `schedule "": there are no fields`,
		"TZ=UTC":                      `schedule "TZ=UTC": there are no fields`,
		"CRON_TZ=UTC":                 `schedule "CRON_TZ=UTC": there are no fields`,
		"CRON_TZ= 0 4 * * *":          `schedule "CRON_TZ= 0 4 * * *": the zone "" is not the name of a zone`,
		"CRON_TZ=Local 0 4 * * *":     `schedule "CRON_TZ=Local 0 4 * * *": the zone "Local" is not the name of a zone`,
		"CRON_TZ=Nowhere/X 0 4 * * *": `schedule "CRON_TZ=Nowhere/X 0 4 * * *": zone: unknown time zone Nowhere/X`,
		"@every -5m":                  `schedule "@every -5m": duration "-5m" is negative`,
		"@every 0s":                   `schedule "@every 0s": the interval is shorter than 1m`,
		"@every 1ms":                  `schedule "@every 1ms": the interval is shorter than 1m`,
		"@every":                      `schedule "@every": duration "" is empty`,
		"@nightly":                    `schedule "@nightly": unrecognized descriptor: @nightly`,
		"0 0 31 2 *":                  `schedule "0 0 31 2 *" never fires: there is no such day`,
		"CRON_TZ=UTC 0 0 30 2 *":      `schedule "CRON_TZ=UTC 0 0 30 2 *" never fires: there is no such day`,
		"* * * *":                     `schedule "* * * *": expected exactly 5 fields, found 4: [* * * *]`,
		"61 * * * *":                  `schedule "61 * * * *": end of range (61) above maximum (59): 61`,
		"TZ=UTC TZ=UTC 0 4 * * *":     `schedule "TZ=UTC TZ=UTC 0 4 * * *": expected exactly 5 fields, found 6: [TZ=UTC 0 4 * * *]`,
	} {
		_, err := schedule.ParseCron(expr)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ParseCron(%q):\n got %v\nwant %s", expr, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("ParseCron(%q) gives no advice", expr)
		}
	}
}

func TestCronTellsItsZone(t *testing.T) {
	t.Parallel()
	for expr, zoned := range map[string]bool{"@daily": false, "0 4 * * *": false, "CRON_TZ=UTC 0 4 * * *": true, "@every 6h": true} {
		c, err := schedule.ParseCron(expr)
		if err != nil || c.Zoned() != zoned || c.Zone() != time.UTC || c.IsZero() || c.String() != expr {
			t.Errorf("%s: zoned %v in %s, %v", c, c.Zoned(), c.Zone(), err)
		}
	}
	var none schedule.Cron
	if !none.IsZero() || none.Zone() != time.UTC || none.Next(time.Now(), 3) != nil {
		t.Error("the zero Cron fires")
	}
}

// Moments grow, do not depend on where one starts to ask, and fall on minutes.
func TestCronMomentsAreFixed(t *testing.T) {
	t.Parallel()
	exprs := []string{"*/20 2 * * *", "0 * * * *", "30 2 * * 0", "0 0 1 * *", "15,45 1-3 * 3,10 *", "@every 17m"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.SampledFrom(exprs).Draw(t, "expr")
		if !strings.HasPrefix(expr, "@") {
			expr = "CRON_TZ=" + rapid.SampledFrom(zones).Draw(t, "zone") + " " + expr
		}
		c, err := schedule.ParseCron(expr)
		if err != nil {
			t.Fatal(err)
		}
		from := time.Unix(rapid.Int64Range(1.2e9, 1.9e9).Draw(t, "from"), 0)
		found := c.Next(from, 6)
		if len(found) != 6 || !found[0].After(from) {
			t.Fatalf("after %s: %v", from, found)
		}
		for i := range found[1:] {
			if !found[i+1].After(found[i]) {
				t.Fatalf("%v does not grow", found)
			}
		}
		if again := c.Next(found[0], 5); !slices.Equal(again, found[1:]) {
			t.Fatalf("after %s: %v, but after %s: %v", from, found, found[0], again)
		}
	})
}

func FuzzParseCron(f *testing.F) {
	for _, seed := range []string{"CRON_TZ=UTC 0 4 * * *", "@every 6h", "TZ=UTC", "0 0 29 2 *", "@daily", "*/7 1-5,9 ? * MON"} {
		f.Add(seed)
	}
	from := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, expr string) {
		c, err := schedule.ParseCron(expr)
		if err == nil && len(c.Next(from, 2)) != 2 {
			t.Errorf("%q does not fire twice", expr)
		}
	})
}
