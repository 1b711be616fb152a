package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/config"
)

const notified = `
project: acme
store: {url: store}
environments:
  prod: {tier: production, url: "${PROD}", backup: {ladder: [1h]}, verify: {schedule: "CRON_TZ=UTC 0 5 * * *"}}
  qa: {tier: qa, url: "${QA}"}
  test-*: {tier: test, url: "postgres://localhost/test_{name}"}
expire: {schedule: "@hourly"}
notifications:
  - name: ops
    webhook: {url: env:HOOK_URL, headers: {Authorization: env:HOOK_TOKEN, X-Team: core}}
    environments: [prod, "test-*"]
  - name: chat
    slack: {url: "https://hooks.slack.com/services/${SLACK_PATH}"}
    events: [failing, recovered]
    digest: "CRON_TZ=UTC 0 8 * * *"
  - name: mail
    smtp: {server: smtp.example.com:587, from: "envdb <envdb@example.com>", to: [ops@example.com, "b@example.com"], username: envdb, password: env:SMTP_PASSWORD}
  - name: local
    smtp: {server: "localhost:25", from: envdb@example.com, to: [root@localhost], tls: none}
  - name: old
    smtp: {server: "smtp.example.com:465", from: envdb@example.com, to: [ops@example.com]}
  - name: pings
    ping: {url: "https://hc-ping.com/4b9a"}
    jobs: [backup/prod, "verify/*", expire]
  - name: all
    ping: {url: "http://localhost:8000/ping"}
    environments: [test-x]
`

func TestNotifications(t *testing.T) {
	t.Parallel()
	all := load(t, notified, "HOOK_URL=https://example.com/a", "HOOK_TOKEN=Bearer s3cret", "SLACK_PATH=T0/B0/s3cret", "SMTP_PASSWORD=s3cret").Notifications()
	if len(all) != 7 {
		t.Fatalf("%d notifications", len(all))
	}
	ops, chat, mail, local, old, pings, everything := all[0], all[1], all[2], all[3], all[4], all[5], all[6]
	for from, want := range map[config.Event][2]bool{
		config.EventFailing: {true, true}, config.EventRecovered: {true, true}, config.EventStale: {true, false},
		config.EventObjective: {true, false}, config.EventWarning: {true, false}, config.EventDigest: {false, true},
	} {
		if got := [2]bool{ops.Wants(from, "prod"), chat.Wants(from, "prod")}; got != want {
			t.Errorf("%s: %v", from, got)
		}
	}
	if ops.Wants(config.EventFailing, "qa") || !ops.Wants(config.EventFailing, "test-x") || !ops.Wants(config.EventWarning, "") || pings.Wants(config.EventFailing, "prod") {
		t.Error("somebody is told of what is not theirs")
	}
	for job, want := range map[string]bool{"backup/prod": true, "backup/qa": false, "verify/prod": true, "expire": true, "mirror/prod": false} {
		if got := pings.WantsJob(job, "prod"); got != want {
			t.Errorf("%s is told: %t", job, got)
		}
	}
	if everything.WantsJob("backup/prod", "prod") || !everything.WantsJob("backup/test-x", "test-x") || everything.WantsJob("expire", "") || ops.WantsJob("backup/prod", "prod") {
		t.Error("a ping is sent for what is not its own")
	}
	if chat.Digest.Text != "CRON_TZ=UTC 0 8 * * *" || !ops.Digest.IsZero() {
		t.Errorf("digests %q, %q", chat.Digest, ops.Digest)
	}
	if mail.SMTP.TLS != config.StartTLS || local.SMTP.TLS != config.NoTLS || old.SMTP.TLS != config.FullTLS || !local.SMTP.Password.IsZero() {
		t.Errorf("mail by %s, %s and %s", mail.SMTP.TLS, local.SMTP.TLS, old.SMTP.TLS)
	}
	if !slices.Equal(mail.SMTP.To, []string{"ops@example.com", "b@example.com"}) || mail.SMTP.Server != "smtp.example.com:587" {
		t.Errorf("mail is %+v", mail.SMTP)
	}
	for secret, want := range map[*config.Secret]string{
		&ops.Webhook.URL: "https://example.com/a", ptr(ops.Webhook.Headers["Authorization"]): "Bearer s3cret", ptr(ops.Webhook.Headers["X-Team"]): "core",
		&chat.Slack.URL: "https://hooks.slack.com/services/T0/B0/s3cret", &mail.SMTP.Username: "envdb", &mail.SMTP.Password: "s3cret",
		&local.SMTP.Password: "", &pings.Ping.URL: "https://hc-ping.com/4b9a",
	} {
		if got, err := secret.Reveal(); got != want || err != nil {
			t.Errorf("%s is %q, %v", secret, got, err)
		}
	}
}

func ptr(s config.Secret) *config.Secret { return &s }

// TestSecretsAreNotShown prints notifications in every way that a program may
// do so by mistake.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, n := range load(t, strings.ReplaceAll(notified, "X-Team: core", "X-Team: s3cret"), "HOOK_TOKEN=s3cret", "SLACK_PATH=s3cret", "SMTP_PASSWORD=s3cret", "HOOK_URL=https://s3cret").Notifications() {
		var b bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&b, nil))
		log.Info("told", "notification", n)
		asJSON, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(asJSON)
		fmt.Fprintf(&b, "%v %+v %#v", n, n, n)
		for _, part := range []any{n.Webhook, n.Slack, n.SMTP, n.Ping} {
			fmt.Fprintf(&b, "%v %+v %#v", part, part, part)
		}
		if n.Webhook != nil {
			log.Info("told", "url", n.Webhook.URL, "headers", n.Webhook.Headers)
			if !strings.Contains(b.String(), "env:HOOK_URL") {
				t.Errorf("%s does not say where its URL is", n.Name)
			}
		}
		for _, shown := range []string{"s3cret", "hc-ping.com", "services"} {
			if strings.Contains(b.String(), shown) {
				t.Errorf("%s shows %s: %s", n.Name, shown, b.String())
			}
		}
	}
}

func TestSecretsAreResolvedWhenTheyAreNeeded(t *testing.T) {
	t.Parallel()
	all := load(t, notified, "HOOK_URL=postgres://h/db", "HOOK_TOKEN=a\nb").Notifications()
	for want, secret := range map[string]config.Secret{
		"envdb.yaml:11:20: notifications[0].webhook.url: what it refers to is not the URL of a service":              all[0].Webhook.URL,
		"envdb.yaml:11:59: notifications[0].webhook.headers.Authorization: what it refers to has more than one line": all[0].Webhook.Headers["Authorization"],
		"envdb.yaml:14:18: notifications[1].slack.url: the variable SLACK_PATH is not set":                           all[1].Slack.URL,
		"envdb.yaml:18:144: notifications[2].smtp.password: the variable SMTP_PASSWORD is not set":                   all[2].SMTP.Password,
	} {
		held, err := secret.Reveal()
		if err == nil || held != "" {
			t.Errorf("got %q, want %s", held, want)
			continue
		}
		if line, _, _ := strings.Cut(err.Error(), "\n"); line != want {
			t.Errorf("got %s, want %s", line, want)
		}
		if strings.Contains(want, "not set") != errors.Is(err, config.ErrUnset) {
			t.Errorf("%v is of another kind", err)
		}
	}
}

// TestVariablesOfNotificationsAreKnown: a variable that the file refers to is
// not taken for a misspelt one of envdb's.
func TestVariablesOfNotificationsAreKnown(t *testing.T) {
	t.Parallel()
	c := load(t, small+"notifications: [{name: a, slack: {url: env:ENVDB_HOM}}]\n", "ENVDB_HOM=x")
	if len(c.Warnings) != 0 {
		t.Errorf("warnings %v", c.Warnings)
	}
	c = load(t, small+"notifications: [{name: a, webhook: {url: \"http://example.com/x\"}}, {name: b, webhook: {url: \"http://127.0.0.1/x\"}}]\n")
	if len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0].String(), "envdb.yaml:7: notifications[0].webhook.url is http: ") {
		t.Errorf("warnings %v", c.Warnings)
	}
}
