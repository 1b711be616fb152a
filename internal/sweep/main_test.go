package sweep_test

import (
	"os"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/programtest"
	"github.com/envdb/envdb/internal/s3test"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimVariable) != "" {
		os.Exit(victim())
	}
	os.Exit(programtest.Wrap(s3test.Wrap(pgtest.Wrap(m))).Run())
}

// everything reports whether everything is to be done, not only a sample:
// ENVDB_SWEEP=all. everyKill reports whether at least the process is to be killed
// at every step: ENVDB_SWEEP=kills.
func everything() bool { return os.Getenv("ENVDB_SWEEP") == "all" }

func everyKill() bool { return everything() || os.Getenv("ENVDB_SWEEP") == "kills" }
