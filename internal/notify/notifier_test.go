package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

// everything are the kinds of a channel that is told everything.
var everything = []notify.Kind{notify.KindFailing, notify.KindRecovered, notify.KindStale, notify.KindObjective, notify.KindWarning, notify.KindDigest}

// ear is a channel that a test listens with.
type ear struct {
	// send says what becomes of the nth attempt; nil takes everything.
	send func(ctx context.Context, n int) error

	attempts moments
	mu       sync.Mutex
	heard    []notify.Event
	pings    []notify.Ping
}

// moments are when something was tried.
type moments struct {
	mu  sync.Mutex
	all []time.Time
}

// add notes an attempt, and returns the how-manieth it is.
func (m *moments) add() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, time.Now())
	return len(m.all)
}

func (m *moments) get() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

func (e *ear) Send(ctx context.Context, event notify.Event) error {
	return e.take(ctx, func() { e.heard = append(e.heard, event) })
}

func (e *ear) take(ctx context.Context, note func()) error {
	n := e.attempts.add()
	if e.send != nil {
		if err := e.send(ctx, n); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	note()
	return nil
}

func (e *ear) subjects() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, event := range e.heard {
		all = append(all, event.Subject)
	}
	return all
}

// listener is an ear that hears of runs, too.
type listener struct{ ear }

func (l *listener) Ping(ctx context.Context, p notify.Ping) error {
	return l.take(ctx, func() { l.pings = append(l.pings, p) })
}

func down(context.Context, int) error { return errors.New("down") }

// running runs a notifier until the test has done its work, in virtual time.
func running(t *testing.T, c notify.Config, work func(n *notify.Notifier)) {
	t.Helper()
	n := notify.New(c)
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { n.Run(ctx) })
	work(n)
	stop()
	done.Wait()
}

// pass lets virtual time pass, and everybody do what they do until then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func about(subject string) notify.Event {
	return notify.Event{Kind: notify.KindFailing, Subject: subject, Environment: "prod", At: time.Now(), Title: subject + " fails"}
}

func TestNotifierRoutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all, prods, digests ear
		var pings, fewPings listener
		running(t, notify.Config{Project: "acme", Sender: "db1", Routes: []notify.Route{
			{Name: "all", Channel: &all, Kinds: everything},
			{Name: "prods", Channel: &prods, Kinds: []notify.Kind{notify.KindFailing, notify.KindStale}, Environments: []string{"prod", "prod-*"}},
			{Name: "digests", Channel: &digests, Kinds: []notify.Kind{notify.KindDigest}},
			{Name: "pings", Channel: &pings},
			{Name: "few pings", Channel: &fewPings, Jobs: []string{"backup/*"}, Environments: []string{"prod"}},
		}}, func(n *notify.Notifier) {
			for i, e := range []notify.Event{
				{Kind: notify.KindFailing, Environment: "prod"}, {Kind: notify.KindRecovered, Environment: "prod"}, {Kind: notify.KindStale, Environment: "prod-copy"},
				{Kind: notify.KindFresh, Environment: "prod-copy"}, {Kind: notify.KindFailing, Environment: "qa"}, {Kind: notify.KindFailing}, {Kind: notify.KindDigest},
				{Kind: notify.KindObjectiveMet, Environment: "qa"},
			} {
				e.Subject = fmt.Sprint(i)
				n.Notify(e)
			}
			for _, p := range []notify.Ping{{Job: "backup/prod", Environment: "prod"}, {Job: "mirror/prod", Environment: "prod"}, {Job: "backup/qa", Environment: "qa"}} {
				n.Ping(p)
			}
		})
		for name, c := range map[string]struct {
			heard *ear
			want  string
		}{"all": {&all, "0 1 2 3 4 5 6 7"}, "prods": {&prods, "0 2 3 5"}, "digests": {&digests, "6"}, "pings": {&pings.ear, ""}} {
			if got := strings.Join(c.heard.subjects(), " "); got != c.want {
				t.Errorf("%s heard %q, want %q", name, got, c.want)
			}
		}
		if len(pings.pings) != 3 || len(fewPings.pings) != 1 || fewPings.pings[0].Job != "backup/prod" {
			t.Errorf("pings %v, few %v", pings.pings, fewPings.pings)
		}
		if e := all.heard[0]; e.Project != "acme" || e.Sender != "db1" {
			t.Errorf("from %q on %q", e.Project, e.Sender)
		}
	})
}

// TestDeadChannel: one that never answers keeps nobody waiting, and says how
// many it has missed.
func TestDeadChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		revived := make(chan struct{})
		dead := &ear{send: func(ctx context.Context, _ int) error {
			select {
			case <-revived:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		var alive ear
		var done []string
		var mu sync.Mutex
		var logged bytes.Buffer
		running(t, notify.Config{Queue: 10, Log: slog.New(slog.NewTextHandler(&logged, nil)), Done: func(e notify.Event) {
			mu.Lock()
			defer mu.Unlock()
			done = append(done, e.Subject)
		}, Routes: []notify.Route{{Name: "dead", Channel: dead, Kinds: everything}, {Name: "alive", Channel: &alive, Kinds: everything}}}, func(n *notify.Notifier) {
			began := time.Now()
			for i := range 50 {
				n.Notify(about(fmt.Sprint(i)))
				synctest.Wait()
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("a dead channel kept the daemon for %s", took)
			}
			if got := alive.subjects(); len(got) != 50 {
				t.Errorf("the other channel got %d", len(got))
			}
			// One is under way, ten wait.
			if s := n.Status()[0]; s.Dropped != 39 || s.Queued != 10 || s.Delivered != 0 {
				t.Errorf("%+v", s)
			}
			close(revived)
			synctest.Wait()
		})
		if got, want := strings.Join(dead.subjects(), " "), "0 40 41 42 43 44 45 46 47 48 49"; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		if dead.heard[0].Dropped != 0 && dead.heard[1].Dropped != 39 || dead.heard[0].Dropped+dead.heard[1].Dropped != 39 || dead.heard[2].Dropped != 0 {
			t.Errorf("said to be dropped: %d, %d, %d", dead.heard[0].Dropped, dead.heard[1].Dropped, dead.heard[2].Dropped)
		}
		if n := strings.Count(logged.String(), "the oldest are dropped"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, logged.String())
		}
		if len(done) != 50 {
			t.Errorf("%d of 50 are done", len(done))
		}
	})
}

func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		flaky := &ear{send: func(ctx context.Context, n int) error {
			if n < 3 {
				return errors.New("down")
			}
			return nil
		}}
		var logged bytes.Buffer
		running(t, notify.Config{Log: slog.New(slog.NewTextHandler(&logged, nil)), Routes: []notify.Route{{Name: "flaky", Channel: flaky, Kinds: everything}}}, func(n *notify.Notifier) {
			n.Notify(about("a"))
			pass(4 * time.Second) // in virtual time: longer than both pauses
			if got := flaky.subjects(); len(got) != 1 || len(flaky.attempts.get()) != 3 {
				t.Errorf("heard %v after %d attempts", got, len(flaky.attempts.get()))
			}
		})
		if logged.Len() != 0 {
			t.Errorf("what got through in the end was logged: %s", &logged)
		}
	})
}

// TestLongOutage: a service is down for three hours, and what waits is told
// when it is back. The log hears of it twice.
func TestLongOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		back := time.Now().Add(3 * time.Hour)
		gone := &ear{send: func(context.Context, int) error {
			if time.Now().Before(back) {
				return envdb.Fail(envdb.ErrUnreachable, "no route to host").WithNext("look at the network")
			}
			return nil
		}}
		var logged bytes.Buffer
		running(t, notify.Config{Log: slog.New(slog.NewTextHandler(&logged, nil)), Routes: []notify.Route{{Name: "gone", Channel: gone, Kinds: everything}}}, func(n *notify.Notifier) {
			n.Notify(about("a"), about("b"))
			pass(time.Minute)
			if s := n.Status()[0]; s.FailingSince.IsZero() || s.Error != "no route to host" {
				t.Errorf("%+v", s)
			}
			pass(4 * time.Hour)
			if got := strings.Join(gone.subjects(), " "); got != "a b" {
				t.Errorf("heard %q", got)
			}
			if s := n.Status()[0]; s.Delivered != 2 || s.Error != "" || !s.FailingSince.IsZero() {
				t.Errorf("%+v", s)
			}
		})
		// Rounds of three: 1, 2, 4, 8 and then every quarter of an hour, each halved at most.
		if n := len(gone.attempts.get()); n < 3*12 || n > 3*35 {
			t.Errorf("%d attempts in three hours", n)
		}
		lines := strings.Split(strings.TrimSpace(logged.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `level=ERROR msg="a notification was not delivered" channel=gone kind=failing subject=a err="no route to host" next="look at the network"`) ||
			!strings.Contains(lines[1], `level=INFO msg="notifications get through again"`) {
			t.Errorf("logged:\n%s", &logged)
		}
	})
}

func TestOldNewsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		gone := &listener{ear{send: func(context.Context, int) error {
			if time.Since(began) < 30*time.Hour {
				return errors.New("down")
			}
			return nil
		}}}
		running(t, notify.Config{Routes: []notify.Route{{Name: "gone", Channel: gone, Kinds: everything}}}, func(n *notify.Notifier) {
			n.Notify(about("old"))
			n.Ping(notify.Ping{Job: "backup/prod"})
			pass(20 * time.Hour)
			n.Notify(about("new"))
			pass(20 * time.Hour)
			if s := n.Status()[0]; s.GivenUp != 2 || s.Delivered != 1 {
				t.Errorf("%+v", s)
			}
		})
		if got := gone.subjects(); len(got) != 1 || got[0] != "new" || gone.heard[0].Dropped != 1 {
			t.Errorf("heard %v, which said that %d were missed", got, gone.heard[0].Dropped)
		}
		if len(gone.pings) != 0 {
			t.Errorf("a ping of a day ago said that something runs: %v", gone.pings)
		}
	})
}

// answers is a service without a network: for virtual time.
type answers func(n int) (code int, header http.Header)

func (a answers) channel(attempts *moments) notify.Channel {
	return notify.Webhook{Endpoint: notify.Endpoint{URL: written("https://hooks.example.com/x"), Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		code, header := a(attempts.add())
		return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: header, Body: io.NopCloser(strings.NewReader(""))}, nil
	})}}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := f(r)
	if response != nil {
		response.Request = r
	}
	return response, err
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		header     func() string
		least      time.Duration
		most       time.Duration
		afterRound bool
	}{
		{"seconds", func() string { return "20" }, 20 * time.Second, 20 * time.Second, false},
		{"a date", func() string { return time.Now().Add(25 * time.Second).UTC().Format(http.TimeFormat) }, 24 * time.Second, 25 * time.Second, false},
		{"longer than it waits between attempts", func() string { return "600" }, 10 * time.Minute, 10 * time.Minute, true},
		{"longer than an hour", func() string { return "99999999" }, time.Hour, time.Hour, true},
		{"nonsense", func() string { return "soon" }, 0, time.Second, false},
		{"negative", func() string { return "-5" }, 0, time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var attempts moments
				service := answers(func(n int) (int, http.Header) {
					if n > 1 {
						return 200, nil
					}
					return 429, http.Header{"Retry-After": {c.header()}}
				})
				running(t, notify.Config{Routes: []notify.Route{{Name: "busy", Channel: service.channel(&attempts), Kinds: everything}}}, func(n *notify.Notifier) {
					n.Notify(about("a"))
					pass(2 * time.Hour)
				})
				if len(attempts.get()) != 2 {
					t.Fatalf("%d attempts", len(attempts.get()))
				}
				if waited := attempts.get()[1].Sub(attempts.get()[0]); waited < c.least || waited > c.most {
					t.Errorf("waited %s, want %s to %s", waited, c.least, c.most)
				}
			})
		})
	}
}

// TestWhatIsRefusedBlocksNobody: a message that a service refuses is given up,
// and the next one is told how many were.
func TestWhatIsRefusedBlocksNobody(t *testing.T) {
	t.Parallel()
	for code, attemptsOfFirst := range map[int]int{400: 1, 413: 1, 422: 1} {
		synctest.Test(t, func(t *testing.T) {
			var attempts moments
			service := answers(func(n int) (int, http.Header) {
				if n <= attemptsOfFirst {
					return code, nil
				}
				return 200, nil
			})
			running(t, notify.Config{Routes: []notify.Route{{Name: "picky", Channel: service.channel(&attempts), Kinds: everything}}}, func(n *notify.Notifier) {
				n.Notify(about("a"), about("b"))
				synctest.Wait()
				if s := n.Status()[0]; s.GivenUp != 1 || s.Delivered != 1 {
					t.Errorf("%d: %+v", code, s)
				}
			})
		})
	}
}

// TestATokenThatIsMended: nothing is lost while somebody mends a token.
func TestATokenThatIsMended(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 403, 404, 410, 302} {
		synctest.Test(t, func(t *testing.T) {
			var attempts moments
			mended := time.Now().Add(2 * time.Hour)
			service := answers(func(int) (int, http.Header) {
				if time.Now().Before(mended) {
					return code, nil
				}
				return 200, nil
			})
			running(t, notify.Config{Routes: []notify.Route{{Name: "locked", Channel: service.channel(&attempts), Kinds: everything}}}, func(n *notify.Notifier) {
				n.Notify(about("a"))
				pass(time.Second)
				if len(attempts.get()) != 1 {
					t.Errorf("%d: tried %d times at once", code, len(attempts.get()))
				}
				pass(3 * time.Hour)
				if s := n.Status()[0]; s.Delivered != 1 {
					t.Errorf("%d: %+v", code, s)
				}
			})
		})
	}
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	t.Run("delivers what waits", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			slow := &ear{send: func(context.Context, int) error { time.Sleep(time.Second); return nil }}
			running(t, notify.Config{Routes: []notify.Route{{Channel: slow, Kinds: everything}}}, func(n *notify.Notifier) {
				n.Notify(about("a"), about("b"), about("c"))
			})
			if got := strings.Join(slow.subjects(), " "); got != "a b c" {
				t.Errorf("heard %q", got)
			}
		})
	})
	t.Run("has a deadline", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			stuck := &ear{send: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
			var done []notify.Event
			var logged bytes.Buffer
			began := time.Now()
			running(t, notify.Config{Log: slog.New(slog.NewTextHandler(&logged, nil)), Drain: 7 * time.Second, Done: func(e notify.Event) { done = append(done, e) }, Routes: []notify.Route{{Channel: stuck, Kinds: everything}}}, func(n *notify.Notifier) {
				n.Notify(about("a"), about("b"))
			})
			if took := time.Since(began); took != 7*time.Second {
				t.Errorf("stopped after %s", took)
			}
			if len(done) != 0 {
				t.Errorf("what was not delivered is said to be done: %v", done)
			}
			if n := strings.Count(logged.String(), "was not delivered before the end"); n != 2 {
				t.Errorf("logged:\n%s", &logged)
			}
		})
	})
	t.Run("does not rest any more", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			dead := &ear{send: down}
			var began time.Time
			running(t, notify.Config{Routes: []notify.Route{{Channel: dead, Kinds: everything}}}, func(n *notify.Notifier) {
				n.Notify(about("a"))
				time.Sleep(time.Hour)
				began = time.Now()
			})
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("stopped after %s", took)
			}
		})
	})
	t.Run("with nothing to do", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			running(t, notify.Config{Routes: []notify.Route{{Channel: &ear{}, Kinds: everything}}}, func(*notify.Notifier) { synctest.Wait() })
			running(t, notify.Config{}, func(n *notify.Notifier) { n.Notify(about("a")) })
			if took := time.Since(began); took != 0 {
				t.Errorf("stopped after %s", took)
			}
		})
	})
}

func TestNobodyWants(t *testing.T) {
	t.Parallel()
	var done []string
	n := notify.New(notify.Config{Done: func(e notify.Event) { done = append(done, e.Subject) }})
	n.Notify(about("a"))
	if !slices.Equal(done, []string{"a"}) {
		t.Errorf("done: %v", done)
	}
}

func TestTrials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fine ear
		broken := &ear{send: func(context.Context, int) error {
			return envdb.Fail(envdb.ErrUnreachable, "no route to host").WithNext("look at the network")
		}}
		stuck := &ear{send: func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }}
		var attempts moments
		busy := answers(func(int) (int, http.Header) { return 429, http.Header{"Retry-After": {"60"}} })
		began := time.Now()
		trials := notify.New(notify.Config{Project: "acme", Routes: []notify.Route{
			{Name: "fine", Channel: &fine}, {Name: "broken", Channel: broken}, {Name: "stuck", Channel: stuck}, {Name: "busy", Channel: busy.channel(&attempts)},
		}}).Test(t.Context())
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		var got []string
		for _, trial := range trials {
			got = append(got, fmt.Sprintf("%s (%s): %v", trial.Name, trial.Channel, trial.Err))
		}
		want := []string{"fine (channel): <nil>", "broken (channel): no route to host", "stuck (channel): context deadline exceeded", "busy (webhook): hooks.example.com answered Too Many Requests"}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if len(broken.attempts.get()) != 3 || len(attempts.get()) != 1 {
			t.Errorf("broken was tried %d times, busy %d times", len(broken.attempts.get()), len(attempts.get()))
		}
		if e := fine.heard[0]; e.Kind != notify.KindTest || e.Project != "acme" || e.Title == "" {
			t.Errorf("heard %+v", e)
		}
	})
}

// TestNotifierUnderPressure is for the race detector: everybody at once, and an
// end in the middle.
func TestNotifierUnderPressure(t *testing.T) {
	t.Parallel()
	for range 20 {
		var a, b ear
		b.send = func(_ context.Context, n int) error {
			if n%3 == 0 {
				return errors.New("down")
			}
			return nil
		}
		n := notify.New(notify.Config{Queue: 5, Drain: time.Millisecond, Routes: []notify.Route{{Channel: &a, Kinds: everything}, {Channel: &b, Kinds: everything}}})
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var working sync.WaitGroup
		working.Go(func() { n.Run(ctx) })
		for range 4 {
			working.Go(func() {
				for i := range 50 {
					n.Notify(about(fmt.Sprint(i)))
					n.Ping(notify.Ping{Job: "x"})
					n.Status()
				}
				stop()
			})
		}
		working.Wait()
	}
}

// What a notifier did not deliver is delivered by the one that inherits it, if
// that has such a channel and it still wants it.
func TestInherit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := map[string]int{}
		note := func(e notify.Event) { done[e.Subject]++ }
		was := notify.New(notify.Config{Done: note, Routes: []notify.Route{
			{Name: "chat", Channel: &ear{send: down}, Kinds: everything}, {Name: "pager", Channel: &ear{send: down}, Kinds: everything}, {Name: "mail", Channel: &ear{send: down}, Kinds: everything},
		}})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		was.Notify(about("a"), about("b"))
		was.Run(ctx)
		if len(done) != 0 {
			t.Fatalf("nothing was delivered, and %v are done", done)
		}
		chat, mail := &ear{}, &ear{}
		heir := notify.New(notify.Config{Routes: []notify.Route{{Name: "chat", Channel: chat, Kinds: everything}, {Name: "mail", Channel: mail, Kinds: []notify.Kind{notify.KindDigest}}}})
		heir.Notify(about("c"))
		heir.Inherit(was)
		heir.Inherit(was) // there is nothing left
		heir.Run(ctx)
		if got := strings.Join(chat.subjects(), " "); got != "a b c" {
			t.Errorf("the heir told %q", got)
		}
		if got := mail.subjects(); len(got) != 0 {
			t.Errorf("who does not want it any more was told %q", got)
		}
		if done["a"] != 1 || done["b"] != 1 {
			t.Errorf("done: %v", done)
		}
	})
}
