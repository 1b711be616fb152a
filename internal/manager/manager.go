// Package manager is the one door: every operation of envdb, whether a person
// or a daemon asks for it, is a method of [Manager].
//
// The one idea in it is [Manager.run]: lease, record, work, record, release.
// No operation that changes something goes around it.
package manager

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
)

// Manager runs operations on the environments of one configuration. It is safe
// for concurrent use.
type Manager struct {
	config  *config.Config
	open    func(context.Context) (*backup.Repository, error)
	ledger  *ledger.Ledger
	log     *slog.Logger
	report  envdb.Report
	now     func() time.Time
	version string
	cause   Cause
	onEmpty func(context.Context, Rebuilding) error
	views   *views
	// policies are those that were in force once, by their hashes, and the marks
	// of those that cannot be read, by themselves.
	policies *sync.Map
	// reports are those of drills that were read, by their numbers.
	reports *sync.Map
}

// Config is what a Manager works with.
type Config struct {
	Config *config.Config
	// OpenRepository is called by operations that need backups; those that
	// need only PostgreSQL work while the store is down.
	OpenRepository func(context.Context) (*backup.Repository, error)
	Ledger         *ledger.Ledger
	Log            *slog.Logger
	Report         envdb.Report
	Now            func() time.Time // time.Now if nil
	Version        string           // envdb's own
	// Rebuild restores a backup by a process that has nothing else; without one
	// there is no drill of an earthquake.
	Rebuild func(context.Context, Rebuilding) error
}

// New returns a Manager.
func New(c Config) *Manager {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Manager{
		config: c.Config, open: c.OpenRepository, ledger: c.Ledger, log: c.Log,
		report: c.Report, now: c.Now, version: c.Version, onEmpty: c.Rebuild, views: &views{}, policies: &sync.Map{}, reports: &sync.Map{},
	}
}
