package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
)

// session is everything that one command works with.
type session struct {
	config  *config.Config
	manager *manager.Manager
	ledger  *ledger.Ledger
	store   envdb.Store
	// finish ends the progress, so that results come after it.
	finish func()
}

func (s *session) close() { s.finish() }

// open wires everything together. It is the only place that does.
func (a *app) open(ctx context.Context) (*session, error) {
	if err := a.checkOutput(); err != nil {
		return nil, err
	}
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return nil, err
	}
	screen, report := a.progress()
	log := a.logger(screen)
	for _, w := range c.Warnings {
		log.Debug("configuration", "warning", w.String())
	}
	s := wire(c, log, report, storeOptions{})
	s.finish = sync.OnceFunc(screen.Stop)
	return s, nil
}

// wire makes what a command or the daemon works with.
func wire(c *config.Config, log *slog.Logger, report envdb.Report, opts storeOptions) *session {
	st := newLazyStore(c, log, opts)
	l := ledger.New(st, c.Project, ledger.Config{
		Version: version, Spool: filepath.Join(c.Home, "spool"), LogLevel: slog.LevelDebug, Log: log,
		Seal: st.Seal, Unseal: st.Unseal,
	})
	m := manager.New(manager.Config{
		Config: c, Ledger: l, Log: log, Report: report, Version: version,
		OpenRepository: st.repository.get, Rebuild: rebuild(c.Path),
	})
	return &session{config: c, manager: m, ledger: l, store: st, finish: func() {}}
}

// progress returns the screen that shows how far a run is.
func (a *app) progress() (*console.Screen, envdb.Report) {
	style := console.Auto
	if a.quiet {
		style = console.Quiet
	}
	screen := console.NewScreen(a.stderr, style)
	return screen, screen.Report
}

// level is how much of the log a person reads: with --quiet only what somebody
// should look at, as cron mails whatever there is.
func (a *app) level() slog.Level {
	switch {
	case a.debug:
		return slog.LevelDebug
	case a.quiet:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// logger writes for people, without disturbing the progress.
func (a *app) logger(screen *console.Screen) *slog.Logger {
	return slog.New(console.NewHandler(screen, a.level()))
}
