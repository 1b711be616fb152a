package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// Daemon is a program other than PostgreSQL that runs beside a cluster, such
// as a pooler: as the unprivileged user, and no longer than this process.
type Daemon struct{ process *process }

// StartDaemon starts a program that stays in the foreground. Its output is
// appended to the file log.
func StartDaemon(program, log string, args ...string) (*Daemon, error) {
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", program, err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Dir = environment(), "/"
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes(who.credential(), false)
	p, err := launch(cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return &Daemon{p}, nil
}

// Done is closed when the program has ended.
func (d *Daemon) Done() <-chan struct{} { return d.process.done }

// Stop ends the program and waits until it is gone. It is idempotent.
func (d *Daemon) Stop() error { return d.process.stop(context.Background(), syscall.SIGTERM) }
