package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const homePrefix = "envdb-test-"

// Clusters of tests live in memory where there is plenty of it: they make and
// drop databases of a thousand files each, which a file system on a disk takes
// longer for than PostgreSQL. Else they live in /tmp, which is not os.TempDir,
// because the path of a socket is short and everyone must be able to enter.
const (
	inMemory    = "/dev/shm"
	onDisk      = "/tmp"
	plentyBytes = 4 << 30
)

// homes returns where clusters live.
func homes() string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(inMemory, &fs); err != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < plentyBytes || !writable(inMemory) {
		return onDisk
	}
	return inMemory
}

func writable(dir string) bool {
	path, err := os.MkdirTemp(dir, homePrefix+"probe-")
	return err == nil && os.Remove(path) == nil
}

// home is the directory of a cluster. This process holds a lock on it, which
// the kernel takes away when the process ends, however it ends: a home that
// can be locked is an orphan.
type home struct {
	path string
	lock *os.File
}

// newHome makes a home and locks it. A sweep of another test binary may come
// between the two; then there is nothing left to use, and another is made.
func newHome() (home, error) {
	for {
		path, err := os.MkdirTemp(homes(), homePrefix)
		if err != nil {
			return home{}, fmt.Errorf("directory for a cluster: %w", err)
		}
		h, ok := takeHome(path, syscall.LOCK_EX)
		if !ok {
			continue
		}
		if err := os.Chmod(path, 0o755); err != nil {
			h.release()
			return home{}, fmt.Errorf("directory for a cluster: %w", err)
		}
		return h, nil
	}
}

// takeHome locks a home; how is flock's operation. It reports false if the
// home is locked by another or gone.
func takeHome(path string, how int) (home, bool) {
	f, err := os.Open(path)
	if err != nil {
		return home{}, false
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		f.Close()
		return home{}, false
	}
	locked, lockedErr := f.Stat()
	there, thereErr := os.Stat(path)
	if lockedErr != nil || thereErr != nil || !os.SameFile(locked, there) {
		f.Close()
		return home{}, false
	}
	return home{path, f}, true
}

// release gives the lock up.
func (h home) release() { h.lock.Close() }

// sweep removes the homes of test binaries that were killed: their servers
// ended with them, their directories did not. What cannot be removed belongs
// to another user, who will.
func sweep() {
	var left []string
	for _, dir := range []string{inMemory, onDisk} {
		found, _ := filepath.Glob(filepath.Join(dir, homePrefix+"*")) // fails on a malformed pattern only
		left = append(left, found...)
	}
	for _, path := range left {
		if h, ok := takeHome(path, syscall.LOCK_EX|syscall.LOCK_NB); ok {
			_ = os.RemoveAll(path)
			h.release()
		}
	}
}
