package dir

import (
	"errors"
	"io/fs"
	"syscall"
	"testing"

	"github.com/envdb/envdb"
)

// The inside is the point: a full disk cannot be had in every test run.
func TestExplain(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		cause syscall.Errno
		kind  error
		next  bool
	}{
		{syscall.ENOSPC, syscall.ENOSPC, true},
		{syscall.EDQUOT, syscall.EDQUOT, true},
		{syscall.EACCES, envdb.ErrUnreachable, true},
		{syscall.EROFS, envdb.ErrUnreachable, true},
		{syscall.ESTALE, envdb.ErrUnreachable, true},
		{syscall.ENOENT, fs.ErrNotExist, false},
		{syscall.EIO, syscall.EIO, false},
	} {
		err := s.explain("write", "/x", &fs.PathError{Op: "write", Path: "/x", Err: test.cause})
		if !errors.Is(err, test.kind) {
			t.Errorf("%v: got %v, want %v", test.cause, err, test.kind)
		}
		if _, next := envdb.Advice(err); (next != "") != test.next {
			t.Errorf("%v: next is %q", test.cause, next)
		}
	}
}
