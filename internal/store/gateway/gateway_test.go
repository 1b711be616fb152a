package gateway_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/store/gateway"
)

func TestFind(t *testing.T) {
	cache, bin := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	t.Setenv("PATH", bin)
	t.Setenv("ENVDB_VERSITYGW", "")
	if _, err := gateway.Find(); err == nil {
		t.Error("found one where there is none")
	} else if _, next := envdb.Advice(err); next == "" {
		t.Errorf("%v says nothing of what to do", err)
	}
	found := func(want string) {
		t.Helper()
		if got, err := gateway.Find(); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	program := func(path string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho it does not want to >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program(filepath.Join(dir, "envdb", "versitygw-1.8.0.lock"))
	found(program(filepath.Join(dir, "envdb", "versitygw-1.8.0")))
	found(program(filepath.Join(bin, "versitygw")))
	t.Setenv("ENVDB_VERSITYGW", "/some/where")
	found("/some/where")

	_, err = gateway.Start(t.Context(), gateway.Options{Program: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()})
	if _, next := envdb.Advice(err); next == "" {
		t.Errorf("no program: got %v", err)
	}
	t.Setenv("PATH", "/usr/bin:/bin")
	if _, err := gateway.Start(t.Context(), gateway.Options{Program: filepath.Join(bin, "versitygw"), Dir: t.TempDir()}); err == nil {
		t.Error("started what ends at once")
	}
}
