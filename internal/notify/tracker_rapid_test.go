package notify_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

// TestTrackerProperties throws weeks of anything at the tracker, with restarts,
// and holds what people hear to what happened.
func TestTrackerProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &watch{tracker: &notify.Tracker{}, now: start, open: map[string]notify.Event{}, heirs: map[string]bool{}, ever: map[string]bool{}, failing: map[string]time.Time{}}
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			w.step(t)
		}
		// Then all is well: every alarm has to end.
		for range 400 {
			w.now = w.now.Add(time.Minute)
			for _, subject := range watched {
				w.observe(t, subject, true)
			}
		}
		for alarm, e := range w.open {
			t.Fatalf("the alarm %s (%s) never ended", alarm, e.Title)
		}
		for subject := range w.heirs {
			t.Fatalf("that %s is well again was never told", subject)
		}
		for subject := range w.failing {
			t.Fatalf("%s is well and counts as failing", subject)
		}
	})
}

var watched = []string{"backup/prod", "mirror/copy", "verify/prod", "seed/qa"}

// watch is what a person knows who reads everything.
type watch struct {
	tracker *notify.Tracker
	now     time.Time
	// open are the alarms of which one was told, by Event.Alarm, and ever those
	// that have ever been.
	open map[string]notify.Event
	ever map[string]bool
	// heirs are subjects of which the end of a larger alarm said that they are not
	// well yet: their own alarm is open, and its name is not known before its next
	// message.
	heirs map[string]bool
	// failing is since when a subject has failed without a success.
	failing map[string]time.Time
	told    []time.Time
}

func (w *watch) step(t *rapid.T) {
	w.now = w.now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 4 * time.Minute, 6 * time.Minute, time.Hour, envdb.Day, 40 * time.Hour}).Draw(t, "passes"))
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0:
		w.hear(t, w.tracker.Tick(w.now))
	case 1:
		stored, err := w.tracker.State()
		if err != nil {
			t.Fatal(err)
		}
		w.tracker = &notify.Tracker{}
		if err := w.tracker.Restore(stored); err != nil {
			t.Fatal(err)
		}
	default:
		w.observe(t, rapid.SampledFrom(watched).Draw(t, "subject"), rapid.Bool().Draw(t, "ok"))
	}
}

func (w *watch) observe(t *rapid.T, subject string, ok bool) {
	o := notify.Observation{Subject: subject, Environment: "prod", OK: ok, Text: "broken"}
	if !ok {
		o.Reason = rapid.SampledFrom([]notify.Reason{{}, {Text: "unreachable", Environment: "prod"}, {Text: "the store is full"}}).Draw(t, "reason")
		if _, failing := w.failing[subject]; !failing {
			w.failing[subject] = w.now
		}
	} else {
		delete(w.failing, subject)
	}
	w.hear(t, w.tracker.Observe(w.now, o))
	// No patience: who fails is known to fail, at once.
	failing := w.tracker.Failing("prod")
	if got := strings.Contains(" "+strings.Join(failing, " ")+" ", " "+subject+" "); got == ok {
		t.Fatalf("%s is ok: %v, and these are known to fail: %v", subject, ok, failing)
	}
	if len(failing) > 0 && len(w.open)+len(w.heirs) == 0 {
		t.Fatalf("%v fail, and nobody was told", failing)
	}
}

// hear holds each event to the ones before it.
func (w *watch) hear(t *rapid.T, events []notify.Event) {
	for _, e := range events {
		if e.Title == "" || e.Alarm == "" || e.At != w.now {
			t.Fatalf("half an event: %+v", e)
		}
		before, open := w.open[e.Alarm]
		if !open && !w.ever[e.Alarm] && w.heirs[e.Subject] {
			before, open = e, true
			w.open[e.Alarm], w.ever[e.Alarm] = e, true
			delete(w.heirs, e.Subject)
			if e.Kind == notify.KindFailing && !e.Reminder {
				t.Fatalf("told twice without an end between: %s", e.Title)
			}
		}
		switch {
		case e.Kind == notify.KindFailing && e.Reminder:
			if !open {
				t.Fatalf("reminded of what nobody was told: %s", e.Title)
			}
		case e.Kind == notify.KindFailing:
			if open || w.ever[e.Alarm] {
				t.Fatalf("told twice without an end between: %s", e.Title)
			}
			for _, other := range w.open {
				if other.Subject == e.Subject {
					t.Fatalf("%s is told to fail twice: %s, %s", e.Subject, other.Title, e.Title)
				}
			}
			if w.heirs[e.Subject] {
				t.Fatalf("%s is told to fail twice", e.Subject)
			}
			w.open[e.Alarm], w.ever[e.Alarm] = e, true
		case e.Kind == notify.KindRecovered:
			if !open {
				t.Fatalf("ended twice, or never begun: %s", e.Title)
			}
			if e.Subject != before.Subject {
				t.Fatalf("began as %s, ended as %s", before.Subject, e.Subject)
			}
			delete(w.open, e.Alarm)
			w.ever[e.Alarm] = true
			for name := range strings.SplitSeq(e.Fields["not yet well"], ", ") {
				if name != "" {
					w.heirs[name] = true
				}
			}
		default:
			t.Fatalf("unexpected: %+v", e)
		}
		w.told = append(w.told, w.now)
	}
	w.noStorm(t)
}

// noStorm holds what is told within a day to a bound, whatever happens: each
// subject and each reason can come and go eight times at most.
func (w *watch) noStorm(t *rapid.T) {
	n := 0
	for _, at := range w.told {
		if w.now.Sub(at) < envdb.Day {
			n++
		}
	}
	if most := (len(watched) + 2) * 3 * 9; n > most {
		t.Fatalf("%d messages in a day", n)
	}
}
