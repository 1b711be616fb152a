package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/envdb/envdb"
)

// Health answers /healthz, /readyz, /status and /metrics. It shows no secret,
// and is on loopback by default: names of environments are nobody's business
// either.
type Health struct {
	Loop    interface{ Status() Status }
	Metrics *Metrics
	// Ready says why the daemon cannot work: the store does not answer, or the
	// configuration that changed cannot be used.
	Ready func(context.Context) error
}

const (
	// aliveFor is how long ago the loop may have shown that it lives.
	aliveFor = 5 * time.Minute
	// readyPatience is how long the store may take to answer.
	readyPatience = 5 * time.Second
)

// Handler returns what answers.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics.Registry(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", h.healthz)
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /status", h.status)
	return mux
}

// alive returns an error if the loop is stuck.
func (h *Health) alive() error {
	s := h.Loop.Status()
	if ago := time.Since(s.Lives); !s.Lives.IsZero() && ago > aliveFor {
		return fmt.Errorf("the loop last looked %s ago", ago.Round(time.Second))
	}
	return nil
}

func (h *Health) healthz(w http.ResponseWriter, _ *http.Request) { answer(w, h.alive()) }

func (h *Health) readyz(w http.ResponseWriter, r *http.Request) {
	err := h.alive()
	if err == nil && h.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), readyPatience)
		defer cancel()
		err = h.Ready(ctx)
	}
	answer(w, err)
}

func (h *Health) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(h.Loop.Status()) // who does not read it has gone
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, strings.TrimSpace(err.Error()))
		return
	}
	fmt.Fprintln(w, "ok")
}

// Serve answers at an address until ctx ends. An address that is taken is an
// error at once.
func (h *Health) Serve(ctx context.Context, address string) (stop func() error, at net.Addr, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, nil, envdb.Fail(envdb.ErrPreflight, "metrics and health cannot be served: %w", err).
			WithNext("give daemon.listen another address, or off")
	}
	server := &http.Server{Handler: h.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = server.Close()
		}
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, listener.Addr(), nil
}
