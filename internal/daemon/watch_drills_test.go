package daemon_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/notify"
)

// sharedText is a store that holds one text.
type sharedText struct {
	mu   sync.Mutex
	text []byte
}

func (s *sharedText) Shared(context.Context, string) ([]byte, envdb.Condition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.text), envdb.Condition{}, nil
}

func (s *sharedText) SetShared(_ context.Context, _ string, text []byte, _ envdb.Condition) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = slices.Clone(text)
	return nil
}

// A drill that misses an objective, and one that has not passed for too long, are
// told of once, and once when they are well again.
func TestDrillsAreWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		w := &daemon.Watch{
			Shared: &sharedText{}, Log: slog.New(slog.DiscardHandler), StaleAfter: func(string) time.Duration { return 0 }, Ping: func(notify.Ping) {},
			Tell: func(events ...notify.Event) {
				for _, e := range events {
					told = append(told, string(e.Kind)+" "+e.Subject+" "+e.Environment)
				}
			},
		}
		began := time.Now()
		state := manager.DrillState{Name: "weekly", Into: "staging", LastRun: began, LastPass: began, ProvenSince: began, StaleAfter: 24 * time.Hour, Outcome: drill.Pass}
		pass := func(hours int) {
			for range hours * 12 {
				w.SeeDrills([]manager.DrillState{state})
				if err := w.Pass(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
			}
		}
		w.SeeDrills([]manager.DrillState{{Name: "never"}})
		pass(26)
		state.LastRun, state.Missed = time.Now(), []string{"RTO"}
		pass(2)
		state.LastRun, state.Missed, state.LastPass, state.ProvenSince = time.Now(), nil, time.Now(), time.Now()
		state.Warning = []string{"RTO grows"}
		pass(2)
		want := "stale drill/weekly staging, objective drill/weekly staging, warning drill/weekly staging, objective-met drill/weekly staging, fresh drill/weekly staging"
		if got := strings.Join(told, ", "); got != want {
			t.Errorf("told:\n%s\nwant:\n%s", got, want)
		}
	})
}
