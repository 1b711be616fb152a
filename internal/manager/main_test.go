package manager_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Wrap(m).Run()
	if program.dir != "" {
		os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// program is the real command, built when the first test asks for it.
var program struct {
	once sync.Once
	dir  string
	err  error
}

// binary returns the path of the real command.
func binary(t *testing.T) string {
	t.Helper()
	program.once.Do(func() { program.dir, program.err = buildProgram() })
	if program.err != nil {
		t.Fatal(program.err)
	}
	return filepath.Join(program.dir, "envdb")
}

func buildProgram() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "envdb-program-"); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/envdb", "github.com/envdb/envdb/cmd/envdb")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return dir, fmt.Errorf("build the command: %w\n%s", err, said.String())
	}
	return dir, nil
}

// run runs the command on the world's configuration; it returns its exit code
// and what it said.
func (w *world) run(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), append([]string{"--config", w.path("envdb.yaml")}, args...)...)
	cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
