package generation_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is an environment with a database of its own on a server.
type world struct {
	*pgtest.Server
	env envdb.Environment
}

var serial atomic.Int64

// newWorld returns an environment whose live database does not exist yet.
func newWorld(t *testing.T, s *pgtest.Server, base string) world {
	t.Helper()
	if base == "" {
		base = fmt.Sprintf("app_%d", serial.Add(1))
	}
	w := world{Server: s, env: envdb.Environment{Name: "staging", Tier: envdb.Staging, URL: s.URL(base)}}
	t.Cleanup(func() { w.dropAll(t, base) })
	return w
}

// dropAll removes every database whose comment names the base, and the base.
func (w world) dropAll(t *testing.T, base string) {
	names := w.QueryText(t, "postgres", `SELECT datname FROM pg_database WHERE datname = `+postgres.Literal(base)+`
		OR shobj_description(oid, 'pg_database') LIKE `+postgres.Literal("%"+strings.ReplaceAll(fmt.Sprintf("%q", base), `\`, `\\`)+"%"))
	for name := range strings.Lines(names) {
		w.DropDatabase(t, strings.TrimSpace(name))
	}
}

// hand makes the live database by hand, as someone before envdb would have.
func (w world) hand(t *testing.T) {
	t.Helper()
	w.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(w.base(t)))
}

func (w world) base(t *testing.T) string {
	t.Helper()
	base, err := postgres.DatabaseName(w.env.URL)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func (w world) target(t *testing.T) envdb.Target {
	t.Helper()
	target, err := w.env.Target()
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// open opens the versions for a run, without the lock.
func (w world) open(t *testing.T, run string) *generation.Generations {
	t.Helper()
	g, err := generation.Open(t.Context(), w.env, generation.Options{Run: run})
	if err != nil {
		t.Fatal(problem(err))
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// locked opens the versions for a run, and locks them.
func (w world) locked(t *testing.T, run string) *generation.Generations {
	t.Helper()
	g := w.open(t, run)
	if err := g.Lock(t.Context()); err != nil {
		t.Fatal(problem(err))
	}
	return g
}

// build makes a dark version with a table that says which one it is.
func (w world) build(t *testing.T, g *generation.Generations, id string) *generation.Dark {
	t.Helper()
	d, err := g.Build(t.Context(), w.target(t), envdb.OpMirror, generation.Spec{ID: id, Source: "prod"})
	if err != nil {
		t.Fatal(problem(err))
	}
	w.Exec(t, d.Name, "CREATE TABLE here AS SELECT "+postgres.Literal(id)+"::text AS id", "GRANT SELECT ON here TO PUBLIC")
	return d
}

// release builds a version and makes it live.
func (w world) release(t *testing.T, g *generation.Generations, id string) generation.Promotion {
	t.Helper()
	w.build(t, g, id)
	p, err := g.Promote(t.Context(), w.target(t), id, generation.PromoteOptions{})
	if err != nil {
		t.Fatal(problem(err))
	}
	return p
}

// serves returns the id of the version that is live.
func (w world) serves(t *testing.T) string {
	t.Helper()
	return w.QueryText(t, w.base(t), "SELECT id FROM here")
}

// states returns "state:id" of every version, in the order of List.
func states(t *testing.T, g *generation.Generations) string {
	t.Helper()
	versions, err := g.List(t.Context())
	if err != nil {
		t.Fatal(problem(err))
	}
	var out []string
	for _, v := range versions {
		out = append(out, fmt.Sprintf("%s:%s", v.State, v.ID))
	}
	return strings.Join(out, " ")
}

// problem shows everything that a person would see of an error.
func problem(err error) string {
	if err == nil {
		return "<nil>"
	}
	state, next := envdb.Advice(err)
	return fmt.Sprintf("%v [%s] Next: %s", err, state, next)
}

// wants fails the test unless err is of the kind and shows all the texts.
func wants(t *testing.T, err, kind error, texts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("got %s, want kind %q", problem(err), kind)
	}
	for _, text := range texts {
		if !strings.Contains(problem(err), text) {
			t.Errorf("got %s, want it to say %q", problem(err), text)
		}
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
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

// asText returns properties in a form that can be compared.
func asText(p generation.Properties) string {
	slices.Sort(p.ACL)
	return fmt.Sprintf("%+v", p)
}
