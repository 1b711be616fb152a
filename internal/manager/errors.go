package manager

import (
	"errors"
	"io/fs"

	"github.com/envdb/envdb"
)

// isNotFound reports whether err says that something is not there.
func isNotFound(err error) bool {
	return errors.Is(err, envdb.ErrNotFound) || errors.Is(err, fs.ErrNotExist)
}
