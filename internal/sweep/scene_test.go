package sweep_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/store/dir"
)

const project = "sweep"

// scene is what an operation works on: a configuration, a store, and databases
// behind a proxy.
type scene struct {
	dir       string
	server    *pgtest.Server
	proxy     *proxy
	databases map[string]*database
	config    *config.Config
	store     envdb.Store
	bucket    *bucket // where the store is, if not in a directory
	processes processes
	// contents are the fingerprints of the live database at either of two
	// backups, the older first.
	ids      []envdb.BackupID
	contents []string
	// digests are those of either of two sets of fixtures.
	digests []string
	// done is what an undisturbed run leads to, where that is always the same.
	done   *string
	source *database // what is backed up
	target *database // whose versions change; may be the source
}

// newScene makes the databases and an empty store.
func newScene(t *testing.T, databases ...*database) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), server: databases[0].server, databases: map[string]*database{}}
	s.proxy = newProxy(t, s.server)
	files := map[string]string{"neutralise.sql": "UPDATE account SET owner = 'nobody ' || id;", "check.sql": "SELECT 1 FROM account WHERE balance < 0;"}
	var yaml strings.Builder
	fmt.Fprintf(&yaml, "project: %s\nstore: {url: '%s'}\nhome: home\njobs: 2\nenvironments:\n", project, s.path("store"))
	for _, d := range databases {
		s.databases[d.env] = d
		declared, url := d.declared(s.proxy.url(d))
		fmt.Fprintf(&yaml, "  %s:\n    tier: %s\n    url: file:%s.url\n", declared, d.tier, d.env)
		files[d.env+".url"] = url
		switch d.tier {
		case envdb.ProductionCopy:
			fmt.Fprintf(&yaml, "    mirror: {from: prod, neutralise: [neutralise.sql], checks: [check.sql], preserve: [{table: entry, where: id %% 10 = 0}]}\n")
		case envdb.QA, envdb.Test:
			fmt.Fprintf(&yaml, "    seed: {migrations: db, fixtures: [fixtures], checks: [check.sql]}\n")
		}
	}
	files["envdb.yaml"] = yaml.String()
	for name, text := range files {
		if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.config, err = config.Load(s.path("envdb.yaml"), nil); err != nil {
		t.Fatal(err)
	}
	if s.store, err = dir.Open(s.path("store")); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Init(t.Context(), s.store, project, backup.InitOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// freeze keeps the store as it is now; thaw brings that back.
func (s *scene) freeze(t *testing.T) {
	t.Helper()
	if err := os.CopyFS(s.path("frozen"), os.DirFS(s.path("store"))); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) thaw(t *testing.T) {
	t.Helper()
	for _, name := range []string{"store", "home"} {
		if err := os.RemoveAll(s.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if s.bucket != nil {
		s.store = s.bucket.thaw(t, s.path("frozen"))
		return
	}
	if err := os.CopyFS(s.path("store"), os.DirFS(s.path("frozen"))); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.store, err = dir.Open(s.path("store")); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) repository(t *testing.T) *backup.Repository {
	t.Helper()
	r, err := backup.Open(t.Context(), s.store, project, backup.Access{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// processes stand for commands one after the other: each has a manager and a
// ledger of its own, and is gone for the others when its command has ended.
type processes struct {
	mu    sync.Mutex
	ended map[int]bool
}

// firstPID is above all that Linux gives to a process.
const firstPID = 1 << 23

// machine is this one, for the nth process.
func (p *processes) machine(pid int) ledger.Machine {
	m := ledger.ThisMachine()
	gone := m.Gone
	m.Self = ledger.Process{Machine: m.Self.Machine, PID: pid, Start: 1}
	m.Gone = func(other ledger.Process) bool {
		if other.PID < firstPID {
			return gone(other)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.ended[other.PID]
	}
	return m
}

func (p *processes) end(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = map[int]bool{}
	}
	p.ended[pid] = true
}

// do runs a command as a process of its own, on the scene's store or on one
// that stands before it.
func (s *scene) do(ctx context.Context, st envdb.Store, c command) error {
	pid := firstPID + int(serial.Add(1))
	defer s.processes.end(pid)
	return c.run(ctx, wire(s.config, st, s.processes.machine(pid)), st)
}

// manager is that of a process which looks on.
func (s *scene) manager() *manager.Manager {
	return wire(s.config, s.store, s.processes.machine(firstPID+int(serial.Add(1))))
}

// must runs a command undisturbed.
func (s *scene) must(t *testing.T, c command) {
	t.Helper()
	if err := s.do(t.Context(), s.store, c); err != nil {
		t.Fatalf("%s: %s", c, problem(err))
	}
}

// wire makes a manager, as cmd/envdb does in open.go.
func wire(c *config.Config, st envdb.Store, machine ledger.Machine) *manager.Manager {
	log := slog.New(slog.DiscardHandler)
	return manager.New(manager.Config{
		Config: c, Log: log, Version: "test",
		Ledger: ledger.New(st, c.Project, ledger.Config{
			Version: "test", Spool: filepath.Join(c.Home, "spool"), LogLevel: slog.LevelDebug, Log: log, Machine: machine,
		}),
		OpenRepository: func(ctx context.Context) (*backup.Repository, error) {
			return backup.Open(ctx, st, c.Project, backup.Access{})
		},
	})
}

// problem shows everything that a person would see of an error.
func problem(err error) string {
	if err == nil {
		return "<nil>"
	}
	state, next := envdb.Advice(err)
	return fmt.Sprintf("%v\n  State: %s\n  Next: %s", err, state, next)
}
