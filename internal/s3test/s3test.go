// Package s3test gives tests a real S3 server, and a proxy that makes it fail.
//
// The one idea: a test binary shares one versitygw on loopback, started when
// the first test asks for it and gone when the binary ends, however it ends;
// tests keep out of each other's way by buckets of their own. What a good
// server never does, Proxy does in front of it. A package whose tests use it
// says so once:
//
//	func TestMain(m *testing.M) { s3test.Main(m) }
package s3test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb/internal/store/gateway"
)

// Server is a running S3 server.
type Server struct {
	*gateway.Gateway
	home *home
	keys keys
}

// shared is the server of the test binary. It is the one variable of the
// package, because a test binary is the one thing that owns it.
var shared struct {
	sync.Mutex
	managed        bool
	access, secret string // of every server of this binary
	server         *Server
	err            error
}

// Main runs the tests of a package and then removes the shared server. Call it
// from TestMain.
func Main(m interface{ Run() int }) { Wrap(m).Run() }

// Wrap returns m such that Run also removes the shared server. It takes a
// *testing.M or what wraps one already, such as pgtest.Wrap(m).
func Wrap(m interface{ Run() int }) Runner { return Runner{m} }

// Runner runs tests and tidies up behind them.
type Runner struct{ m interface{ Run() int } }

// Run runs the tests, removes the shared server and returns the exit code. The
// tests, and the processes that they start, find the keys of the servers in
// their environment, as AWS's default chain wants them, and no others.
func (r Runner) Run() int {
	shared.Lock()
	shared.access, shared.secret = "envdb"+rand.Text()[:15], rand.Text()+rand.Text()
	for _, variable := range gateway.Env(shared.access, shared.secret) {
		name, value, _ := strings.Cut(variable, "=")
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, "s3test:", err)
			return 1
		}
	}
	shared.managed = true
	shared.Unlock()
	defer discard()
	return r.m.Run()
}

func discard() {
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return
	}
	if err := shared.server.destroy(); err != nil {
		fmt.Fprintln(os.Stderr, "s3test:", err)
	}
	shared.server = nil
}

// Start returns the shared server, which it starts if no test did before.
func Start(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	managed(t)
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = create()
	}
	if shared.err != nil {
		t.Fatalf("s3test: %v", shared.err)
	}
	return shared.server
}

// StartOwn returns a server that only this test uses, e.g. to stop it, and
// that is removed when the test ends.
func StartOwn(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	managed(t)
	s, err := create()
	if err != nil {
		t.Fatalf("s3test: %v", err)
	}
	t.Cleanup(func() {
		if err := s.destroy(); err != nil {
			t.Errorf("remove the S3 server: %v", err)
		}
	})
	return s
}

// managed fails a test whose package does not remove the servers.
func managed(t testing.TB) {
	t.Helper()
	if !shared.managed {
		t.Fatal("s3test: add to the package's tests: func TestMain(m *testing.M) { s3test.Main(m) }")
	}
}

// create starts a server. The caller holds the lock of shared.
func create() (*Server, error) {
	program, err := Program()
	if err != nil {
		return nil, err
	}
	sweep()
	h, err := newHome()
	if err != nil {
		return nil, err
	}
	g, err := gateway.Start(context.Background(), gateway.Options{
		Program: program, Dir: h.path, AccessKey: shared.access, SecretKey: shared.secret,
	})
	if err != nil {
		return nil, errors.Join(err, h.remove())
	}
	s := &Server{Gateway: g, home: h}
	s.keys.add(g.Keys())
	return s, nil
}

func (s *Server) destroy() error { return errors.Join(s.Stop(), s.home.remove()) }

// Program returns the path of versitygw, which it builds if this machine has
// none of the version that .ci/versitygw names.
func Program() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	build := exec.Command(filepath.Join(root, ".ci", "versitygw", "build"))
	var said strings.Builder
	build.Stderr = &said
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("build versitygw: %w: %s", err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// moduleRoot returns the directory above the working directory, which for a
// test is that of its package, that has the module file of versitygw.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, ".ci", "versitygw", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the module: no .ci/versitygw/go.mod above the working directory")
		}
		dir = parent
	}
}

// Endpoint returns the server's URL.
func (s *Server) Endpoint() string { return s.URL() }

// Bucket makes a new bucket and returns its name.
func (s *Server) Bucket(t testing.TB) string {
	t.Helper()
	name := "envdb-" + strings.ToLower(rand.Text())
	if err := s.CreateBucket(name); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	return name
}
