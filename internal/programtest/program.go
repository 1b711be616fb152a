// Package programtest gives tests the real command: they start it as a process,
// kill it, and look at what it left. It is built once in each test binary.
package programtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// Path returns the path of the command, and builds it if nobody has yet. It fails
// the test if that is not possible.
func Path(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.dir, built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, "envdb")
}

func build() (dir string, err error) {
	if err := depend(); err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "envdb-program-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "envdb"), "github.com/envdb/envdb/cmd/envdb")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return dir, fmt.Errorf("build the command: %w\n%s", err, said.String())
	}
	return dir, nil
}

// depend looks at every file that the command may be made of. go test remembers the result
// of a test binary until something changes that it is made of or looked at: the
// command is neither.
func depend() error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	for ; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return errors.New("build the command: no go.mod above the test")
		}
	}
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin"):
			return fs.SkipDir
		case entry.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		_, err = os.Stat(path)
		return err
	})
}

// Wrap returns m such that Run also removes the command. It takes a *testing.M or
// what wraps one already, such as pgtest.Wrap(m).
func Wrap(m interface{ Run() int }) Runner { return Runner{m} }

// Runner runs tests and tidies up behind them.
type Runner struct{ m interface{ Run() int } }

// Run runs the tests, removes the command and returns the exit code.
func (r Runner) Run() int {
	defer func() { _ = os.RemoveAll(built.dir) }()
	return r.m.Run()
}
