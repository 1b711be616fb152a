// Package manager is the one door: every operation of envdb, whether a person
// or a daemon asks for it, is a method of [Manager].
//
// The one idea in it is [Manager.run]: lease, record, work, record, release.
// No operation that changes something goes around it.
package manager

import (
	"context"
	"log/slog"
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
	migrate Migrator
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
	// Migrate runs the migrations of an environment's seed; without it,
	// mirror.migrate is refused.
	Migrate Migrator
}

// New returns a Manager.
func New(c Config) *Manager {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Manager{
		config: c.Config, open: c.OpenRepository, ledger: c.Ledger, log: c.Log,
		report: c.Report, now: c.Now, version: c.Version, migrate: c.Migrate,
	}
}
