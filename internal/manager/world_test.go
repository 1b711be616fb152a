package manager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/store"
)

// world is a configuration, its store, and a manager, wired as cmd/envdb does
// it. Every test has its own, so tests run side by side.
type world struct {
	*manager.Manager
	t          *testing.T
	dir        string
	config     *config.Config
	store      envdb.Store
	ledger     *ledger.Ledger
	repository *backup.Repository
	log        *logged
}

// place is an environment of a world: its name and tier, its database on a
// server, and further lines of the configuration.
type place struct {
	name   string
	tier   envdb.Tier
	url    envdb.ConnString
	more   []string
	server *pgtest.Server // which databases are removed from afterwards
	base   string
}

// on returns an environment with a database of its own on the server. The
// database is not made: see [world.have].
func on(t *testing.T, s *pgtest.Server, name string, tier envdb.Tier, more ...string) place {
	t.Helper()
	return at(t, s, name, tier, unique(strings.ReplaceAll(name, "-", "_")), more...)
}

// at is on with a database of a given name.
func at(t *testing.T, s *pgtest.Server, name string, tier envdb.Tier, base string, more ...string) place {
	t.Helper()
	u, err := url.Parse(s.URL("x").Reveal())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + base // which String escapes
	p := place{name: name, tier: tier, url: envdb.ConnString(u.String()), more: more, server: s, base: base}
	t.Cleanup(func() { p.drop(t) })
	return p
}

var serial atomic.Int64

// unique returns a name that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s_%d", prefix, serial.Add(1)) }

// drop removes the database and every version of it.
func (p place) drop(t *testing.T) {
	for _, name := range p.databases(t) {
		p.server.DropDatabase(t, name)
	}
}

// databases lists the databases that are the environment's by their names or
// markers.
func (p place) databases(t *testing.T) []string {
	t.Helper()
	marker := strings.ReplaceAll(fmt.Sprintf(`"base":%q`, p.base), `\`, `\\`)
	found := p.server.QueryText(t, "postgres", `SELECT datname FROM pg_database WHERE datname = `+postgres.Literal(p.base)+`
		OR starts_with(datname, `+postgres.Literal(p.base+"__")+`)
		OR shobj_description(oid, 'pg_database') LIKE `+postgres.Literal("%"+marker+"%")+` ORDER BY 1`)
	return strings.FieldsFunc(found, func(r rune) bool { return r == '\n' })
}

// state is what a failed operation must not change: which databases there are,
// with their oids and comments, and what the live one holds in table t.
func (p place) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range p.databases(t) {
		fmt.Fprintln(&b, p.server.QueryText(t, "postgres", `SELECT oid, datname, datallowconn, datconnlimit, datacl, shobj_description(oid, 'pg_database')
			FROM pg_database WHERE datname = `+postgres.Literal(name)))
		if name == p.base {
			fmt.Fprintln(&b, p.content(t))
		}
	}
	return b.String()
}

// content is what table t of the live version holds.
func (p place) content(t *testing.T) string {
	t.Helper()
	if p.server.QueryText(t, p.base, "SELECT to_regclass('t') IS NULL") == "t" {
		return ""
	}
	return p.server.QueryText(t, p.base, "SELECT * FROM t ORDER BY 1")
}

// have makes the environment's database by hand, with the statements run in it.
func (p place) have(t *testing.T, sql ...string) place {
	t.Helper()
	p.server.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(p.base)+" TEMPLATE template0")
	p.server.Exec(t, p.base, sql...)
	return p
}

// query asks the live version.
func (p place) query(t *testing.T, sql string) string {
	t.Helper()
	return p.server.QueryText(t, p.base, sql)
}

// exec runs statements in the live version.
func (p place) exec(t *testing.T, sql ...string) {
	t.Helper()
	p.server.Exec(t, p.base, sql...)
}

// small returns statements that make a small database whose content tells
// which one it is.
func small(who string) []string {
	return []string{
		"CREATE TABLE t (id integer PRIMARY KEY, who text)",
		"INSERT INTO t VALUES (1, " + postgres.Literal(who) + ")",
		"CREATE TABLE many (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)",
		"INSERT INTO many (v) SELECT md5(i::text) FROM generate_series(1, 500) AS i",
	}
}

func (p place) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s:\n    tier: %s\n    url: %s\n", p.name, p.tier, quoted(p.url.Reveal()))
	for _, line := range p.more {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	return b.String()
}

// quoted returns s as a single-quoted YAML scalar.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// newWorld writes a configuration of the places, makes the store, and returns
// the manager of both.
func newWorld(t *testing.T, places ...place) *world {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	b.WriteString("project: acceptance\nstore:\n  url: store\nhome: home\njobs: 2\nenvironments:\n")
	for _, p := range places {
		b.WriteString(p.yaml())
	}
	w := &world{t: t, dir: dir, log: &logged{}}
	w.write("envdb.yaml", b.String())
	var err error
	if w.config, err = config.Load(w.path("envdb.yaml"), nil); err != nil {
		t.Fatalf("%s\n%s", problem(err), b.String())
	}
	location, err := w.config.Store()
	if err != nil {
		t.Fatal(problem(err))
	}
	if w.store, err = store.Open(t.Context(), store.Config{URL: location.URL}); err != nil {
		t.Fatal(problem(err))
	}
	if w.repository, err = backup.Init(t.Context(), w.store, w.config.Project, backup.InitOptions{}); err != nil {
		t.Fatal(problem(err))
	}
	w.Manager, w.ledger = w.newManager()
	return w
}

// newManager wires a manager, as cmd/envdb does in open.go.
func (w *world) newManager() (*manager.Manager, *ledger.Ledger) {
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l := ledger.New(w.store, w.config.Project, ledger.Config{Version: "test", Spool: filepath.Join(w.config.Home, "spool"), LogLevel: slog.LevelDebug, Log: log})
	m := manager.New(manager.Config{
		Config: w.config, Ledger: l, Log: log, Version: "test", OpenRepository: w.openRepository,
	})
	return m, l
}

func (w *world) openRepository(ctx context.Context) (*backup.Repository, error) {
	return backup.Open(ctx, w.store, w.config.Project, backup.Access{})
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write writes a file beside the configuration.
func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// backup takes a backup, which must work.
func (w *world) backup(env string) *manager.BackupResult {
	w.t.Helper()
	r, err := w.Backup(w.t.Context(), manager.BackupRequest{Environment: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// mirror mirrors the latest point, which must work.
func (w *world) mirror(source, target string) *manager.BuildResult {
	w.t.Helper()
	return w.mirrorOf(manager.MirrorRequest{Source: source, Target: target})
}

// mirrorOf mirrors, which must work.
func (w *world) mirrorOf(req manager.MirrorRequest) *manager.BuildResult {
	w.t.Helper()
	r, err := w.Mirror(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// rollback rolls back, which must work.
func (w *world) rollback(env string) *manager.SwapResult {
	w.t.Helper()
	r, err := w.Rollback(w.t.Context(), manager.RollbackRequest{Environment: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// versions returns "state source" of every version of an environment, in order.
func (w *world) versions(env string) string {
	w.t.Helper()
	list, err := w.Versions(w.t.Context(), env)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	var out []string
	for _, v := range list.Versions {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", v.State, v.Source)))
	}
	return strings.Join(out, ", ")
}

// status returns the line of an environment in the status.
func (w *world) status(env string) manager.EnvironmentStatus {
	w.t.Helper()
	s, err := w.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(problem(err))
	}
	for _, line := range s.Environments {
		if line.Name == env {
			return line
		}
	}
	w.t.Fatalf("status does not name %s", env)
	return manager.EnvironmentStatus{}
}

// problem shows everything that a person would see of an error.
func problem(err error) string {
	if err == nil {
		return "<nil>"
	}
	state, next := envdb.Advice(err)
	return fmt.Sprintf("%v [%s] Next: %s", err, state, next)
}

// wants fails the test unless err is of the kind, says what to do next, and
// shows all the texts.
func wants(t *testing.T, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %s, want kind %q", problem(err), kind)
		return
	}
	if _, next := envdb.Advice(err); next == "" {
		t.Errorf("%v gives no advice", err)
	}
	for _, text := range texts {
		if !strings.Contains(problem(err), text) {
			t.Errorf("got %s, want it to say %q", problem(err), text)
		}
	}
}

// same fails the test unless two texts are equal.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// logged is a log that a test may read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was written so far.
func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// mirrorRequest asks for a mirror of the latest point.
func mirrorRequest(source, target string) manager.MirrorRequest {
	return manager.MirrorRequest{Source: source, Target: target}
}

// adopt makes w work on the store of another world.
func (w *world) adopt(other *world) {
	w.store, w.repository = other.store, other.repository
	w.Manager, w.ledger = w.newManager()
}
