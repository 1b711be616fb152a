package config_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

// quietHours returns the quiet hours of these windows.
func quietHours(t *testing.T, windows ...string) config.Quiet {
	t.Helper()
	c := load(t, "project: acme\nstore: {url: s}\nenvironments:\n  qa: {tier: qa, url: \"${Q}\", quiet: [\""+strings.Join(windows, `", "`)+"\"]}\n")
	return c.Environments()[0].Quiet
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	const berlin = "22:00-06:00 Europe/Berlin"
	for name, c := range map[string]struct {
		windows  []string
		at, want string // empty: not quiet
	}{
		"before":                   {[]string{berlin}, "2026-01-12T20:59:59Z", ""},
		"begins":                   {[]string{berlin}, "2026-01-12T21:00:00Z", "2026-01-13T05:00:00Z"},
		"after midnight":           {[]string{berlin}, "2026-01-13T00:30:00Z", "2026-01-13T05:00:00Z"},
		"ends":                     {[]string{berlin}, "2026-01-13T05:00:00Z", ""},
		"in summer":                {[]string{berlin}, "2026-07-13T20:00:00Z", "2026-07-14T04:00:00Z"},
		"night of spring":          {[]string{berlin}, "2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"},
		"night of autumn":          {[]string{berlin}, "2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"},
		"ends in the skipped hour": {[]string{"22:00-02:30 Europe/Berlin"}, "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"},
		"after the skipped hour":   {[]string{"22:00-02:30 Europe/Berlin"}, "2026-03-29T01:00:00Z", ""},
		"within the skipped hour":  {[]string{"02:15-02:45 Europe/Berlin"}, "2026-03-29T01:00:00Z", ""},
		"ends the first time":      {[]string{"22:00-02:30 Europe/Berlin"}, "2026-10-25T00:29:00Z", "2026-10-25T00:30:00Z"},
		"not the second time":      {[]string{"22:00-02:30 Europe/Berlin"}, "2026-10-25T01:15:00Z", ""},
		"begins the first time":    {[]string{"02:30-06:00 Europe/Berlin"}, "2026-10-25T01:15:00Z", "2026-10-25T05:00:00Z"},
		"weekend":                  {[]string{"Sat,Sun UTC"}, "2026-01-10T12:00:00Z", "2026-01-12T00:00:00Z"},
		"weekday":                  {[]string{"Sat,Sun UTC"}, "2026-01-09T23:59:59Z", ""},
		"weekend of spring":        {[]string{"sat-sunday Europe/Berlin"}, "2026-03-28T12:00:00Z", "2026-03-29T22:00:00Z"},
		"over the turn of a week":  {[]string{"Fri-Mon UTC"}, "2026-01-11T00:00:00Z", "2026-01-13T00:00:00Z"},
		"nights of weekdays":       {[]string{"Mon-Fri 20:00-07:00 UTC"}, "2026-01-10T03:00:00Z", "2026-01-10T07:00:00Z"},
		"no night of a weekday":    {[]string{"Mon-Fri 20:00-07:00 UTC"}, "2026-01-12T03:00:00Z", ""},
		"one after the other":      {[]string{"Mon-Fri 20:00-07:00 UTC", "Sat,Sun UTC", "Mon 00:00-07:00 UTC"}, "2026-01-09T21:00:00Z", "2026-01-12T07:00:00Z"},
		"of two zones":             {[]string{"22:00-06:00 UTC", "06:00-09:00 Europe/London"}, "2026-01-09T23:00:00Z", "2026-01-10T09:00:00Z"},
		"until midnight":           {[]string{"20:00-24:00 UTC"}, "2026-01-09T23:00:00Z", "2026-01-10T00:00:00Z"},
		"a zone far east":          {[]string{"00:00-01:00 Pacific/Kiritimati"}, "2026-01-09T10:30:00Z", "2026-01-09T11:00:00Z"},
		"a zone far west":          {[]string{"23:00-24:00 Pacific/Pago_Pago"}, "2026-01-10T10:30:00Z", "2026-01-10T11:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			until, quiet := quietHours(t, c.windows...).At(at)
			if quiet != (c.want != "") || quiet && until.Format(time.RFC3339) != c.want || !quiet && !until.IsZero() {
				t.Errorf("got %s, %t, want %s", until.Format(time.RFC3339), quiet, c.want)
			}
		})
	}
	if until, quiet := (config.Quiet(nil)).At(time.Now()); quiet || !until.IsZero() {
		t.Errorf("no quiet hours are quiet until %s", until)
	}
	if until, inside := (schedule.Window{}).At(time.Now()); inside || !until.IsZero() {
		t.Errorf("no window is one until %s", until)
	}
}

// TestQuietHoursEnd: who waits until quiet hours end does not wake up in them,
// and until then they do not stop.
func TestQuietHoursEnd(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		var quiet config.Quiet
		for range rapid.IntRange(1, 3).Draw(t, "windows") {
			days := rapid.SampledFrom([]string{"", "Mon-Fri ", "Sat,Sun ", "Wed "}).Draw(t, "days")
			clock := func(name string) string {
				minute := rapid.IntRange(0, 24*60-1).Draw(t, name)
				return time.Time{}.Add(time.Duration(minute) * time.Minute).Format("15:04")
			}
			from, to := clock("from"), clock("to")
			if from == to {
				continue
			}
			w, err := schedule.ParseWindow(days + from + "-" + to + " " + rapid.SampledFrom(zones).Draw(t, "zone"))
			if err != nil {
				t.Fatal(err)
			}
			quiet = append(quiet, w)
		}
		at := time.Unix(rapid.Int64Range(1_200_000_000, 2_000_000_000).Draw(t, "at"), 0).UTC()
		until, inside := quiet.At(at)
		if !inside {
			return
		}
		if until.Sub(at) >= 8*envdb.Day {
			return // they never end
		}
		if !until.After(at) {
			t.Fatalf("quiet at %s until %s", at, until)
		}
		if later, still := quiet.At(until); still {
			t.Fatalf("quiet at %s until %s, and then until %s", at, until, later)
		}
		between := at.Add(time.Duration(rapid.Int64Range(0, int64(until.Sub(at))-1).Draw(t, "between")))
		if end, still := quiet.At(between); !still || !end.Equal(until) {
			t.Fatalf("quiet at %s until %s, and at %s %t until %s", at, until, between, still, end)
		}
	})
}

func TestASleepingServerIsWokenByTheCoarsestRung(t *testing.T) {
	t.Parallel()
	c := load(t, `
project: acme
store: {url: s}
environments:
  awake: {tier: production, url: "${A}", backup: {ladder: [1h, 6h, 1d]}}
  asleep: {tier: production, url: "${B}", backup: {ladder: [1h, 6h, 1d]}, wake: false, stale_after: 3d}
  none: {tier: qa, url: "${C}", wake: false}
`)
	for i, want := range []struct {
		ladder string
		sleeps bool
		stale  time.Duration
	}{{"[1h, 6h, 1d]", false, 0}, {"[1d]", true, 3 * envdb.Day}, {"[]", true, 0}} {
		env := c.Environments()[i]
		if got := env.WakingLadder().String(); got != want.ladder || env.Sleeps != want.sleeps || env.StaleAfter != want.stale {
			t.Errorf("%s: %s, sleeps %t, stale after %s", env.Name, got, env.Sleeps, env.StaleAfter)
		}
	}
}
