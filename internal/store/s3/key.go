package s3

import (
	"strings"
	"unicode/utf8"

	"github.com/envdb/envdb"
)

const (
	longestKey = 1024      // bytes, with the prefix: S3's limit
	hidden     = ".envdb/" // what is not an object of the store
)

// object returns the key in the bucket of a key of the store. Keys are those
// that a directory could hold as well, so that a store can be copied.
func (s *Store) object(key string) (string, error) {
	why := keyFault(key)
	switch {
	case why != "":
	case strings.HasPrefix(key+"/", hidden):
		why = "its first segment is reserved"
	case len(s.prefix)+len(key) > longestKey:
		why = "it is longer than the 1,024 bytes that S3 allows, prefix included"
	default:
		return s.prefix + key, nil
	}
	return "", envdb.Fail(envdb.ErrMisuse, "store key %q: %s", key, why)
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
	for segment := range strings.SplitSeq(key, "/") {
		switch {
		case segment == "":
			return "it has an empty segment (a slash at an end, or two in a row)"
		case segment == "." || segment == "..":
			return `it has a segment "." or ".."`
		case len(segment) > 255:
			return "it has a segment of more than 255 bytes"
		}
	}
	return ""
}

// begins reports whether some key may begin with prefix.
func begins(prefix string) bool {
	i := strings.LastIndexByte(prefix, '/')
	return i < 0 || keyFault(prefix[:i]) == ""
}

// prefixOf returns the folder of a store, "" or ending in a slash.
func prefixOf(folder string) (string, error) {
	folder = strings.Trim(folder, "/")
	if folder == "" {
		return "", nil
	}
	if why := keyFault(folder); why != "" {
		return "", envdb.Fail(envdb.ErrMisuse, "the prefix %q of the store: %s", folder, why).WithNext("set store.url, e.g. s3://my-bucket/envdb")
	}
	return folder + "/", nil
}
