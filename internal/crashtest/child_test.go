package crashtest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/programtest"
)

// patience is how long anything here may take.
const patience = 2 * time.Minute

// child is a command that runs.
type child struct {
	t     *testing.T
	s     *scene
	args  []string
	cmd   *exec.Cmd
	out   voice // complete when done is closed
	err   voice
	done  chan struct{}
	began time.Time
	took  time.Duration
}

// voice is what a command prints, which may be read while it runs.
type voice struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (v *voice) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.Write(p)
}

func (v *voice) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

// start runs envdb in the scene.
func (s *scene) start(t *testing.T, args ...string) *child {
	t.Helper()
	return s.startAs(t, func(*exec.Cmd) {}, args...)
}

// startAs runs envdb in the scene, changed by what is given.
func (s *scene) startAs(t *testing.T, changed func(*exec.Cmd), args ...string) *child {
	t.Helper()
	c := &child{t: t, s: s, args: args, done: make(chan struct{}), began: time.Now()}
	c.cmd = exec.Command(programtest.Path(t), args...)
	c.cmd.Dir = s.dir
	c.cmd.Env = append([]string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC"}, s.env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	c.cmd.WaitDelay = patience
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	changed(c.cmd)
	started := make(chan error)
	go func() {
		// Linux sends the parent-death signal when the thread that forked ends.
		runtime.LockOSThread()
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // the exit code is read from the state
			c.took = time.Since(c.began)
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.done
	})
	return c
}

// run runs envdb to its end, which must be with the exit code.
func (s *scene) run(t *testing.T, code int, args ...string) *child {
	t.Helper()
	return s.start(t, args...).ends(code)
}

func (c *child) String() string { return "envdb " + strings.Join(c.args, " ") }

func (c *child) pid() int { return c.cmd.Process.Pid }

// said is everything that the command printed, once it has ended.
func (c *child) said() string { return c.out.String() + c.err.String() }

// wait waits for the end and returns the exit code, -1 after a signal.
func (c *child) wait() int {
	c.t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		select {
		case <-c.done:
		case <-time.After(patience):
		}
		c.t.Fatalf("%s did not end within %s:\n%s", c, patience, c.err.String())
	}
	return c.cmd.ProcessState.ExitCode()
}

// ends waits for the end, which must be with the exit code.
func (c *child) ends(code int) *child {
	c.t.Helper()
	if got := c.wait(); got != code {
		c.t.Fatalf("%s ended with %d, want %d:\n%s", c, got, code, c.said())
	}
	return c
}

// says fails the test unless the command printed all of the texts.
func (c *child) says(texts ...string) *child {
	c.t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.said(), text) {
			c.t.Errorf("%s does not say %q:\n%s", c, text, c.said())
		}
	}
	return c
}

// kill ends the command as kill -9 does, and waits until it is gone. It
// reports whether the command was still running.
func (c *child) kill() bool {
	_ = c.cmd.Process.Kill()
	<-c.done
	return c.cmd.ProcessState.ExitCode() == -1
}

// interrupt sends what Ctrl-C does.
func (c *child) interrupt() {
	c.t.Helper()
	c.signal(os.Interrupt)
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Fatal(err)
	}
}

// until waits until ok, or until the command has ended; it reports whether ok.
func (c *child) until(what string, ok func() bool) bool {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-c.done:
			return ok()
		case <-ctx.Done():
			c.t.Fatalf("%s: waited in vain for %s", c, what)
		case <-tick.C:
		}
	}
	return true
}

// reaches waits until the command is at the step, or past it.
func (c *child) reaches(step string) {
	c.t.Helper()
	there := c.until("step "+step, func() bool {
		run := c.recorded()
		return run != nil && slices.ContainsFunc(run.Steps, func(s ledger.Step) bool { return s.Name == step })
	})
	if !there {
		c.t.Fatalf("%s ended without a step %q:\n%s", c, step, c.said())
	}
}

// recorded returns the newest record of a run of this process, or nil.
func (c *child) recorded() *ledger.Run {
	c.t.Helper()
	runs, err := c.s.ledger.Runs(c.t.Context(), ledger.Filter{Limit: 5})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, run := range runs {
		if run.Process.PID == c.pid() && !run.Started.Before(c.began.Add(-time.Second)) {
			return &run
		}
	}
	return nil
}

// at says where the command was when it ended.
func (c *child) at() string {
	run := c.recorded()
	if run == nil {
		return "before its record"
	}
	steps := make([]string, 0, len(run.Steps))
	for _, s := range run.Steps {
		steps = append(steps, s.Name)
	}
	return fmt.Sprintf("%s, steps %s", run.Outcome, strings.Join(steps, "/"))
}
