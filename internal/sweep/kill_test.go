package sweep_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/programtest"
)

// killAtCall has the operation kill itself at a call of the store.
func (s *scene) killAtCall(t *testing.T, op operation, n int, at step, k kind) (outcome, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at store call %s", k, at))
	raw, err := json.Marshal(fate{Command: r.command, Config: s.path("envdb.yaml"), Store: s.path("store"), Call: at.text, Nth: at.nth, Kind: k})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimVariable+"="+string(raw))
	s.proxy.arm(nil)
	return r.killed(n, cmd)
}

// killAtStatement runs the real command, and kills it at a statement.
func (s *scene) killAtStatement(t *testing.T, op operation, n int, at step, k kind) (outcome, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at statement %s", k, at))
	cmd := exec.Command(programtest.Path(t), append([]string{"--config", s.path("envdb.yaml")}, r.command.args()...)...)
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	started := make(chan struct{})
	r.started = func() { close(started) }
	s.proxy.arm(&shot{at: at, kind: k, hit: func() {
		<-started
		_ = cmd.Process.Kill()
	}})
	return r.killed(n, cmd)
}

// killed waits for the end of a process that is going to be killed, and asks
// what all ask.
func (r *round) killed(n int, cmd *exec.Cmd) (outcome, time.Duration) {
	r.t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = patience
	began := time.Now()
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if r.started != nil {
		r.started()
	}
	tooLong := time.AfterFunc(bound, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	_ = cmd.Wait() // the exit code is read from the state
	took := time.Since(began)
	if !tooLong.Stop() {
		r.errorf("it took %s:\n%s", took, said.String())
	}
	died := cmd.ProcessState.ExitCode() == -1
	if code := cmd.ProcessState.ExitCode(); !died && code != 0 {
		r.errorf("it ended with %d:\n%s", code, said.String())
	}
	r.connectionsGone()
	r.whole()
	r.converges(n)
	if !died {
		return didNotHappen, took
	}
	return failedCleanly, took
}
