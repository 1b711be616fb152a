// Package pgtest gives tests a real PostgreSQL server.
//
// The one idea in it: a test binary shares one throwaway cluster (or two, where
// source and target of a copy differ in version), made when the first test asks
// for it and gone when the binary ends, however it ends.
// Tests keep out of each other's way by working in databases and roles of
// their own. A machine without PostgreSQL fails the tests; it never skips
// them. A package whose tests use it says so once:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Server is a PostgreSQL cluster for tests.
type Server struct {
	*cluster.Cluster
	home home
}

// Options say how a cluster of a test's own differs from the shared one.
type Options struct {
	// Settings are configuration parameters, e.g. {"max_connections": "5"}.
	Settings map[string]string
	// Side is whose version of PostgreSQL it has; the zero value is Source.
	Side Side
	// Programs are the server programs to use; the zero value is those of Side.
	Programs cluster.Programs
}

// shared are the clusters of the test binary. It is the one variable of the
// package, because a test binary is the one thing that owns it.
var shared struct {
	sync.Mutex
	managed bool
	made    map[Side]made
}

// made is a shared cluster, or why there is none.
type made struct {
	server *Server
	err    error
}

// Main runs the tests of a package and then removes the shared cluster. Call
// it from TestMain.
func Main(m *testing.M) { Wrap(m).Run() }

// Wrap returns m such that Run also removes the shared cluster; it is for
// testscript.Main, which wants to call Run itself.
func Wrap(m *testing.M) Runner { return Runner{m} }

// Runner runs tests and tidies up behind them.
type Runner struct{ m *testing.M }

// Run runs the tests, removes the shared cluster and returns the exit code.
func (r Runner) Run() int {
	shared.Lock()
	shared.managed = true
	shared.Unlock()
	defer discard()
	return r.m.Run()
}

func discard() {
	shared.Lock()
	defer shared.Unlock()
	for _, m := range shared.made {
		if m.server == nil {
			continue
		}
		if err := m.server.Destroy(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
	}
	shared.made = nil
}

// Start returns the shared cluster, which it makes if no test did before. Its
// version is the one of Source.
func Start(t testing.TB) *Server {
	t.Helper()
	return sharedOf(t, Source)
}

// StartTarget returns the shared cluster to copy into: the one that Start
// returns, or where Target has another version, a second one.
func StartTarget(t testing.TB) *Server {
	t.Helper()
	source, err := Source.Programs()
	if err != nil {
		fail(t, err)
	}
	target, err := Target.Programs()
	if err != nil {
		fail(t, err)
	}
	if source.Major == target.Major {
		return sharedOf(t, Source)
	}
	return sharedOf(t, Target)
}

// sharedOf returns the shared cluster of a side.
func sharedOf(t testing.TB, side Side) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.managed {
		t.Fatal("pgtest: add to the package's tests: func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	m, tried := shared.made[side]
	if !tried {
		m.server, m.err = create(Options{Side: side})
		if shared.made == nil {
			shared.made = map[Side]made{}
		}
		shared.made[side] = m
	}
	if m.err != nil {
		fail(t, m.err)
	}
	return m.server
}

// StartOwn returns a cluster that only this test uses, and that is removed
// when the test ends.
func StartOwn(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := create(o)
	if err != nil {
		fail(t, err)
	}
	t.Cleanup(func() {
		if err := s.Destroy(context.Background()); err != nil {
			t.Errorf("remove the cluster: %v", err)
		}
	})
	return s
}

// fail ends the test with the error and what to do about it.
func fail(t testing.TB, err error) {
	t.Helper()
	if _, next := envdb.Advice(err); next != "" {
		t.Fatalf("pgtest: %v\nNext: %s", err, next)
	}
	t.Fatalf("pgtest: %v", err)
}

// create makes a cluster in a home of its own.
func create(o Options) (*Server, error) {
	if o.Programs.Dir == "" {
		var err error
		if o.Programs, err = o.Side.Programs(); err != nil {
			return nil, err
		}
	}
	sweep()
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := cluster.Create(ctx, cluster.Options{Dir: h.path, Settings: settings(o.Settings), Programs: o.Programs})
	if err != nil {
		err = errors.Join(err, os.RemoveAll(h.path))
		h.release()
		return nil, err
	}
	return &Server{c, h}, nil
}

// settings are the cluster's own under those that a test asks for. Hundreds of
// databases that live for a second each need nobody to vacuum them, nor WAL that
// is filled with zeros before it is written.
func settings(wanted map[string]string) map[string]string {
	all := map[string]string{"autovacuum": "off", "wal_init_zero": "off"}
	maps.Copy(all, wanted)
	return all
}

// Destroy stops the server and removes it. It is idempotent.
func (s *Server) Destroy(ctx context.Context) error {
	defer s.home.release()
	return s.Cluster.Destroy(ctx)
}
