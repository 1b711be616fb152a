package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// homes is where clusters of tests live. It is not os.TempDir, because the
// path of a socket is short and everyone must be able to enter.
const homes = "/tmp"

const homePrefix = "envdb-test-"

// newHome returns a path for a new cluster. It names the process that made
// it, so that a later run can tell what a killed one left behind.
func newHome() (string, error) {
	dir, err := os.MkdirTemp(homes, homePrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("directory for a cluster: %w", err)
	}
	return dir, os.Chmod(dir, 0o755)
}

// sweep removes what test binaries that were killed left behind: their servers
// ended with them, their directories did not. What cannot be removed belongs
// to another user, who will.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(homes, homePrefix+"*")) // fails on a malformed pattern only
	for _, dir := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), homePrefix), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || errors.Is(syscall.Kill(n, 0), syscall.ESRCH) && !running(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

// running reports whether a server still lives in dir.
func running(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		return false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	return err == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// wantedMajor returns the PostgreSQL version that ENVDB_TEST_PG_MAJOR names,
// or 0 for the highest installed.
func wantedMajor() (int, error) {
	text := os.Getenv("ENVDB_TEST_PG_MAJOR")
	if text == "" {
		return 0, nil
	}
	major, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("ENVDB_TEST_PG_MAJOR: %w", err)
	}
	return major, nil
}
