package s3test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const homePrefix = "envdb-s3test-"

// home is the directory of a server. This process holds a lock on it, which
// the kernel takes away when the process ends, however it ends: a home that
// can be locked is an orphan.
type home struct {
	path string
	lock *os.File
}

// newHome makes a home and locks it. A sweep of another test binary may come
// between the two; then there is nothing left to use, and another is made.
func newHome() (*home, error) {
	for {
		path, err := os.MkdirTemp("", homePrefix)
		if err != nil {
			return nil, fmt.Errorf("directory for an S3 server: %w", err)
		}
		if h, ok := takeHome(path, syscall.LOCK_EX); ok {
			return h, nil
		}
	}
}

// takeHome locks a home; how is flock's operation. It reports false if the
// home is locked by another or gone.
func takeHome(path string, how int) (*home, bool) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return nil, false
	}
	locked, lockedErr := f.Stat()
	there, thereErr := os.Stat(path)
	if lockedErr != nil || thereErr != nil || !os.SameFile(locked, there) {
		f.Close()
		return nil, false
	}
	return &home{path, f}, true
}

// remove deletes the home, and then gives the lock up.
func (h *home) remove() error { return errors.Join(os.RemoveAll(h.path), h.lock.Close()) }

// sweep removes the homes of test binaries that were killed: their servers
// ended with them, their directories did not. What cannot be removed belongs
// to another user, who will.
func sweep() {
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), homePrefix+"*")) // fails on a malformed pattern only
	for _, path := range left {
		if h, ok := takeHome(path, syscall.LOCK_EX|syscall.LOCK_NB); ok {
			_ = h.remove()
		}
	}
}
