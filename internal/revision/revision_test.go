package revision_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/revision"
)

// run runs git as somebody with a name.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// project returns a repository whose branch "feature" has another migration
// than the work tree, in which somebody is in the middle of something.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	write(t, filepath.Join(dir, "db/migrations/1.sql"), "one")
	write(t, filepath.Join(dir, ".gitattributes"), "db/migrations/2.sql export-ignore\n")
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "one")
	run(t, dir, "checkout", "-q", "-b", "feature")
	write(t, filepath.Join(dir, "db/migrations/2.sql"), "two")
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "two")
	run(t, dir, "checkout", "-q", "main")
	write(t, filepath.Join(dir, "db/migrations/1.sql"), "in the middle of something")
	write(t, filepath.Join(dir, "staged"), "staged")
	run(t, dir, "add", "staged")
	return dir
}

func TestOpenLeavesTheWorkTreeAlone(t *testing.T) {
	t.Parallel()
	dir := project(t)
	before := run(t, dir, "status", "--porcelain")
	for _, name := range []string{"feature", "refs/heads/feature", run(t, dir, "rev-parse", "feature")[:8]} {
		tree, err := revision.Open(t.Context(), filepath.Join(dir, "db"), name)
		if err != nil {
			t.Fatal(err)
		}
		migrations := tree.At(filepath.Join(dir, "db/migrations"))
		if got := read(t, filepath.Join(migrations, "1.sql")) + read(t, filepath.Join(migrations, "2.sql")); got != "onetwo" {
			t.Errorf("%s: migrations are %q", name, got)
		}
		if tree.Commit != run(t, dir, "rev-parse", "feature") {
			t.Errorf("%s: commit %s", name, tree.Commit)
		}
		if _, err := os.Stat(filepath.Join(migrations, "../../staged")); err == nil {
			t.Errorf("%s: the tree has what is only in the index", name)
		}
		if outside := t.TempDir(); tree.At(outside) != outside {
			t.Errorf("%s: %s is outside of the repository", name, outside)
		}
		if err := tree.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(migrations); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the files are still there: %v", name, err)
		}
	}
	if after := run(t, dir, "status", "--porcelain"); after != before {
		t.Errorf("the work tree was %q and is %q", before, after)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := project(t)
	for _, c := range []struct {
		name, dir, revision string
		kind                error
	}{
		{"unknown", dir, "no-such-branch", envdb.ErrNotFound},
		{"an option", dir, "--all", envdb.ErrNotFound},
		{"a file", dir, "main:db", envdb.ErrNotFound},
		{"no repository", t.TempDir(), "main", envdb.ErrPreflight},
	} {
		_, err := revision.Open(t.Context(), c.dir, c.revision)
		state, next := envdb.Advice(err)
		if !errors.Is(err, c.kind) || state == "" || next == "" {
			t.Errorf("%s: %v (%s; %s)", c.name, err, state, next)
		}
	}
}
