package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// pretend makes a directory of client programs that say they are of a version.
func pretend(t *testing.T, dir, version string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"pg_dump", "pg_restore", "psql"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", program, version)
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Programs of several versions that lie in odd places are told apart: every
// directory of PATH counts, not only the first that has a pg_dump.
func TestToolsOnPath(t *testing.T) { // not parallel: it sets PATH
	root := t.TempDir()
	place := func(name string) string { return filepath.Join(root, name) }
	pretend(t, place("it's 91"), "91.4 (Debian 91.4-1)")
	pretend(t, place("93"), "93beta2")
	pretend(t, place("another 93"), "93.1")
	pretend(t, place("relative"), "92.1")
	if err := os.Remove(filepath.Join(pretend(t, place("no psql"), "92.2"), "psql")); err != nil {
		t.Fatal(err)
	}
	links := place("links") // as Debian's /usr/bin: what stands behind the link chooses by itself
	if err := errors.Join(os.Rename(filepath.Join(pretend(t, place("wrapper"), "92.3"), "pg_dump"), place("wrapper/pg_wrapper")),
		os.Mkdir(links, 0o755), os.Symlink(place("wrapper/pg_wrapper"), filepath.Join(links, "pg_dump")),
		os.Mkdir(place("far"), 0o755), os.Symlink(filepath.Join(pretend(t, place("deep/bin"), "95.0"), "pg_dump"), place("far/pg_dump"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	t.Setenv("PATH", strings.Join([]string{
		place("nowhere"), "", "relative", place("no psql"), links, place("it's 91"), place("93"), place("another 93"), place("far"), os.Getenv("PATH"),
	}, string(os.PathListSeparator)))
	for _, want := range []struct {
		major, found int
		dir          string
	}{{91, 91, "it's 91"}, {92, 93, "93"}, {93, 93, "93"}, {94, 95, "deep/bin"}} {
		tools, err := postgres.FindTools(t.Context(), want.major)
		if err != nil || tools.Major != want.found || filepath.Dir(tools.Dump) != place(want.dir) {
			t.Errorf("for %d: %+v, %v; want those in %s", want.major, tools, err, want.dir)
		}
	}
	_, err := postgres.FindTools(t.Context(), 96)
	state, next := envdb.Advice(err)
	if !errors.Is(err, envdb.ErrPreflight) || state == "" || !strings.Contains(next, "postgresql-client-96") || !strings.Contains(next, "PATH") {
		t.Errorf("error = %v, state = %q, next = %q", err, state, next)
	}
}
