package manager_test

import (
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// What comes from the source follows the source; what the environment was
// given stays its own, through mirrors, rollbacks and dark versions.
func TestSettingsOfSourceAndEnvironment(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("x")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	set := func(p place, setting string) { s.Exec(t, "postgres", "ALTER DATABASE "+p.base+" "+setting) }
	const settings = "SELECT current_setting('work_mem'), current_setting('statement_timeout'), current_setting('lock_timeout')"
	set(prod, "SET work_mem = '5MB'")
	set(prod, "SET statement_timeout = '5min'")
	set(prod, "CONNECTION LIMIT 55")
	s.Exec(t, "postgres", "REVOKE CONNECT ON DATABASE "+prod.base+" FROM PUBLIC")

	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	if _, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "promoted from dark", target.query(t, settings), "5MB|5min|0")
	same(t, "rights", databaseProperties(t, target), databaseProperties(t, prod))

	set(target, "SET lock_timeout = '1min'")
	set(target, "SET statement_timeout = '1min'")
	set(prod, "SET work_mem = '6MB'")
	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true})
	same(t, "mirrored again", target.query(t, settings), "6MB|1min|1min")
	set(prod, "RESET work_mem")
	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true})
	same(t, "the source has one setting less", target.query(t, settings), "4MB|1min|1min")
	w.rollback("qa")
	same(t, "rolled back", target.query(t, settings), "6MB|1min|1min")

	// Somebody drops what is live: the previous version comes back as it was.
	s.DropDatabase(t, target.base)
	w.rollback("qa")
	same(t, "after a drop", target.query(t, settings), "4MB|1min|1min")
}
