package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

// written is a secret as a test has it.
type written string

func (w written) Reveal() (string, error) { return string(w), nil }

// unset is a secret whose reference leads nowhere.
type unset struct{}

func (unset) Reveal() (string, error) {
	return "", envdb.Fail(envdb.ErrMisuse, "HOOK_URL is not set").WithNext("set HOOK_URL")
}

const (
	secretPath  = "/services/T0/B1/verysecretpath"
	secretToken = "verysecrettoken"
)

// received is a request that a service got.
type received struct {
	path, query string
	header      http.Header
	body        []byte
}

// service answers every request in the same way, and remembers it.
type service struct {
	*httptest.Server
	requests chan received
}

func serve(t *testing.T, answer http.HandlerFunc) *service {
	t.Helper()
	s := &service{requests: make(chan received, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		s.requests <- received{r.URL.Path, r.URL.RawQuery, r.Header, body}
		answer(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *service) one(t *testing.T) received {
	t.Helper()
	select {
	case r := <-s.requests:
		return r
	default:
		t.Fatal("the service got nothing")
		return received{}
	}
}

func webhook(url string) notify.Webhook {
	return notify.Webhook{Endpoint: notify.Endpoint{URL: written(url + secretPath + "?key=verysecretkey"), Headers: map[string]notify.Secret{"Authorization": written("Bearer " + secretToken + "\n")}}}
}

// failing is an event with all that an event can have.
func failing() notify.Event {
	return notify.Event{
		Kind: notify.KindFailing, Subject: "backup/prod", Environment: "prod", At: time.Date(2026, 11, 20, 2, 2, 0, 0, time.UTC), Since: start,
		Title: "prod: unreachable", Text: "connect to db1:5432: connection refused", Next: "see whether db1 runs; `envdb doctor` shows more",
		Run: "20261120-020200-123abcde", Alarm: "5f0c8a7be1d2c3b4a5968778695a4b3c", Project: "acme", Sender: "backup1",
		Fields: map[string]string{"failures": "3", "affected": "backup/prod"}, Links: map[string]string{"runbook": "https://example.com/runbook"},
	}
}

// checkProblem holds an error to what a person needs, and to what must not be
// in it.
func checkProblem(t *testing.T, err error, kind error, want string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	state, next := envdb.Advice(err)
	if state == "" || next == "" {
		t.Errorf("state %q, next %q", state, next)
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("%v is not %v", err, kind)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q in it", err, want)
	}
	for _, e := range chain(err) {
		for _, shown := range []string{e.Error(), next, state} {
			if strings.Contains(shown, "verysecret") {
				t.Errorf("a secret is in %q", shown)
			}
		}
	}
}

// chain returns an error and all that it wraps.
func chain(err error) []error {
	all := []error{err}
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		if inner := x.Unwrap(); inner != nil {
			all = append(all, chain(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			all = append(all, chain(inner)...)
		}
	}
	return all
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	if err := webhook(s.URL).Send(t.Context(), failing()); err != nil {
		t.Fatal(err)
	}
	got := s.one(t)
	if got.path != secretPath || got.query != "key=verysecretkey" {
		t.Errorf("sent to %s?%s", got.path, got.query)
	}
	for name, want := range map[string]string{"Authorization": "Bearer " + secretToken, "Content-Type": "application/json", "Idempotency-Key": failing().ID()} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	golden(t, "webhook.json", indented(t, got.body))
}

func TestSlack(t *testing.T) {
	t.Parallel()
	hostile := failing()
	hostile.Title = "<!channel> @everyone & <https://evil.example|db>\r\nsecond line \x1b[31m"
	hostile.Text = "```<@U123>``` \u202edb\u2028 \xff"
	hostile.Fields = map[string]string{"a <b>": "@here"}
	for name, e := range map[string]notify.Event{
		"slack.json":         failing(),
		"slack-hostile.json": hostile,
		"slack-digest.json":  notify.Digest(start, start.Add(-envdb.Day), digestLines()),
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") })
		slack := notify.Slack{Endpoint: notify.Endpoint{URL: written(s.URL + secretPath)}}
		if err := slack.Send(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		body := s.one(t).body
		golden(t, name, indented(t, body))
	}
}

func TestSlackOfAnyLength(t *testing.T) {
	t.Parallel()
	s := serve(t, status(200, "ok"))
	long := failing()
	long.Text, long.Title, long.Next = strings.Repeat("ü", 1<<20), strings.Repeat("<ü\n", 1<<20), strings.Repeat("&", 1<<20)
	long.Fields = map[string]string{}
	for i := range 1000 {
		long.Fields[strings.Repeat("x", i)] = long.Text
	}
	for _, channel := range []notify.Channel{webhook(s.URL), notify.Slack{Endpoint: notify.Endpoint{URL: written(s.URL)}}} {
		if err := channel.Send(t.Context(), long); err != nil {
			t.Fatal(err)
		}
		if body := s.one(t).body; len(body) > 128<<10 || !json.Valid(body) {
			t.Errorf("%d bytes", len(body))
		}
	}
}

func indented(t *testing.T, body []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, body, "", "  "); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return b.String() + "\n"
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		kind   error
		want   string
	}{
		{"500", status(500, "boom"), envdb.ErrUnreachable, `answered 500 Internal Server Error: "boom"`},
		{"429", status(429, ""), envdb.ErrUnreachable, "answered 429 Too Many Requests"},
		{"404 that sends the secrets back", status(404, "no "+secretPath+"?key=verysecretkey for Bearer "+secretToken), nil, `answered 404 Not Found: "no xxxxx for xxxxx"`},
		{"401", status(401, secretToken), nil, `answered 401 Unauthorized: "xxxxx"`},
		{"400 with a long answer", status(400, strings.Repeat("é", 5000)), nil, strings.Repeat("é", 98) + "…"},
		{"400 with what is no text", status(400, "\xff\x00\x1b[2J"), nil, `\x00\x1b[2J`},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, envdb.ErrUnreachable, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, c.answer)
			err := webhook(s.URL).Send(t.Context(), failing())
			checkProblem(t, err, c.kind, c.want)
			if len(err.Error()) > 300 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func status(code int, answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, answer)
	}
}

// TestRedirects: nothing that may be secret goes to another host, and what is
// followed with a GET told nobody anything.
func TestRedirects(t *testing.T) {
	t.Parallel()
	other := serve(t, status(200, ""))
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/verysecretplace", code)
		})
		err := webhook(s.URL).Send(t.Context(), failing())
		checkProblem(t, err, nil, "leads to "+other.URL)
	}
	if len(other.requests) != 0 {
		t.Errorf("the other host got %v", <-other.requests)
	}
	for code, arrives := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/moved" {
				http.Redirect(w, r, "/moved", code)
			}
		})
		err := webhook(s.URL).Send(t.Context(), failing())
		first := s.one(t)
		if !arrives {
			checkProblem(t, err, nil, "and leads to")
			continue
		}
		if err != nil {
			t.Errorf("%d on the same host: %v", code, err)
			continue
		}
		second := s.one(t)
		if second.path != "/moved" || !bytes.Equal(first.body, second.body) || second.header.Get("Authorization") == "" {
			t.Errorf("%d on the same host: %s got %d bytes", code, second.path, len(second.body))
		}
	}
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})
	checkProblem(t, webhook(loop.URL).Send(t.Context(), failing()), nil, "and leads to")
}

func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(status(200, ""))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	checkProblem(t, webhook(s.URL).Send(t.Context(), failing()), envdb.ErrUnreachable, "its certificate is not to be trusted")
	trusting := webhook(s.URL)
	trusting.Transport = s.Client().Transport
	if err := trusting.Send(t.Context(), failing()); err != nil {
		t.Error(err)
	}
}

func TestSlowService(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-released })
	defer close(released)
	slow := webhook(s.URL)
	slow.Timeout = 30 * time.Millisecond
	checkProblem(t, slow.Send(t.Context(), failing()), envdb.ErrUnreachable, "did not answer in 30ms")

	ctx, cancel := context.WithCancel(t.Context())
	sent := make(chan error)
	<-s.requests
	go func() { sent <- webhook(s.URL).Send(ctx, failing()) }()
	<-s.requests
	cancel()
	checkProblem(t, <-sent, context.Canceled, "canceled")
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := serve(t, status(200, ""))
	s.Close()
	checkProblem(t, webhook(s.URL).Send(t.Context(), failing()), envdb.ErrUnreachable, "refused")
}

func TestBadSecrets(t *testing.T) {
	t.Parallel()
	header := webhook("https://hooks.example.com")
	header.Headers = map[string]notify.Secret{"X-Token": written("verysecret\r\nX-Other: 1")}
	noHeader := webhook("https://hooks.example.com")
	noHeader.Headers = map[string]notify.Secret{"X-Token": unset{}}
	for name, c := range map[string]struct {
		webhook notify.Webhook
		want    string
	}{
		"no URL":           {notify.Webhook{Endpoint: notify.Endpoint{URL: written("https://verysecret:port:1/%zz")}}, "what should be the URL of a service is none"},
		"another scheme":   {notify.Webhook{Endpoint: notify.Endpoint{URL: written("file:///verysecret")}}, "what should be the URL of a service is none"},
		"empty":            {notify.Webhook{}, "what should be the URL of a service is none"},
		"unset":            {notify.Webhook{Endpoint: notify.Endpoint{URL: unset{}}}, "its URL: HOOK_URL is not set"},
		"a header of two":  {header, "the value of the header X-Token"},
		"a header unset":   {noHeader, "the header X-Token: HOOK_URL is not set"},
		"a control in URL": {notify.Webhook{Endpoint: notify.Endpoint{URL: written("https://hooks.example.com/very\x7fsecret")}}, "what should be the URL of a service is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkProblem(t, c.webhook.Send(t.Context(), failing()), envdb.ErrMisuse, c.want)
		})
	}
}

func TestPings(t *testing.T) {
	t.Parallel()
	const run = "20261120-020200-123abcde"
	s := serve(t, status(200, "OK"))
	pings := notify.Pings{Endpoint: notify.Endpoint{URL: written(s.URL + "/ping/secret-uuid?create=1")}}
	ping := notify.Ping{Job: "backup/prod", Environment: "prod", Run: run}
	var ids []string
	for _, c := range []struct {
		phase      notify.Phase
		body       string
		path, want string
	}{
		{notify.PhaseStart, "", "/ping/secret-uuid/start", "backup/prod\nrun " + run + "\n"},
		{notify.PhaseSuccess, "", "/ping/secret-uuid", "backup/prod\nrun " + run + "\n"},
		{notify.PhaseFail, "connection\x00 refused\r\nNext: start it", "/ping/secret-uuid/fail", "backup/prod\nrun " + run + "\nconnection  refused\nNext: start it\n"},
	} {
		ping.Phase, ping.Body = c.phase, c.body
		if err := pings.Ping(t.Context(), ping); err != nil {
			t.Fatal(err)
		}
		got := s.one(t)
		if got.path != c.path || string(got.body) != c.want {
			t.Errorf("%s: %s got %q", c.phase, got.path, got.body)
		}
		query, err := url.ParseQuery(got.query)
		if err != nil || query.Get("create") != "1" {
			t.Errorf("%s: query %s", c.phase, got.query)
		}
		ids = append(ids, query.Get("rid"))
	}
	// Canonical, of version 8: what healthchecks.io takes, and the same for one run.
	if ids[0] != ids[1] || ids[1] != ids[2] || len(ids[0]) != 36 || ids[0][14] != '8' || !strings.ContainsRune("89ab", rune(ids[0][19])) {
		t.Errorf("run ids: %v", ids)
	}
	if err := pings.Send(t.Context(), failing()); err != nil || len(s.requests) != 0 {
		t.Errorf("an event was sent as a ping: %v", err)
	}
	if err := pings.Send(t.Context(), notify.Event{Kind: notify.KindTest, Title: "test"}); err != nil {
		t.Error(err)
	}
	if got := s.one(t); got.path != "/ping/secret-uuid/log" {
		t.Errorf("a test was sent to %s", got.path)
	}
}

// TestPingsOfNothing: healthchecks.io says with status 200 that it knows no such
// check.
func TestPingsOfNothing(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{"OK (not found)": "it knows no such check", "OK (rate limited)": "rate limited"} {
		s := serve(t, status(200, answer))
		pings := notify.Pings{Endpoint: notify.Endpoint{URL: written(s.URL + "/verysecret")}}
		checkProblem(t, pings.Ping(t.Context(), notify.Ping{Job: "backup/prod", Phase: notify.PhaseSuccess}), nil, want)
	}
}
