package manager_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// A newer backup that cannot be restored is not passed over in silence.
func TestOlderBackupIsNotTakenInSilence(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, target)
	first, second := w.backup("prod"), w.backup("prod")
	manifest := filepath.Join(w.dir, "store", "acceptance", "backups", "prod", string(second.ID), "manifest")
	if err := os.Truncate(manifest, 100); err != nil {
		t.Fatal(err)
	}
	plan, err := w.PlanMirror(t.Context(), mirrorRequest("prod", "prod-copy"))
	if err != nil {
		t.Fatal(problem(err))
	}
	if plan.Backup != first.ID || len(plan.Warnings) != 1 || !strings.Contains(plan.Warnings[0], string(second.ID)) {
		t.Errorf("the plan uses %s and warns %q", plan.Backup, plan.Warnings)
	}
	w.mirror("prod", "prod-copy")
	if !strings.Contains(w.log.String(), string(second.ID)+" of prod is newer and cannot be restored") {
		t.Error("the mirror did not warn")
	}
}

// Backups of production stay production's when the configuration calls the
// environment something else.
func TestBackupsRememberTheirTier(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	source := on(t, s, "live", envdb.Production).have(t, append(small("prod"), "CREATE PUBLICATION news FOR ALL TABLES")...)
	target := on(t, s, "dev", envdb.Dev)
	w := newWorld(t, source, target)
	if b := w.backup("live"); b.Tier != envdb.Production {
		t.Errorf("the manifest says tier %q", b.Tier)
	}
	source.tier = envdb.Staging
	renamed := newWorld(t, source, target)
	renamed.adopt(w)
	if result := renamed.mirror("live", "dev"); result.Neutrality != envdb.Neutralised {
		t.Errorf("the copy is %s", result.Neutrality)
	}
	same(t, "publications", target.query(t, "SELECT count(*) FROM pg_publication"), "0")
}

// Two environments with one database, spelt differently: the second is refused
// before anything is built.
func TestDatabaseOfAnotherEnvironmentIsRefusedEarly(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	dev := on(t, s, "dev", envdb.Dev)
	other := dev
	other.name, other.url = "dev2", envdb.ConnString(strings.Replace(dev.url.Reveal(), "127.0.0.1", "localhost", 1))
	w := newWorld(t, prod, dev, other)
	w.mirror("prod", "dev")
	before := dev.state(t)
	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "dev2"))
	wants(t, err, envdb.ErrRefused, `a version of environment "dev"`, "nothing was changed")
	same(t, "dev", dev.state(t), before)
	run, err := w.Run(t.Context(), "latest")
	if err != nil || len(run.Run.Versions) != 0 {
		t.Errorf("the run was going to create %v, %v", run.Run.Versions, err)
	}
}

// To verify nothing is no clean bill.
func TestVerifyOfNothing(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	w := newWorld(t, prod)
	for _, env := range []string{"prod", "prdo"} {
		result, err := w.Verify(t.Context(), manager.VerifyRequest{Environment: env})
		wants(t, err, envdb.ErrNotFound, env)
		if result != nil {
			t.Errorf("%s: %+v", env, result)
		}
	}
}

// A backup of a database that does not exist records no identity.
func TestIdentityIsThatOfABackup(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production)
	w := newWorld(t, prod)
	if _, err := w.Backup(t.Context(), manager.BackupRequest{Environment: "prod"}); err == nil {
		t.Fatal("a backup of no database")
	}
	_, err := w.AcceptIdentity(t.Context(), "prod")
	wants(t, err, envdb.ErrNotFound, prod.base)
	if report, err := w.Identity(t.Context(), "prod"); err != nil || report.Recorded != nil {
		t.Fatalf("recorded: %+v, %v", report, err)
	}
	prod.have(t, small("prod")...)
	w.backup("prod")
	report, err := w.Identity(t.Context(), "prod")
	if err != nil || report.Recorded == nil || report.Now == nil || !report.Recorded.MayBe(*report.Now) {
		t.Errorf("after a backup: %+v, %v", report, err)
	}
	oid := s.QueryText(t, "postgres", "SELECT oid FROM pg_database WHERE datname = '"+prod.base+"'")
	same(t, "oid", fmt.Sprint(report.Recorded.DatabaseOID), oid)
}

// An index whose function names another one without its schema can be backed
// up, loaded and counted: PostgreSQL planned it under a search path that had it.
func TestIndexThatReliesOnTheSearchPath(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	path := "" // from 17 on PostgreSQL itself plans indexes under an empty one
	if s.Major() >= 17 {
		path = " SET search_path = public"
	}
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("prod"),
		"SET check_function_bodies = off",
		"CREATE FUNCTION helper(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1'",
		"CREATE FUNCTION imm(int) RETURNS int LANGUAGE sql IMMUTABLE"+path+" AS 'SELECT helper($1)'",
		"CREATE TABLE it (a int)", "INSERT INTO it SELECT generate_series(1, 100)", "CREATE INDEX ON it (imm(a))")...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, target)
	w.mirror("prod", "prod-copy")
	same(t, "rows", target.query(t, "SELECT count(*) FROM it WHERE imm(a) > 50"), "51")
}
