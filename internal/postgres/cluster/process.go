package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child process that is waited for.
type process struct {
	pid  int
	done chan struct{}
}

// launch starts cmd. The goroutine keeps its thread until the child is gone,
// because Linux sends the parent-death signal when the thread that forked
// ends, not when the process does.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
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

// stop sends the signal and waits; a process that does not end in time, or
// before ctx does, is killed.
func (p *process) stop(ctx context.Context, signal os.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	child, err := os.FindProcess(p.pid)
	if err != nil {
		return fmt.Errorf("stop process %d: %w", p.pid, err)
	}
	_ = child.Signal(signal) // it may have ended by itself
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	_ = child.Signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(time.Second):
		_ = child.Kill()
		<-p.done
	}
	return nil
}
