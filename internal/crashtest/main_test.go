package crashtest_test

import (
	"os"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/programtest"
	"github.com/envdb/envdb/internal/s3test"
)

func TestMain(m *testing.M) { os.Exit(programtest.Wrap(s3test.Wrap(pgtest.Wrap(m))).Run()) }

// everything reports whether everything is to be run, not only a sample.
func everything() bool { return os.Getenv("ENVDB_SWEEP") != "" }
