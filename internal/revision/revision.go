// Package revision gives the files of a project as they are at a git revision.
//
// The one idea in it: the work tree and its index are not touched. The files are
// written into a directory of their own, with an index of their own, so that a
// branch can be deployed while somebody works on another.
package revision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/envdb/envdb"
)

// Tree is the files of a repository at a revision. The caller closes it.
type Tree struct {
	// Commit is the full name of the commit.
	Commit string
	// dir holds the files, top is where they lie in the work tree.
	dir, top string
}

// Open writes the files of the repository that dir belongs to, as they are at
// the revision, into a temporary directory. Submodules are left out. A revision
// that the repository does not know is ErrNotFound.
func Open(ctx context.Context, dir, name string) (*Tree, error) {
	top, err := git(ctx, dir, nil, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "%s is not in a git work tree: %w", dir, err).
			WithState("nothing was changed").WithNext("--ref needs the migrations and fixtures to be in a git repository")
	}
	if top, err = filepath.EvalSymlinks(top); err != nil {
		return nil, fmt.Errorf("git revision %s: %w", name, err)
	}
	commit, err := git(ctx, top, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return nil, envdb.Fail(envdb.ErrNotFound, "the repository %s knows no git revision %q", top, name).
			WithState("nothing was changed").WithNext("git -C %s fetch, or correct the revision", top)
	}
	t := &Tree{Commit: commit, top: top}
	if t.dir, err = os.MkdirTemp("", "envdb-revision-"); err != nil {
		return nil, fmt.Errorf("git revision %s: %w", name, err)
	}
	if err := t.write(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("git revision %s: %w", name, err), t.Close())
	}
	return t, nil
}

// write fills the directory by way of an index of its own. `git archive` would
// leave out what attributes say is not to be exported.
func (t *Tree) write(ctx context.Context) error {
	index, err := os.MkdirTemp("", "envdb-index-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(index)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(index, "index")}
	if _, err := git(ctx, t.top, env, "read-tree", t.Commit); err != nil {
		return err
	}
	_, err = git(ctx, t.top, env, "checkout-index", "--all", "--force", "--prefix="+t.dir+string(filepath.Separator))
	return err
}

// At returns where a file or directory of the work tree lies in the tree. What
// is outside of the repository stays where it is: there is one of it only.
func (t *Tree) At(path string) string {
	relative, err := filepath.Rel(t.top, resolved(path))
	if err != nil || !filepath.IsLocal(relative) {
		return path
	}
	return filepath.Join(t.dir, relative)
}

// resolved follows the symbolic links of the part of a path that exists: the
// revision may have files that the work tree has not.
func resolved(path string) string {
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		return whole
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolved(parent), filepath.Base(path))
}

// Close removes the files.
func (t *Tree) Close() error { return os.RemoveAll(t.dir) }

// git runs a command in dir and returns what it printed.
func git(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(surroundings(), env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(said.String()); text != "" {
			return "", errors.New(text)
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(out.String()), nil
}

// surroundings are the variables of this process without those by which git is
// sent to another repository, as a hook's are.
func surroundings() []string {
	var kept []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		switch name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE":
			continue
		}
		kept = append(kept, pair)
	}
	return kept
}
