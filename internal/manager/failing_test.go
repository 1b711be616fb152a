package manager_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// What the target lacks is said before anything is created there.
func TestTargetLacksWhatIsNeeded(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	role, password := s.CreateRole(t, "")
	target := on(t, s, "qa", envdb.QA)
	weak := target
	weak.url = s.URLAs(role, password, target.base)
	w := newWorld(t, prod, weak)
	w.backup("prod")

	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrPreflight, role, "may not create databases", "ALTER ROLE", "CREATEDB")
	same(t, "databases", strings.Join(target.databases(t), " "), "")

	s.Exec(t, "postgres", "ALTER ROLE "+role+" CREATEDB")
	w.mirror("prod", "qa")
	same(t, "live", target.content(t), "1|prod")

	// An extension that is in production's catalogue, and on no disk here.
	prod.exec(t, "SET allow_system_table_mods = on; INSERT INTO pg_extension SELECT 99999, 'pg_cron', extowner, extnamespace, false, '1.6' FROM pg_extension WHERE extname = 'plpgsql'")
	w.backup("prod")
	before := target.state(t)
	_, err = w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrPreflight, "pg_cron 1.6", "apt install", "extensions.skip", "nothing was changed")
	same(t, "the target", target.state(t), before)
}

// The role that only reads production cannot bring it back. It is not to be
// given what it lacks: another role does that one command.
func TestProductionIsBroughtBackByAnotherRole(t *testing.T) {
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "BYPASSRLS")
	s.Exec(t, "postgres", "GRANT pg_read_all_data TO "+role)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	variable := strings.ToUpper(prod.base) + "_URL"
	reader := prod
	reader.url = envdb.ConnString("env:" + variable)
	t.Setenv(variable, s.URLAs(role, password, prod.base).Reveal())
	w := newWorld(t, reader)
	as := func(url envdb.ConnString) { // as another process would
		t.Setenv(variable, url.Reveal())
		var err error
		if w.config, err = config.Load(w.path("envdb.yaml"), nil); err != nil {
			t.Fatal(problem(err))
		}
		w.Manager, w.ledger = w.newManager()
	}
	taken := w.backup("prod")
	refused := func(command string, err error) {
		t.Helper()
		wants(t, err, envdb.ErrPreflight, "the same as a superuser, for this one command: "+variable+"='<the url of a superuser>' "+command)
		if strings.Contains(problem(err), "CREATEDB") || strings.Contains(problem(err), "grant the role") {
			t.Errorf("%s: %s", command, problem(err))
		}
	}
	restore := manager.RestoreRequest{Environment: "prod", Point: envdb.AtBackup(taken.ID)}
	_, err := w.Restore(t.Context(), restore)
	refused("envdb restore prod@"+string(taken.ID), err)
	_, err = w.PlanRestore(t.Context(), restore)
	refused("envdb restore prod@"+string(taken.ID)+" --dry-run", err)

	as(prod.url)
	dark, err := w.Restore(t.Context(), restore)
	if err != nil {
		t.Fatal(problem(err))
	}
	as(s.URLAs(role, password, prod.base))
	_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod", Version: dark.Database, Confirm: "prod"})
	refused("envdb promote prod '"+dark.Database+"' --confirm prod", err)
	_, err = w.Discard(t.Context(), manager.DiscardRequest{Environment: "prod", Version: dark.Database, Confirm: dark.Database})
	refused("envdb discard prod '"+dark.Database+"' --confirm '"+dark.Database+"'", err)

	as(prod.url)
	swapped, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "prod", Version: dark.Database, Confirm: "prod"})
	if err != nil {
		t.Fatal(problem(err))
	}
	same(t, "the way back", swapped.Undo, "envdb rollback prod --confirm prod")
	as(s.URLAs(role, password, prod.base))
	_, err = w.Rollback(t.Context(), manager.RollbackRequest{Environment: "prod", Confirm: "prod"})
	refused("envdb rollback prod --confirm prod", err)
}

// A url that is no variable's alone cannot be replaced for one command.
func TestProductionIsBroughtBackByAnotherURL(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "BYPASSRLS")
	s.Exec(t, "postgres", "GRANT pg_read_all_data TO "+role)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	prod.url = s.URLAs(role, password, prod.base)
	w := newWorld(t, prod)
	taken := w.backup("prod")
	_, err := w.Restore(t.Context(), manager.RestoreRequest{Environment: "prod"})
	wants(t, err, envdb.ErrPreflight, "the same with a superuser's url for prod, for this one command: envdb restore prod@"+string(taken.ID))
}

// A role that policies hide rows from must not take a backup.
func TestSourceHidesRows(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "")
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("prod"),
		"CREATE TABLE hidden (id integer)", "INSERT INTO hidden VALUES (1)", "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
		"CREATE POLICY none ON hidden USING (false)", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+role, "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO "+role)...)
	as := prod
	as.url = s.URLAs(role, password, prod.base)
	w := newWorld(t, as)
	_, err := w.Backup(t.Context(), manager.BackupRequest{Environment: "prod"})
	wants(t, err, envdb.ErrPreflight, "hidden", "BYPASSRLS")
	list, err := w.Backups(t.Context(), "prod")
	if err != nil || len(list.Backups) != 0 {
		t.Errorf("backups: %+v, %v", list, err)
	}
	w.nothingLeft("prod")
	if d, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{}); err == nil {
		t.Errorf("the doctor finds nothing: %+v", d)
	}
	s.Exec(t, "postgres", "ALTER ROLE "+role+" BYPASSRLS")
	w.backup("prod")
}

// A damaged pack is found before anything of it is live, named, and healed by
// the next backup.
func TestDamagedPack(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	taken := w.backup("prod")
	before := target.state(t)
	pack := w.damagePacks()

	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrVerification, "pack")
	same(t, "the target", target.state(t), before)
	t.Logf("%s: %s", pack, problem(err))

	if _, err := w.Verify(t.Context(), manager.VerifyRequest{Environment: "prod", ReadData: true}); err == nil {
		t.Error("verify finds nothing")
	} else {
		wants(t, err, envdb.ErrVerification)
	}
	_, err = w.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "qa", Point: envdb.AtBackup(taken.ID)})
	if err == nil {
		t.Error("a damaged backup was mirrored")
	}
	same(t, "the target", target.state(t), before)

	healed := w.backup("prod")
	if r := w.mirror("prod", "qa"); r.Backup != healed.ID {
		t.Errorf("the mirror took %s, want the healed %s", r.Backup, healed.ID)
	}
	same(t, "live", target.content(t), "1|prod")
}

// damagePacks flips a byte in the middle of every pack, and returns one name.
func (w *world) damagePacks() (name string) {
	w.t.Helper()
	err := filepath.WalkDir(w.path("store"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/packs/") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content[len(content)/2] ^= 1
		name = path
		os.Chmod(path, 0o600)
		return os.WriteFile(path, content, 0o600)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if name == "" {
		w.t.Fatal("the store has no packs")
	}
	return name
}

// nothingLeft fails the test if a run left anything unfinished in the store.
func (w *world) nothingLeft(env string) {
	w.t.Helper()
	left, err := w.repository.Leftovers(w.t.Context(), env, func(string) (bool, error) { return true, nil })
	if err != nil || len(left) > 0 {
		w.t.Errorf("left in the store: %+v, %v", left, err)
	}
}

// A prepared transaction or a logical slot on what is live refuses the
// promote; live stays as it was, and the dark version goes.
func TestObstaclesToThePromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	gid := unique("gid")
	for name, o := range map[string]struct{ put, remove, says string }{
		"prepared transaction": {"BEGIN; INSERT INTO t VALUES (99, 'x'); PREPARE TRANSACTION '" + gid + "'", "ROLLBACK PREPARED '" + gid + "'", gid},
		"logical slot":         {"SELECT pg_create_logical_replication_slot('" + gid + "', 'test_decoding')", "SELECT pg_drop_replication_slot('" + gid + "')", gid},
	} {
		before := target.state(t)
		target.exec(t, o.put)
		_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
		wants(t, err, envdb.ErrPreflight, o.says, "then run this again")
		same(t, name, target.state(t), before)
		_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database})
		wants(t, err, envdb.ErrPreflight, o.says, "nothing was changed")
		same(t, name, target.state(t), before)
		target.exec(t, o.remove)
	}
	if _, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database}); err != nil {
		t.Fatal(problem(err))
	}
}
