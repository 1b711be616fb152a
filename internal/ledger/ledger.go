package ledger

import (
	"context"
	"log/slog"
	"os"
	"os/user"
	"time"

	"github.com/envdb/envdb"
)

// Timing of leases. A holder writes a new beat every Beat. It gives up when it
// could not for Patience, which is before anyone else may take over, after TTL
// without a beat.
const (
	Beat     = 5 * time.Second
	Patience = 25 * time.Second
	TTL      = 30 * time.Second
)

// Config is what a ledger needs besides its store. The zero Config works.
type Config struct {
	// Version is envdb's own version, for the records.
	Version string
	// Host and User say who works here; the default is what the system says.
	Host, User string
	// Machine tells processes apart; the default is [ThisMachine].
	Machine Machine
	// Spool is a local directory for the records of runs that end, or that
	// need only PostgreSQL, while the store is down; empty for none. It belongs
	// to one store: its records are stored in the store of whoever flushes it.
	// What waits there is not sealed, for the key may lie in the store: only
	// its owner can read the directory.
	Spool string
	// Seal and Unseal encrypt and decrypt the records and logs of runs for the
	// key in the store under which they lie; nil keeps them as they are.
	// Records are sealed because an error of PostgreSQL may quote a value. The
	// key may have to be fetched from the store first, which the context bounds.
	Seal, Unseal func(ctx context.Context, key string, b []byte) ([]byte, error)
	// LogLevel is the least level that run logs keep; the zero value is Info.
	LogLevel slog.Level
	// Log hears what people should know while they wait; nil for silence.
	Log *slog.Logger
	// Now is the clock of records; the default is time.Now. What is measured
	// (beats, leases, steps) is measured on the monotonic clock.
	Now func() time.Time
}

// Ledger keeps the runs and leases of one project. It is safe for concurrent
// use.
type Ledger struct {
	store   envdb.Store
	project string
	config  Config
	seen    sightings
	free    freeLeases
	letGo   letGo
	gone    goneDaemons
}

// New returns the ledger of a project in a store.
func New(store envdb.Store, project string, c Config) *Ledger {
	if c.Host == "" {
		c.Host, _ = os.Hostname()
	}
	if c.User == "" {
		c.User = userName()
	}
	if c.Machine.Gone == nil {
		c.Machine = ThisMachine()
	}
	if c.Seal == nil {
		c.Seal = asIs
	}
	if c.Unseal == nil {
		c.Unseal = asIs
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Ledger{store: store, project: project, config: c}
}

// NewRunID returns an id for a run that begins now: a lease is taken in its
// name before its record is written.
func (l *Ledger) NewRunID() string { return newRunID(l.config.Now()) }

func asIs(_ context.Context, _ string, b []byte) ([]byte, error) { return b, nil }

// userName returns who runs envdb: behind sudo, the person.
func userName() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return os.Getenv("USER")
}
