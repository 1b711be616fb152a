package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/envdb/envdb"
)

const (
	writeBuffer = 256 << 10
	mkdirTries  = 100 // against a Delete that removes the empty directory again
)

// Put implements envdb.Store.
func (s *Store) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	path, err := s.path(key)
	if err != nil {
		return "", err
	}
	if err := s.prepare(); err != nil {
		return "", err
	}
	// A condition that fails now fails before the body was read for nothing.
	if err := s.holds(path, key, cond); err != nil {
		return "", err
	}
	temp, err := s.writeAside(ctx, key, body)
	if err != nil {
		return "", err
	}
	// Once it has its name the file is no longer at this path, and the error
	// of removing it says nothing.
	defer func() { _ = os.Remove(temp.Name()) }()
	defer func() { _ = temp.Close() }() // synced already; this gives up its lock
	object, err := describe(temp, key)
	if err != nil {
		return "", s.explain("write", temp.Name(), err)
	}
	if err := s.publish(ctx, temp.Name(), path, key, cond); err != nil {
		return "", err
	}
	return object.Tag, s.syncParents(path)
}

// writeAside writes body to a locked temporary file and syncs it. The lock
// tells Leftovers that the writer lives. On error no file is left.
func (s *Store) writeAside(ctx context.Context, key string, body io.Reader) (_ *os.File, err error) {
	temp, err := s.createTemp(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, temp.Close(), os.Remove(temp.Name()))
		}
	}()
	if err := s.copyBody(ctx, temp, key, body); err != nil {
		return nil, err
	}
	if err := scatter(temp.Name()); err != nil {
		return nil, s.explain("write", temp.Name(), err)
	}
	if err := temp.Sync(); err != nil {
		return nil, s.explain("sync", temp.Name(), err)
	}
	return temp, nil
}

// createTemp creates a temporary file and locks it, as one step for Clean,
// which would take a file without a lock for a dead writer's.
func (s *Store) createTemp(ctx context.Context) (*os.File, error) {
	unlock, err := s.lock(ctx, cleaning, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(s.tempDir(), "put-*")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(s.unreachable("create", s.tempDir(), err), unlock())
	}
	if err != nil {
		return nil, errors.Join(s.explain("create", s.tempDir(), err), unlock())
	}
	if err := flock(ctx, temp, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(s.explain("lock", temp.Name(), err), temp.Close(), os.Remove(temp.Name()), unlock())
	}
	return temp, unlock()
}

// copyBody tells an error of the body from one of the disk.
func (s *Store) copyBody(ctx context.Context, temp *os.File, key string, body io.Reader) error {
	buf := make([]byte, writeBuffer)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buf)
		if _, werr := temp.Write(buf[:n]); werr != nil {
			return s.explain("write", filepath.Join(s.root, filepath.FromSlash(key)), werr)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store %s: read its content: %w", key, err)
		}
	}
}

// publish gives the finished file its name, if the condition holds.
func (s *Store) publish(ctx context.Context, temp, path, key string, cond envdb.Condition) error {
	unlock, err := s.lockKey(ctx, key)
	if err != nil {
		return err
	}
	return errors.Join(s.publishLocked(temp, path, key, cond), unlock())
}

func (s *Store) publishLocked(temp, path, key string, cond envdb.Condition) error {
	if err := s.holds(path, key, cond); err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return envdb.Fail(envdb.ErrMisuse, "store key %s: other keys begin with it and a slash, so it cannot be a file", key)
	}
	var err error
	for range mkdirTries {
		if err = os.MkdirAll(filepath.Dir(path), dirMode); err == nil {
			err = rename(temp, path, cond.Absent())
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return conditionFails(key)
	case isNotDir(err):
		return envdb.Fail(envdb.ErrMisuse, "store key %s: a part of it is another key, so it cannot be a directory", key)
	}
	return s.explain("write", path, err)
}

// rename moves the file to path. With exclusive, link(2) refuses an existing
// name by itself, even where flock does not work across machines; file systems
// without links have the lock alone.
func rename(temp, path string, exclusive bool) error {
	if !exclusive {
		return os.Rename(temp, path)
	}
	err := os.Link(temp, path)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		return os.Rename(temp, path)
	}
	return err
}

// holds returns ErrCondition, wrapped, if cond does not hold.
func (s *Store) holds(path, key string, cond envdb.Condition) error {
	if !cond.Absent() && cond.Match() == "" {
		return nil
	}
	f, err := openObject(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if cond.Absent() {
			return nil
		}
		return conditionFails(key)
	case err != nil:
		return s.explain("read", path, err)
	}
	object, err := describe(f, key)
	if err := errors.Join(err, f.Close()); err != nil {
		return s.explain("read", path, err)
	}
	if cond.Absent() || object.Tag != cond.Match() {
		return conditionFails(key)
	}
	return nil
}

func conditionFails(key string) error { return fmt.Errorf("write %s: %w", key, envdb.ErrCondition) }

// Delete implements envdb.Store. It removes the directories that it empties.
func (s *Store) Delete(ctx context.Context, key string) error {
	path, err := s.path(key)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := openObject(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.explain("delete", path, err)
	}
	if err := errors.Join(f.Close(), s.prepare()); err != nil {
		return err
	}
	unlock, err := s.lockKey(ctx, key)
	if err != nil {
		return err
	}
	if err := errors.Join(s.remove(path), unlock()); err != nil {
		return err
	}
	return s.prune(filepath.Dir(path))
}

// remove unlinks a file and makes that durable.
func (s *Store) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.explain("delete", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.explain("sync", filepath.Dir(path), err)
	}
	return nil
}

// prune removes dir and its parents for as long as they are empty. rmdir(2)
// refuses a directory that is not, so no object can be lost.
func (s *Store) prune(dir string) error {
	for dir != s.root {
		if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
	return nil
}

// syncParents makes the new name durable: the file's directory and all above
// it, because any of them may be younger than the last sync.
func (s *Store) syncParents(path string) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		// A directory that is gone was removed with the object, by a Delete.
		if err := syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.explain("sync", dir, err)
		}
		if dir == s.root {
			return nil
		}
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
