package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeNew writes a file that only its owner can read, whole or not at all,
// durably once it returns nil. A file that is there already is fs.ErrExist,
// and stays as it is.
func writeNew(path, content string) (err error) {
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if removed := os.Remove(aside.Name()); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	_, err = aside.WriteString(content)
	if err = errors.Join(err, aside.Sync(), aside.Close()); err != nil {
		return err
	}
	// A link does not replace what is there. Where the file system has none, a
	// look before the rename must do.
	err = os.Link(aside.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fs.ErrExist, err)
	}
	return os.Rename(aside.Name(), path)
}
