package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/envdb/envdb"
)

// explain turns an error of the file system into one that says what to do.
// Not-found stays fs.ErrNotExist.
func (s *Store) explain(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return envdb.Fail(nil, "the store's disk is full: %s %s: %w", op, path, err).
			WithState("the object was not stored; what was stored before is whole").
			WithNext("free space on the file system of %s (see `df -h %s`), then run the command again", s.root, s.root)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return envdb.Fail(envdb.ErrUnreachable, "the store refuses access: %s %s: %w", op, path, err).
			WithNext("run envdb as the owner of %s, or give its user that directory", s.root)
	case errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.EHOSTDOWN):
		return s.unreachable(op, path, err)
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// unreachable is the error of a store whose disk went away.
func (s *Store) unreachable(op, path string, err error) error {
	return envdb.Fail(envdb.ErrUnreachable, "the store %s is gone: %s %s: %v", s.root, op, path, err).
		WithNext("check that its disk is mounted, then run the command again")
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
