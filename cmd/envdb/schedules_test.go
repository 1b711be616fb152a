package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/config"
)

const scheduledFile = `project: acme
store: {url: store}
expire: {schedule: "@every 6h"}
environments:
  prod:
    tier: production
    url: ${PROD_DATABASE_URL}
    backup: {ladder: [1h, 1d]}
    quiet: ["00:00-05:00 UTC"]
    verify: {schedule: {cron: "CRON_TZ=UTC 0 3 * * 0", deadline: 2d}, read_data: true}
  prod-copy:
    tier: production-copy
    url: ${PROD_COPY_DATABASE_URL}
    mirror: {from: prod, schedule: {cron: "CRON_TZ=Europe/Berlin 30 2 * * *", deadline: 4h, jitter: 10m}}
    quiet: ["Sun 00:00-04:00 UTC", "Mon 00:00-12:00 UTC", "Tue 02:00-03:00 Europe/Berlin"]
  qa:
    tier: qa
    url: ${QA_DATABASE_URL}
    seed: {fixtures: [fixtures/], schedule: {cron: "CRON_TZ=UTC 0 3 * * *", missed: skip}}
    quiet: ["Sat,Sun UTC"]
  staging-future:
    tier: staging
    url: ${STAGING_FUTURE_DATABASE_URL}
    mirror: {from: prod, schedule: {every: 14d, anchor: "CRON_TZ=Europe/Berlin 2026-01-09 18:00"}}
`

func scheduledConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "envdb.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSchedules needs no store and no server: none of the variables is set.
func TestSchedules(t *testing.T) {
	t.Parallel()
	file := scheduledConfig(t, scheduledFile)
	stdout, stderr, code := execute(t, "--config", file, "schedules", "--from", "2026-03-27T12:00:00Z", "-o", "json")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	golden(t, "schedules.json", stdout)
}

func TestSchedulesAsTable(t *testing.T) {
	t.Parallel()
	file := scheduledConfig(t, scheduledFile)
	stdout, stderr, code := execute(t, "--config", file, "schedules", "mirror/prod-copy")
	if code != 0 || stderr != "" || strings.Count(stdout, "\n") != 2+shownTurns || !strings.HasPrefix(stdout, "mirror/prod-copy: CRON_TZ=Europe/Berlin 30 2 * * *; missed: run-once; deadline: 4h; jitter: 10m; quiet: Sun 00:00-04:00 UTC; ") {
		t.Errorf("exit code %d, stderr %s, stdout:\n%s", code, stderr, stdout)
	}
	c, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := listSchedules(c, "", time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	renderSchedulesIn(&b, list, newYork)
	b.WriteString("\nIn UTC:\n\n")
	renderSchedulesIn(&b, list, time.UTC)
	golden(t, "schedules.txt", b.String())
}

func TestNoSchedules(t *testing.T) {
	t.Parallel()
	none := scheduledConfig(t, "project: acme\nstore: {url: store}\nenvironments: {qa: {tier: qa, url: \"${QA}\"}}\n")
	some := scheduledConfig(t, scheduledFile)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"none":         {[]string{"--config", none, "schedules"}, 0, "nothing has a schedule\nNext: docs/schedules.md"},
		"none as JSON": {[]string{"--config", none, "schedules", "-o", "json"}, 0, `"jobs": []`},
		"none of one":  {[]string{"--config", none, "schedules", "mirror/qa"}, 6, "there is no job \"mirror/qa\"\nNext: give one a schedule"},
		"another one":  {[]string{"--config", some, "schedules", "mirror/qa"}, 6, "Next: name one of verify/prod, mirror/prod-copy, seed/qa, mirror/staging-future, expire"},
		"two":          {[]string{"--config", some, "schedules", "a", "b"}, 2, `unexpected "b"`},
		"no moment":    {[]string{"--config", some, "schedules", "--from", "spring"}, 2, "\"spring\" is not a moment\nNext: write \"2026-03-28 12:00\""},
		"bad schedule": {[]string{"--config", scheduledConfig(t, strings.Replace(scheduledFile, "30 2 * * *", "0 0 31 2 *", 1)), "schedules"}, 2, "never fires: there is no such day"},
	} {
		stdout, stderr, code := execute(t, c.args...)
		if code != c.code || !strings.Contains(stdout+stderr, c.want) {
			t.Errorf("%s: exit code %d:\n%s%s", name, code, stdout, stderr)
		}
	}
}

// TestDocumentedSchedules holds the example of docs/schedules.md to what the
// command prints for the configuration that stands there.
func TestDocumentedSchedules(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "schedules.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, shown, _ := strings.Cut(string(text), "```\n$ envdb schedules mirror/staging-future --from \"2026-03-20 12:00\"\n")
	shown, _, _ = strings.Cut(shown, "```")
	var file string
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		if block, _, _ = strings.Cut(block, "```"); strings.Contains(block, "staging-future:") {
			file = scheduledConfig(t, block)
		}
	}
	c, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := listSchedules(c, "mirror/staging-future", time.Date(2026, 3, 20, 11, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	renderSchedulesIn(&b, list, berlin)
	if b.String() != shown {
		t.Errorf("got\n%swant\n%s", b.String(), shown)
	}
}
