package sweep_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/s3test"
)

// program is the path of the command, which TestMain builds.
var program string

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		os.Exit(victim())
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "envdb-sweep-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "envdb")
	build := exec.Command("go", "build", "-o", program, "github.com/envdb/envdb/cmd/envdb")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the command:", err)
		return 1
	}
	return s3test.Wrap(pgtest.Wrap(m)).Run()
}

// soak reports whether everything is to be run, not only a sample.
func soak() bool { return os.Getenv("ENVDB_SOAK") != "" }
