package manager_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// The rows that an extension's configuration tables have beyond the
// extension's own come along, and its other tables are as it makes them.
func TestConfigurationTablesOfAnExtension(t *testing.T) {
	t.Parallel()
	programs, err := pgtest.Source.Programs()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "envdb-manager-") // t.TempDir is closed to the server's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	bin, err := everything.Installation(filepath.Join(dir, "installation"), programs.Dir)
	if err != nil {
		t.Fatal(err)
	}
	s := pgtest.StartOwn(t, pgtest.Options{Programs: cluster.Programs{Dir: bin, Major: programs.Major}})
	source := on(t, s, "staging", envdb.Staging).have(t, append(small("staging"), everything.ConfigTablesSQL())...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, source, target)
	w.mirror("staging", "qa")
	same(t, "jobs", target.query(t, "SELECT count(*), max(id) FROM config.jobs"), source.query(t, "SELECT count(*), max(id) FROM config.jobs"))
	equal.Check(t, s.URL(source.base), s.URL(target.base), equal.Options{Parts: []equal.Part{equal.Definitions, equal.Rows, equal.Sequences}})
}
