package gateway

import (
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const stopPatience = 10 * time.Second

// process is a child process that is waited for.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// launch starts cmd. The goroutine keeps its thread until the child is gone,
// because Linux sends the parent-death signal when the thread that forked
// ends, not when the process does.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the exit code of a server that was told to end says nothing
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop asks the process to end, and ends it if it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
