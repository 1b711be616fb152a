package manager_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/programtest"
)

func TestMain(m *testing.M) { os.Exit(programtest.Wrap(pgtest.Wrap(m)).Run()) }

// run runs the command on the world's configuration; it returns its exit code
// and what it said.
func (w *world) run(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, programtest.Path(t), append([]string{"--config", w.path("envdb.yaml")}, args...)...)
	cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
