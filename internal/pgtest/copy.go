package pgtest

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// DumpTo copies a database into a new one of another server, or of its own, as
// people do: with pg_dump and pg_restore of the source's version. It returns
// the name of the copy, which goes when the test ends. Roles must be there.
func (s *Server) DumpTo(t testing.TB, database string, to *Server) (name string) {
	t.Helper()
	tools, err := postgres.FindTools(t.Context(), s.Major())
	if err != nil {
		fail(t, err)
	}
	name = to.CreateDatabase(t)
	file := filepath.Join(t.TempDir(), "dump")
	runTool(t, s.URL(database), tools.Dump, "--format=custom", "--compress=0", "--file="+file)
	runTool(t, to.URL(name), tools.Restore, "--exit-on-error", "--dbname="+name, file)
	return name
}

// runTool runs a client program that connects as the URL says.
func runTool(t testing.TB, to envdb.ConnString, program string, args ...string) {
	t.Helper()
	env, err := postgres.ToolEnv(to)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pgtest: %s: %v\n%s", program, err, out)
	}
}
