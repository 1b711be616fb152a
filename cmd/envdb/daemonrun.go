package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	sdnotify "github.com/coreos/go-systemd/v22/daemon"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/daemon"
)

// run is the daemon's life: from the first look until draining ends and what
// runs has ended, or cut ends and it has tidied up.
func (s *service) run(draining, cut context.Context) (err error) {
	c := s.now().config
	s.loop = daemon.New(s.loopConfig(c))
	s.metrics.Watch(s.loop.Status)
	if c.Daemon.Listen != "" {
		h := &daemon.Health{Loop: s.loop, Metrics: s.metrics, Ready: s.ready}
		stop, at, err := h.Serve(cut, c.Daemon.Listen)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		s.self.Listen = at.String() // with the port, where the system chose it
		s.log.Info("metrics and health", "address", "http://"+at.String())
	}
	s.telling.use(context.WithoutCancel(cut), c)
	defer func() {
		s.telling.close()
		s.lastWords(cut) // who was told meanwhile
	}()
	s.announce(cut)
	defer s.leave(cut)
	go s.kickOnHangup(draining)
	s.log.Info("the daemon began", "version", version, "config", c.Path, "environments", len(c.Names()), "jobs", len(c.Jobs()))
	_, _ = sdnotify.SdNotify(false, sdnotify.SdNotifyReady)
	defer time.AfterFunc(thrifty, giveBack).Stop() // of what starting took
	stopping := context.AfterFunc(draining, func() {
		_, _ = sdnotify.SdNotify(false, sdnotify.SdNotifyStopping)
		s.log.Info("the daemon stops when what runs has ended", "running", len(s.loop.Status().Running))
	})
	defer stopping()
	err = s.loop.Run(draining, cut)
	s.lastWords(cut)
	s.log.Info("the daemon ended")
	return err
}

// lastWords has people told what was seen since the last time.
func (s *service) lastWords(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.watch.Pass(ctx); err != nil {
		s.log.Debug("what was seen last is not in the store", "reason", err)
	}
}

// once does what is due now, and waits for it.
func (s *service) once(ctx context.Context) error {
	c := s.now().config
	heard := &failures{Metrics: s.metrics}
	loop := s.loopConfig(c)
	loop.Observer, loop.Reload = heard, nil
	s.loop = daemon.New(loop)
	s.loop.Pass(ctx, ctx)
	ended, end := context.WithCancel(ctx)
	end() // nothing more begins
	if err := s.loop.Run(ended, ctx); err != nil {
		return err
	}
	return heard.err()
}

// work is what a configuration asks for.
func (s *service) work(c *config.Config) daemon.Work {
	return daemon.Work{Tasks: s.tasks(), Runs: c.Daemon.Runs, Timeout: c.Daemon.Timeout}
}

func (s *service) loopConfig(c *config.Config) daemon.Config {
	return daemon.Config{
		Work: s.work(c), Reload: s.reload,
		Alive: func() { _, _ = sdnotify.SdNotify(false, sdnotify.SdNotifyWatchdog) }, Observer: s.observer(), Log: s.log,
	}
}

// kickOnHangup has the loop look for a new configuration at once.
func (s *service) kickOnHangup(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
			s.asked.Store(true)
			s.loop.Kick()
		}
	}
}

// failures keeps what failed in one pass.
type failures struct {
	*daemon.Metrics
	errs lockedErrors
}

// Looked implements daemon.Observer.
func (f *failures) Looked(task string, look daemon.Look, err error) {
	f.Metrics.Looked(task, look, err)
	f.errs.add(task, err)
}

// Ended implements daemon.Observer.
func (f *failures) Ended(task string, look daemon.Look, took time.Duration, err error) {
	f.Metrics.Ended(task, look, took, err)
	if !errors.Is(err, envdb.ErrBusy) { // another one does it
		f.errs.add(task, err)
	}
}

func (f *failures) err() error { return f.errs.joined() }

// askHealth asks a daemon that runs by this configuration whether it lives.
func (a *app) askHealth(ctx context.Context) error {
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return err
	}
	if c.Daemon.Listen == "" {
		return envdb.Fail(envdb.ErrMisuse, "daemon.listen is off: the daemon cannot be asked").WithNext("give it an address")
	}
	host, port, err := net.SplitHostPort(c.Daemon.Listen)
	if err != nil {
		return err
	}
	if port == "0" {
		return envdb.Fail(envdb.ErrMisuse, "daemon.listen leaves the port to the system: the daemon cannot be asked by the configuration").WithNext("give it a port; the one that was taken stands in the log of the daemon, at its start")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	address := net.JoinHostPort(host, port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return envdb.Fail(envdb.ErrUnreachable, "no daemon answers at %s: %w", address, err).WithNext("start one with `envdb daemon`, or see why it ended: journalctl -u envdb")
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil {
		return envdb.Fail(envdb.ErrUnreachable, "the daemon at %s does not answer: %w", address, err)
	}
	said := strings.TrimSpace(string(text))
	if answer.StatusCode != http.StatusOK {
		return envdb.Fail(envdb.ErrUnhealthy, "the daemon at %s is stuck: %s", address, said).WithNext("curl http://%s/status, then restart it", address)
	}
	_, err = fmt.Fprintf(a.stdout, "the daemon at %s lives\n", address)
	return err
}
