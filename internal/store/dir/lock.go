package dir

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	lockStripes  = 256 // files that share the keys; they are never removed
	lockPatience = 2 * time.Millisecond
)

// lockKey excludes every other writer of key, in this process and others,
// until the returned function is called. It is held for a rename, never while
// a body is read.
func (s *Store) lockKey(ctx context.Context, key string) (unlock func() error, err error) {
	hash := fnv.New32a()
	hash.Write([]byte(key))
	return s.lock(ctx, fmt.Sprintf("%02x", hash.Sum32()%lockStripes), syscall.LOCK_EX)
}

// lock takes flock(2) on a file of the lock directory. Every call opens the
// file anew, so goroutines exclude each other as processes do.
func (s *Store) lock(ctx context.Context, name string, how int) (unlock func() error, err error) {
	path := filepath.Join(s.lockDir(), name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if errors.Is(err, os.ErrNotExist) {
		return nil, s.unreachable("lock", path, err)
	}
	if err != nil {
		return nil, s.explain("lock", path, err)
	}
	if err := flock(ctx, f, how); err != nil {
		return nil, errors.Join(s.explain("lock", path, err), f.Close())
	}
	return f.Close, nil
}

// flock waits for the lock for as long as ctx allows.
func flock(ctx context.Context, f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPatience):
		}
	}
}
