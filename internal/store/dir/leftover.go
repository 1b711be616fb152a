package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// cleaning is the lock that Clean holds alone and writers share while they
// create a file.
const cleaning = "cleaning"

// Leftover is the unfinished file of a writer that died.
type Leftover struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// Leftovers returns the unfinished files whose writers are dead. They are
// never part of the store; they only take up space.
func (s *Store) Leftovers(ctx context.Context) ([]Leftover, error) {
	var found []Leftover
	err := s.eachLeftover(ctx, func(l Leftover) error {
		found = append(found, l)
		return nil
	})
	return found, err
}

// Clean removes the unfinished files whose writers are dead, and returns them.
func (s *Store) Clean(ctx context.Context) ([]Leftover, error) {
	var removed []Leftover
	err := s.eachLeftover(ctx, func(l Leftover) error {
		if err := os.Remove(l.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.explain("delete", l.Path, err)
		}
		removed = append(removed, l)
		return nil
	})
	return removed, err
}

// eachLeftover visits the temporary files that nobody holds a lock on. While
// it runs nobody creates one.
func (s *Store) eachLeftover(ctx context.Context, visit func(Leftover) error) (err error) {
	if _, err := os.Stat(s.lockDir()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock(ctx, cleaning, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	entries, err := os.ReadDir(s.tempDir())
	if err != nil {
		return s.explain("list", s.tempDir(), err)
	}
	for _, entry := range entries {
		path := filepath.Join(s.tempDir(), entry.Name())
		l, dead, err := inspect(path)
		if err != nil {
			return s.explain("read", path, err)
		}
		if !dead {
			continue
		}
		if err := visit(l); err != nil {
			return err
		}
	}
	return nil
}

// inspect reports whether the file is there and its writer is dead.
func inspect(path string) (_ Leftover, dead bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Leftover{}, false, nil
	}
	if err != nil {
		return Leftover{}, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return Leftover{}, false, nil
		}
		return Leftover{}, false, err
	}
	info, err := f.Stat()
	if err != nil {
		return Leftover{}, false, err
	}
	return Leftover{Path: path, Size: info.Size(), Modified: info.ModTime()}, true, nil
}
