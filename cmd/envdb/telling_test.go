package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/notify"
	"github.com/envdb/envdb/internal/store"
)

// An event that waits for a service which does not answer is told by what a
// reload puts in its place; who has it already is not told again.
func TestTellingAcrossAReload(t *testing.T) {
	t.Parallel()
	service := func(status int) (url string, asked *atomic.Int64) {
		asked = &atomic.Int64{}
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.URL, asked
	}
	dead, tries := service(http.StatusInternalServerError)
	chat, heard := service(http.StatusOK)
	pager, paged := service(http.StatusOK)
	load := func(hooks map[string]string) *config.Config {
		t.Helper()
		text := "project: acme\nstore: {url: store}\nenvironments:\n  prod: {tier: production, url: 'postgres://prod.example.com/prod'}\nnotifications:\n"
		for name, url := range hooks {
			text += "  - {name: " + name + ", webhook: {url: '" + url + "'}}\n"
		}
		file := filepath.Join(t.TempDir(), "envdb.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	st, err := store.Open(t.Context(), store.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	w := &daemon.Watch{Shared: ledger.New(st, "acme", ledger.Config{}), Log: log, StaleAfter: func(string) time.Duration { return 0 }}
	telling := &telling{log: log, metrics: daemon.NewMetrics("test"), watch: w}
	w.Tell, w.Ping = telling.tell, telling.ping
	ctx := context.WithoutCancel(t.Context())
	pass := func() {
		t.Helper()
		if err := w.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, n *atomic.Int64) {
		t.Helper()
		for end := time.Now().Add(time.Minute); n.Load() == 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("waited in vain: " + what)
			}
		}
	}
	untold := func() []notify.Event {
		t.Helper()
		pass()
		text, _, err := ledger.New(st, "acme", ledger.Config{}).Shared(t.Context(), "notifications")
		if err != nil {
			t.Fatal(err)
		}
		var tracker notify.Tracker
		if err := tracker.Restore(text); err != nil {
			t.Fatal(err)
		}
		return tracker.Untold()
	}

	telling.use(ctx, load(map[string]string{"chat": chat, "pager": dead}))
	w.Ended("mirror/copy", daemon.Look{}, 0, os.ErrPermission)
	pass()
	until("the pager to be tried", tries)
	until("the chat to be told", heard)
	for end := time.Now().Add(time.Minute); ; {
		if e := untold(); len(e) != 1 {
			t.Fatalf("untold are %v, want the one that waits", e)
		} else if len(e[0].Had) == 1 && e[0].Had[0] == "chat" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the store does not know who was told")
		}
	}
	telling.use(ctx, load(map[string]string{"chat": chat, "pager": pager}))
	until("the new pager to be told", paged)
	telling.close()
	if e := untold(); len(e) != 0 {
		t.Errorf("untold: %v", e)
	}
	if heard.Load() != 1 || paged.Load() != 1 {
		t.Errorf("the chat was told %d times and the pager %d times, want each once", heard.Load(), paged.Load())
	}
}
