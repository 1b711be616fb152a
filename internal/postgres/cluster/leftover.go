package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Remove stops the server of a cluster that another process made in dir and
// left running, and removes the cluster. A directory that is not there is no
// error; one that holds no cluster is left alone.
func Remove(ctx context.Context, dir string) error {
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove %s: it holds no cluster", dir)
	}
	pid, socketDir := readPID(data)
	if pid > 0 {
		if err := end(ctx, pid); err != nil {
			return fmt.Errorf("stop the server of %s: %w", dir, err)
		}
	}
	if strings.HasPrefix(filepath.Base(socketDir), socketPrefix) {
		if err := os.RemoveAll(socketDir); err != nil {
			return fmt.Errorf("remove socket directory: %w", err)
		}
	}
	return os.RemoveAll(dir)
}

// readPID reads from postmaster.pid the server's process and the directory of
// its socket; a server that ended properly left no such file. See PostgreSQL's
// pidfile.h.
func readPID(data string) (pid int, socketDir string) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 5 || lines[1] != data {
		return 0, ""
	}
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || !isPostgres(pid, data) {
		return 0, lines[4]
	}
	return pid, lines[4]
}

// isPostgres reports whether the process works in the data directory: after a
// crash its number may be another's. PostgreSQL's processes do.
func isPostgres(pid int, data string) bool {
	if !alive(pid) {
		return false
	}
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return true // a system without /proc
	}
	return err == nil && cwd == data
}

// end stops a server that is not our child, and waits until it is gone.
func end(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for alive(pid) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), syscall.Kill(pid, syscall.SIGQUIT))
		}
	}
	return nil
}

// alive reports whether a process runs. One that has ended but that nobody
// waited for, as happens in containers, does not.
func alive(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
