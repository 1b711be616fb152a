package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/store"
	"github.com/envdb/envdb/internal/store/dir"
)

func TestOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b")
	for _, location := range []string{path, "file://" + path, "file://localhost" + path, "file://" + filepath.Dir(path) + "/a%20b"} {
		st, err := store.Open(t.Context(), store.Config{URL: location})
		if err != nil {
			t.Errorf("%s: %v", location, err)
			continue
		}
		if got := st.(*dir.Store).Path(); got != path {
			t.Errorf("%s: got %s, want %s", location, got, path)
		}
	}
	for _, location := range []string{"", "s3://", "s3://key:secret@bucket/prefix", "s3://bucket/x?y=1", "ftp://x/y", "~/store", "file://relative/path", "file://", "file:///x?y=1"} {
		_, err := store.Open(t.Context(), store.Config{URL: location})
		if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrMisuse) || next == "" {
			t.Errorf("%q: got %v, next %q; want ErrMisuse with advice", location, err, next)
		}
	}
}
