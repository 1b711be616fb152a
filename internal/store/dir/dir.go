// Package dir keeps a store's objects as files of a directory, one file per
// object at the path that its key spells.
//
// The one idea: a file is written aside, in a hidden directory of the same
// file system, synced, and only then takes its name; so a name is either absent
// or leads to a whole, durable object, whatever kills the process. Conditions
// hold between all processes of one machine, by flock(2).
package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/envdb/envdb"
)

const (
	hidden   = ".envdb" // below the root: what is not an object
	lostDir  = "lost+found"
	dirMode  = 0o700 // objects hold production's data
	fileMode = 0o600
)

// Store is a directory as an envdb.Store. Several Stores, in several processes
// of one machine, may share a directory.
type Store struct {
	root string

	mu       sync.Mutex
	prepared bool // the root and its hidden directories were seen to exist
}

var _ envdb.Store = (*Store)(nil)

// Open returns the store in the directory path. It creates nothing: the first
// Put does, so that looking at a mistyped path leaves no trace.
func Open(path string) (*Store, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrMisuse, "store directory %q: %w", path, err)
	}
	s := &Store{root: root}
	switch info, err := os.Stat(root); {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, s.explain("open", root, err)
	case !info.IsDir():
		return nil, envdb.Fail(envdb.ErrMisuse, "the store %s is a file, not a directory", root).
			WithNext("name a directory as store.url")
	}
	if _, err := os.ReadDir(root); err != nil {
		return nil, s.explain("open", root, err)
	}
	_, noTemp := os.Stat(s.tempDir())
	_, noLocks := os.Stat(s.lockDir())
	s.prepared = noTemp == nil && noLocks == nil
	return s, nil
}

// Path returns the absolute path of the directory.
func (s *Store) Path() string { return s.root }

func (s *Store) tempDir() string { return filepath.Join(s.root, hidden, "tmp") }
func (s *Store) lockDir() string { return filepath.Join(s.root, hidden, "locks") }

// prepare makes the root and the hidden directories, once. What existed when
// the store was opened is not made again: it has vanished, most likely because
// its disk is not mounted, and writing to another disk would be no backup.
func (s *Store) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared {
		return nil
	}
	for _, dir := range []string{s.tempDir(), s.lockDir()} {
		if err := os.MkdirAll(dir, dirMode); err != nil {
			return s.explain("create", dir, err)
		}
	}
	for _, dir := range []string{filepath.Join(s.root, hidden), s.root, filepath.Dir(s.root)} {
		if err := syncDir(dir); err != nil {
			return s.explain("sync", dir, err)
		}
	}
	s.prepared = true
	return nil
}

// Get implements envdb.Store. A span past the end of the object is empty.
func (s *Store) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	path, err := s.path(key)
	if err != nil {
		return nil, envdb.Object{}, err
	}
	if span.Offset < 0 || span.Length < 0 {
		return nil, envdb.Object{}, envdb.Fail(envdb.ErrMisuse, "read %s: negative span", key)
	}
	if err := ctx.Err(); err != nil {
		return nil, envdb.Object{}, err
	}
	f, err := openObject(path)
	if err != nil {
		return nil, envdb.Object{}, s.explain("read", path, err)
	}
	object, err := describe(f, key)
	if err != nil {
		return nil, envdb.Object{}, errors.Join(s.explain("read", path, err), f.Close())
	}
	length := object.Size - min(span.Offset, object.Size)
	if span.Length > 0 {
		length = min(length, span.Length)
	}
	body := &body{ctx: ctx, r: io.NewSectionReader(f, span.Offset, length), f: f, explain: func(err error) error {
		return s.explain("read", path, err)
	}}
	return body, object, nil
}

// openObject opens a regular file. A directory that shares the key's name is
// no object, and neither is anything below a file.
func openObject(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		if isNotDir(err) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// body is an open object that honours its context.
type body struct {
	ctx     context.Context // of the Get that opened it: the reader is part of that call
	r       io.Reader
	f       *os.File
	explain func(error) error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *body) Close() error { return b.f.Close() }
