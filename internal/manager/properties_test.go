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

// A setting of the configuration goes when the configuration does not name it
// any more; what the source or a person set is there again, or still.
func TestSettingsOfTheConfigurationGo(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("x")...)
	s.Exec(t, "postgres", "ALTER DATABASE "+prod.base+" SET work_mem = '5MB'")
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	const settings = "SELECT current_setting('work_mem'), current_setting('statement_timeout'), current_setting('lock_timeout')"
	with := newWorldOf(t, w, prod, withLines(target, "settings: {work_mem: 9MB, statement_timeout: 9s}"))
	with.mirror("prod", "qa")
	same(t, "as configured", target.query(t, settings), "9MB|9s|0")
	s.Exec(t, "postgres", "ALTER DATABASE "+target.base+" SET lock_timeout = '1min'")
	for range 2 { // a clone gets them too, and knows where they are from
		with.reset("qa", manager.ByBaseline)
		same(t, "reset", target.query(t, settings), "9MB|9s|1min")
	}

	w.reset("qa", manager.ByBaseline)
	same(t, "not configured any more", target.query(t, settings), "5MB|0|1min")
	with.rollback("qa")
	same(t, "configured again, and rolled back", target.query(t, settings), "9MB|9s|1min")
	s.Exec(t, "postgres", "ALTER DATABASE "+target.base+" SET statement_timeout = '7s'")
	w.rollback("qa")
	same(t, "what a person changed is theirs", target.query(t, settings), "5MB|7s|1min")
	w.mirror("prod", "qa")
	same(t, "mirrored", target.query(t, settings), "5MB|7s|1min")
}
