package dir

import (
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

const longestSegment = 255 // NAME_MAX of every file system that envdb is used on

// path returns the file of a key. Keys are relative, slash-separated, valid
// UTF-8 and without "." or ".." segments; they cannot reach the hidden files.
func (s *Store) path(key string) (string, error) {
	if why := keyFault(key); why != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "store key %q: %s", key, why)
	}
	return filepath.Join(s.root, filepath.FromSlash(key)), nil
}

// keyFault says what is wrong with a key, or "".
func keyFault(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case !utf8.ValidString(key):
		return "it is not valid UTF-8"
	case strings.ContainsRune(key, 0):
		return "it contains a NUL byte"
	}
	for i, segment := range strings.Split(key, "/") {
		switch {
		case segment == "":
			return "it has an empty segment (a slash at an end, or two in a row)"
		case segment == "." || segment == "..":
			return `it has a segment "." or ".."`
		case len(segment) > longestSegment:
			return "it has a segment of more than 255 bytes, which no file system can hold"
		case i == 0 && reserved(segment):
			return "its first segment is reserved"
		}
	}
	return ""
}

// reserved reports whether an entry of the root is not part of the store.
func reserved(segment string) bool { return segment == hidden || segment == lostDir }
