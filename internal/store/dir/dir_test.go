package dir_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/store/dir"
	"github.com/envdb/envdb/internal/store/storetest"
)

// stall makes the test binary a writer that never ends, to be killed.
const stall = "ENVDB_TEST_STALL"

func TestMain(m *testing.M) {
	if path := os.Getenv(stall); path != "" {
		writeForEver(path)
	}
	os.Exit(m.Run())
}

func writeForEver(path string) {
	st, err := dir.Open(path)
	if err != nil {
		panic(err)
	}
	body := io.MultiReader(strings.NewReader("half"), telling{})
	_, err = st.Put(context.Background(), "half/done", body, envdb.Condition{})
	panic(err)
}

// telling says on stdout that the first half was read, and waits.
type telling struct{}

func (telling) Read([]byte) (int, error) {
	_, _ = os.Stdout.WriteString("reading\n")
	select {}
}

func open(t testing.TB, path string) *dir.Store {
	t.Helper()
	st, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.RunShared(t, func(tb testing.TB) func() envdb.Store {
		path := filepath.Join(tb.TempDir(), "deep", "store")
		return func() envdb.Store { return open(tb, path) }
	})
}

func TestOpenCreatesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	st := open(t, path)
	for object, err := range st.List(t.Context(), "") {
		t.Errorf("got %v, %v", object, err)
	}
	if err := st.Delete(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	st := open(t, path)
	if _, err := st.Put(t.Context(), "a/b", strings.NewReader("x"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestHiddenFilesAreOutOfReach(t *testing.T) {
	t.Parallel()
	st := open(t, t.TempDir())
	for _, key := range []string{".envdb/tmp/x", ".envdb", "lost+found/x", "x/" + strings.Repeat("é", 128)} {
		if _, err := st.Put(t.Context(), key, strings.NewReader("x"), envdb.Condition{}); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("put %q: got %v, want ErrMisuse", key, err)
		}
	}
	for object, err := range st.List(t.Context(), ".envdb/") {
		t.Errorf("got %v, %v", object, err)
	}
}

func TestKeyBelowAKey(t *testing.T) {
	t.Parallel()
	st := open(t, t.TempDir())
	put := func(key string) error {
		_, err := st.Put(t.Context(), key, strings.NewReader("x"), envdb.Condition{})
		return err
	}
	if err := errors.Join(put("a"), put("d/e")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a/b", "d"} {
		if err := put(key); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("put %q: got %v, want ErrMisuse", key, err)
		}
	}
}

// The disk of an open store is unmounted: nothing is written to the directory
// that it was mounted on.
func TestVanishedDirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	st := open(t, path)
	if _, err := st.Put(t.Context(), "k", strings.NewReader("x"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+"-away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := st.Put(t.Context(), "k", strings.NewReader("x"), envdb.Condition{})
	if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrUnreachable) || next == "" {
		t.Errorf("got %v, next %q; want ErrUnreachable with advice", err, next)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 0 {
		t.Errorf("the mount point has %v, %v", entries, err)
	}
}

func TestNotADirectory(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Open(path); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("got %v, want ErrMisuse", err)
	}
}

// A writer is killed halfway: its file is no object, is not taken for a
// leftover while it writes, and is cleaned up when it is dead.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writer := exec.CommandContext(t.Context(), self)
	writer.Env = append(os.Environ(), stall+"="+path)
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "reading\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	st := open(t, path)
	if found, err := st.Clean(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("while it writes: got %v, %v", found, err)
	}
	if err := writer.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Wait() // it was killed
	for object, err := range st.List(t.Context(), "") {
		t.Errorf("got %v, %v", object, err)
	}
	found, err := st.Leftovers(t.Context())
	if err != nil || len(found) != 1 || found[0].Size != 4 {
		t.Fatalf("got %v, %v; want one file of 4 bytes", found, err)
	}
	removed, err := st.Clean(t.Context())
	if err != nil || !slices.Equal(removed, found) {
		t.Errorf("removed %v, %v; want %v", removed, err, found)
	}
	if found, err := st.Leftovers(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("afterwards: got %v, %v", found, err)
	}
}
