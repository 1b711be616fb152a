package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

const scheduled = `
project: acme
store: {url: store}
daemon: {timeout: 3h}
expire: {schedule: "@hourly"}
environments:
  prod:
    tier: production
    url: "${PROD}"
    verify: {schedule: {cron: "CRON_TZ=UTC 0 6 * * 0", deadline: 2d}, read_data: true}
  qa:
    tier: qa
    url: "${QA}"
    reset: {schedule: "CRON_TZ=Europe/Berlin 0 3 * * 1-5"}
    seed: {fixtures: [fixtures/], schedule: {cron: "CRON_TZ=UTC 30 2 * * *", missed: skip, deadline: 2h, jitter: 10m}}
  staging-future:
    tier: staging
    url: "${FUTURE}"
    mirror: {schedule: {every: 14d, anchor: "CRON_TZ=Europe/Berlin 2026-01-09 18:00"}, from: qa}
    migrations: {directory: db/migrations, schedule: "@every 6h"}
`

func TestJobs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, j := range load(t, scheduled).Jobs() {
		fmt.Fprintf(&b, "%s|%s|%s|%s|%s|%s|%t\n", j.Name, j.Operation, j.Environment, j.Source, j.Schedule, envdb.FormatDuration(j.Deadline), j.ReadData)
	}
	want := `verify/prod|verify|prod||CRON_TZ=UTC 0 6 * * 0, deadline 2d|2d|true
reset/qa|reset|qa||CRON_TZ=Europe/Berlin 0 3 * * 1-5|3h|false
seed/qa|seed|qa||CRON_TZ=UTC 30 2 * * *, missed skip, deadline 2h, jitter 10m|2h|false
mirror/staging-future|mirror|staging-future|qa|every 2w since 2026-01-09 18:00 Europe/Berlin|3h|false
migrate/staging-future|migrate|staging-future||@every 6h|3h|false
expire|expire|||CRON_TZ=UTC @hourly|3h|false
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestWhatScheduledJobsSay(t *testing.T) {
	t.Parallel()
	c := load(t, scheduled)
	prod, qa := c.Environments()[0], c.Environments()[1]
	if !prod.Verify.ReadData || prod.Verify.Schedule.Zone() != time.UTC {
		t.Errorf("verify is %+v", prod.Verify)
	}
	terms := schedule.Terms{Missed: schedule.Skip, Deadline: 2 * time.Hour, Jitter: 10 * time.Minute}
	if qa.Seed.Schedule.Terms != terms || qa.Reset.Schedule.Terms != (schedule.Terms{Missed: schedule.RunOnce}) {
		t.Errorf("terms of the seed %+v, of the reset %+v", qa.Seed.Schedule.Terms, qa.Reset.Schedule.Terms)
	}
	if zone := qa.Reset.Schedule.Zone().String(); zone != "Europe/Berlin" {
		t.Errorf("the reset is in %s", zone)
	}
	if (config.Schedule{}).Zone() != nil || !prod.Mirror.Schedule.IsZero() || prod.Mirror.Schedule.String()+prod.Mirror.Schedule.Fingerprint() != "" {
		t.Errorf("no schedule is %q", prod.Mirror.Schedule)
	}
	// Ten days before and after the end of the first sprint.
	for _, j := range c.Jobs() {
		calendar, err := j.Schedule.Calendar(j.Name)
		if err != nil || len(calendar.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 2)) != 2 {
			t.Errorf("%s has no turns: %v", j.Name, err)
		}
	}
	sprint := c.Environments()[2].Mirror.Schedule.Moments.Next(time.Date(2026, 3, 21, 0, 0, 0, 0, time.UTC), 1)[0]
	if want := time.Date(2026, 4, 3, 16, 0, 0, 0, time.UTC); !sprint.Equal(want) {
		t.Errorf("the sprint ends at %s, want %s", sprint, want)
	}
}

// TestFingerprints: what names one calendar has one fingerprint.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	fingerprint := func(said string) string {
		c := load(t, small+"expire: {schedule: "+said+"}\n")
		print := c.Expire.Schedule.Fingerprint()
		if len(print) != 16 || strings.Trim(print, "0123456789abcdef") != "" {
			t.Errorf("%s has the fingerprint %q", said, print)
		}
		return print
	}
	same := []string{
		`"CRON_TZ=UTC 0 4 * * *"`, `"TZ=UTC  0 4 * * *"`, `"0 4 * * *"`, `{cron: "CRON_TZ=UTC 0 4 * * *"}`,
		`{cron: "CRON_TZ=UTC 0 4 * * *", missed: skip, deadline: 1h, jitter: 1m}`,
	}
	for _, said := range same[1:] {
		if fingerprint(said) != fingerprint(same[0]) {
			t.Errorf("%s and %s are two calendars", said, same[0])
		}
	}
	if fingerprint(`{every: 14d, anchor: 2026-01-09}`) != fingerprint(`{every: 2w, anchor: "CRON_TZ=UTC 2026-01-09 00:00"}`) {
		t.Error("14d and 2w are two calendars")
	}
	var others []string
	for _, said := range []string{same[0], `"CRON_TZ=UTC 0 5 * * *"`, `"CRON_TZ=Europe/Berlin 0 4 * * *"`, `"@every 6h"`, `{every: 14d, anchor: 2026-01-09}`, `{every: 14d, anchor: 2026-01-10}`} {
		print := fingerprint(said)
		if slices.Contains(others, print) {
			t.Errorf("%s has the fingerprint of another calendar", said)
		}
		others = append(others, print)
	}
}

// TestExpressionsThatOthersTripOver: each of these surprised somebody in
// another tool. They are refused, and the error says where they stand.
func TestExpressionsThatOthersTripOver(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		`"TZ=UTC"`:                    `: schedule "TZ=UTC": there are no fields`,
		`"CRON_TZ=UTC"`:               `: schedule "CRON_TZ=UTC": there are no fields`,
		`"CRON_TZ="`:                  `: schedule "CRON_TZ=": the zone "" is not the name of a zone`,
		`"@every -5m"`:                `: schedule "@every -5m": duration "-5m" is negative`,
		`"@every 0"`:                  `: schedule "@every 0": the interval is shorter than 1m`,
		`"@every"`:                    `: schedule "@every": duration "" is empty`,
		`"0 0 31 2 *"`:                `: schedule "0 0 31 2 *" never fires: there is no such day`,
		`"CRON_TZ=UTC 0 0 30 2 *"`:    `: schedule "CRON_TZ=UTC 0 0 30 2 *" never fires: there is no such day`,
		`""`:                          ` is empty`,
		`" "`:                         `: schedule " ": there are no fields`,
		`~`:                           ` has no value`,
		`"CRON_TZ=Nowhere 0 4 * * *"`: `: schedule "CRON_TZ=Nowhere 0 4 * * *": zone: unknown time zone Nowhere`,
		`"@reboot"`:                   `: schedule "@reboot": unrecognized descriptor: @reboot`,
		`"*/0 * * * *"`:               `: schedule "*/0 * * * *": step of range should be a positive number: */0`,
	} {
		text := "project: acme\nstore: {url: s}\nenvironments:\n  prod: {tier: production, url: \"${P}\"}\n  qa:\n    tier: qa\n    url: ${Q}\n    mirror:\n      from: prod\n      schedule: " + expr + "\n"
		_, err := place(t, text).Load("", nil)
		if err == nil {
			t.Errorf("%s is taken", expr)
			continue
		}
		line, _, _ := strings.Cut(err.Error(), "\n")
		if line != "envdb.yaml:10:17: environments.qa.mirror.schedule"+want {
			t.Errorf("%s: %s", expr, line)
		}
	}
}

func TestSchedulesThatWarn(t *testing.T) {
	t.Parallel()
	c := load(t, `
project: acme
store: {url: s}
environments:
  prod: {tier: production, url: "${P}"}
  qa:
    tier: qa
    url: "${Q}"
    mirror: {from: prod, schedule: "@daily"}
    seed: {fixtures: [f/], schedule: {every: 14d, anchor: 2026-01-09 18:00}}
    quiet: ["22:00-06:00", "Sat,Sun Europe/Berlin"]
`)
	var got []string
	for _, w := range append(c.Warnings, c.Notes...) {
		got = append(got, w.String())
	}
	want := []string{
		"envdb.yaml:9: environments.qa.mirror.schedule names no zone and is read in UTC; write CRON_TZ=… before it",
		"envdb.yaml:10: environments.qa.seed.schedule.anchor names no zone and is read in UTC; write CRON_TZ=… before it",
		"envdb.yaml:11: environments.qa.quiet[0] names no zone and is read in UTC; write it behind the hours",
		"envdb.yaml:9: environments.qa.mirror.from is prod, which has no ladder: by its schedule qa gets the newest backup that somebody took of it",
		"envdb.yaml:6: environments.qa has a schedule for its mirror and one for its seed: each replaces what the other made",
		"envdb.yaml:9: ladders and schedules are kept by `envdb daemon`: it must run, on one machine or on several",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
