package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/notify"
)

// toldService is a service that remembers what it is told, by path.
func toldService(t *testing.T) (url string, told func() map[string]string) {
	t.Helper()
	var mu sync.Mutex
	got := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = r.Header.Get("Authorization") + string(body)
		if strings.HasPrefix(r.URL.Path, "/gone") {
			http.Error(w, "no such hook "+r.URL.Path, http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, func() map[string]string {
		mu.Lock()
		defer mu.Unlock()
		return got
	}
}

// notifyFile is a configuration that refers to secrets by files.
func notifyFile(t *testing.T, url, chat string) string {
	t.Helper()
	dir := t.TempDir()
	for name, secret := range map[string]string{"token": "Bearer token-of-ops\n", "chat": url + chat + "\n", "ping": url + "/ping/uuid"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "envdb.yaml")
	text := `project: acme
store: {url: store}
environments:
  prod: {tier: production, url: "${PROD_DATABASE_URL}", backup: {ladder: [1h, 1d]}}
notifications:
  - {name: ops, webhook: {url: "` + url + `/ops", headers: {Authorization: "file:token"}}, events: [failing, recovered]}
  - {name: chat, slack: {url: "file:chat"}, environments: ["prod*"], digest: "CRON_TZ=UTC 0 8 * * *"}
  - {name: pings, ping: {url: "file:ping"}, jobs: [backup/prod]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNotifyTest(t *testing.T) {
	t.Parallel()
	url, told := toldService(t)
	stdout, stderr, code := execute(t, "--config", notifyFile(t, url, "/services/secret-of-chat"), "notify", "test", "-o", "json")
	if code != 0 || stderr != "" {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var list toldList
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range list.Notifications {
		if !one.Told || one.Took == "" {
			t.Errorf("%+v", one)
		}
		names = append(names, one.Name+" "+one.Channel)
	}
	if got, want := strings.Join(names, ", "), "ops webhook, chat slack, pings ping"; got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	for path, want := range map[string]string{"/ops": `Bearer token-of-ops{"version":1,`, "/services/secret-of-chat": `{"text":"[acme] A test of envdb's notifications"`, "/ping/uuid/log": "A test of envdb's notifications"} {
		if !strings.HasPrefix(told()[path], want) {
			t.Errorf("%s got %q", path, told()[path])
		}
	}
}

func TestNotifyTestOfWhatIsGone(t *testing.T) {
	t.Parallel()
	url, _ := toldService(t)
	file := notifyFile(t, url, "/gone/secret-of-chat")
	stdout, stderr, code := execute(t, "--config", file, "notify", "test")
	if code != 8 {
		t.Errorf("exit code %d", code)
	}
	if strings.Contains(stdout+stderr, "secret-of-chat") {
		t.Errorf("shows a secret:\n%s%s", stdout, stderr)
	}
	for _, want := range []string{"chat   slack    NO", "ops    webhook  yes", "\nchat: " + strings.TrimPrefix(url, "http://") + ` answered 404 Not Found: "no such hook xxxxx"`, "\nNext: make a new address at the service"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	if want := "1 of 3 could not be told: chat"; !strings.Contains(stderr, want) || !strings.Contains(stderr, "Next: mend what is listed, and try again: envdb notify test chat") {
		t.Errorf("stderr %q", stderr)
	}
}

func TestNotifyTestOfOne(t *testing.T) {
	t.Parallel()
	url, told := toldService(t)
	file := notifyFile(t, url, "/services/secret-of-chat")
	if _, stderr, code := execute(t, "--config", file, "notify", "test", "pings"); code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if got := told(); len(got) != 1 || got["/ping/uuid/log"] == "" {
		t.Errorf("told %v", got)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nobody":     {[]string{"--config", scheduledConfig(t, scheduledFile), "notify", "test"}, 6, "the configuration has no notifications\nNext: add some"},
		"a stranger": {[]string{"--config", file, "notify", "test", "pager"}, 6, "there is no notification \"pager\"\nNext: name one of ops, chat, pings"},
		"no word":    {[]string{"notify"}, 2, "envdb notify: test is missing"},
		"two":        {[]string{"--config", file, "notify", "test", "a", "b"}, 2, `unexpected "b"`},
	} {
		if _, stderr, code := execute(t, c.args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, stderr %q", name, code, stderr)
		}
	}
}

// TestNotifyRoutes: every event that the configuration knows is a kind, and is
// told to whom the configuration says.
func TestNotifyRoutes(t *testing.T) {
	t.Parallel()
	c, err := config.Load(notifyFile(t, "http://127.0.0.1:1", "/x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	routes := notifyRoutes(c)
	for i, n := range c.Notifications() {
		for _, event := range config.Events() {
			for _, env := range []string{"prod", "prod-copy", "qa", ""} {
				e := notify.Event{Kind: notify.Kind(event), Environment: env}
				if e.Kind.Severity() == notify.SeverityInfo && event != config.EventDigest {
					t.Errorf("%s is no kind that the notifier knows", event)
				}
				if got, want := routes[i].Wants(e), n.Wants(event, env); got != want {
					t.Errorf("%s of %q to %s: %v, want %v", event, env, n.Name, got, want)
				}
			}
		}
		for _, job := range []string{"backup/prod", "mirror/prod-copy"} {
			if got, want := routes[i].WantsPing(notify.Ping{Job: job, Environment: "prod"}), n.WantsJob(job, "prod"); got != want {
				t.Errorf("%s to %s: %v, want %v", job, n.Name, got, want)
			}
		}
	}
}

// TestNotificationsOfTheDocumentation loads the example of docs/notifications.md.
func TestNotificationsOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "\n```yaml\n")
	example, _, found := strings.Cut(after, "```\n")
	if !found {
		t.Fatal("the page has no example")
	}
	c, err := config.Load(scheduledConfig(t, example), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range notifyRoutes(c) {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "chat pager mail watch" {
		t.Errorf("told: %s", got)
	}
}
