package pgtest

import (
	"fmt"
	"os"
	"strconv"

	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Side says which end of a copy a server is. `make test-matrix` runs the tests
// with a version of PostgreSQL for each side; otherwise both are the highest
// one installed.
type Side int

// The sides of a copy.
const (
	Source Side = iota
	Target
)

// variable names what chooses the major version of a side: a number; empty or
// unset is the highest one installed.
func (s Side) variable() string {
	if s == Target {
		return "ENVDB_TEST_PG_TARGET"
	}
	return "ENVDB_TEST_PG_SOURCE"
}

// Programs returns the server programs of a side's version.
func (s Side) Programs() (cluster.Programs, error) {
	major := 0
	if text := os.Getenv(s.variable()); text != "" {
		var err error
		if major, err = strconv.Atoi(text); err != nil {
			return cluster.Programs{}, fmt.Errorf("%s: %w", s.variable(), err)
		}
	}
	return cluster.Find(major)
}
