package soak_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/programtest"
)

// host is a machine of its own, as far as the file system goes: it has a home
// and a configuration, and runs a daemon.
type host struct {
	program   string // the real command
	name, dir string
	env       []string

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{}
	said   *bytes.Buffer // of all its lives
	lives  int
	killed int
}

func newHost(t *testing.T, name, config string, env []string) *host {
	t.Helper()
	h := &host{program: programtest.Path(t), name: name, dir: filepath.Join(t.TempDir(), name), said: &bytes.Buffer{}}
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "envdb.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = append([]string{"HOME=" + h.dir, "ENVDB_HOME=" + filepath.Join(h.dir, "home"), "ENVDB_DAEMON_NAME=" + name, "PATH=" + os.Getenv("PATH"), "TZ=UTC", "GORACE=halt_on_error=1"}, env...)
	return h
}

// command is envdb on this host.
func (h *host) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, append([]string{"--config", filepath.Join(h.dir, "envdb.yaml")}, args...)...)
	cmd.Env, cmd.Dir = h.env, h.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts the daemon.
func (h *host) start(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	cmd := h.command("daemon", "--drain", "20s")
	cmd.Stdout, cmd.Stderr = h.said, h.said
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	h.lives++
	ended := make(chan struct{})
	h.cmd, h.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // its state is looked at
	}()
}

// kill ends the daemon as a power cut does.
func (h *host) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.killed++
}

// stop ends the daemon as systemd does, and asserts that it ended well.
func (h *host) stop(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("%s: it was not there to be stopped: %v\n%s", h.name, err, h.lastWords())
		return
	}
	select {
	case <-h.ended:
	case <-time.After(time.Minute):
		_ = h.cmd.Process.Signal(syscall.SIGQUIT)
		<-h.ended
		t.Errorf("%s: it did not end within a minute:\n%s", h.name, h.lastWords())
	}
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("%s: it ended with %d:\n%s", h.name, code, h.lastWords())
	}
}

// lastWords are the last lines of the log.
func (h *host) lastWords() string {
	const most = 6000
	said := h.said.Bytes()
	return string(said[max(0, len(said)-most):])
}

// chaos kills daemons at random until ctx ends, and starts them again. Who is
// killed, and when, is decided by the seed, which is printed.
func chaos(ctx context.Context, t *testing.T, seed uint64, hosts []*host, every time.Duration) {
	random := rand.New(rand.NewPCG(seed, 1))
	for {
		if wait(ctx, every/2+time.Duration(random.Int64N(int64(every)))) != nil {
			return
		}
		h := hosts[random.IntN(len(hosts))]
		h.kill()
		_ = wait(ctx, time.Duration(random.Int64N(int64(every/2))))
		h.start(t)
	}
}

// run runs envdb and returns what it printed; it fails the test if envdb does.
func (h *host) run(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := h.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *host) try(args ...string) ([]byte, error) {
	cmd := h.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("envdb %q: %w\n%s", args, err, stderr.String())
	}
	return stdout.Bytes(), nil
}
