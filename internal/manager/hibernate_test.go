package manager_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// hibernate hibernates an environment, which must work.
func (w *world) hibernate(env string) *manager.HibernateResult {
	w.t.Helper()
	r, err := w.Hibernate(w.t.Context(), manager.HibernateRequest{Environment: env, Confirm: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// wake wakes an environment up, which must work.
func (w *world) wake(env string) *manager.WakeResult {
	w.t.Helper()
	r, err := w.Wake(w.t.Context(), env)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// An environment is a backup while nobody needs it, and afterwards what it was.
func TestHibernateAndWake(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	qa := on(t, s, "qa", envdb.QA, "mirror: {from: prod}")
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE t SET who = 'qa, worked on'", "CREATE VIEW v AS SELECT who FROM t",
		"ALTER DATABASE "+postgres.Quote(qa.base)+" SET work_mem = '7MB'", "ALTER DATABASE "+postgres.Quote(qa.base)+" CONNECTION LIMIT 17")
	definitions := qa.query(t, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
	properties := databaseProperties(t, qa)

	_, err := w.Hibernate(t.Context(), manager.HibernateRequest{Environment: "qa"})
	wants(t, err, envdb.ErrRefused, "--confirm qa", "nothing was changed")
	plan, err := w.PlanHibernate(t.Context(), manager.HibernateRequest{Environment: "qa"})
	if err != nil || len(plan.Steps) != 5 || plan.Bytes == 0 {
		t.Errorf("the plan: %+v, %v", plan, err)
	}
	asleep := w.hibernate("qa")
	if !asleep.Hibernated || len(asleep.Dropped) != 3 || asleep.Freed == 0 || asleep.Bytes == 0 {
		t.Errorf("hibernated: %+v", asleep)
	}
	same(t, "its databases", strings.Join(qa.databases(t), " "), "")
	if status := w.status("qa"); status.State != "hibernating" || status.HibernatingSince == nil || status.HibernatedBytes != asleep.Bytes || !status.Newest.Pinned {
		t.Errorf("status: %+v", status)
	}
	if line := w.listed("qa"); line.State != "hibernating" {
		t.Errorf("listed: %+v", line)
	}
	if again := w.hibernate("qa"); again.Hibernated || again.Backup != asleep.Backup {
		t.Errorf("hibernated again: %+v", again)
	}

	// Whatever else is asked of it, it says how to wake it up.
	for name, do := range map[string]func() error{
		"mirror": func() error { _, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa")); return err },
		"a plan": func() error { _, err := w.PlanMirror(t.Context(), mirrorRequest("prod", "qa")); return err },
		"backup": func() error {
			_, err := w.Backup(t.Context(), manager.BackupRequest{Environment: "qa"})
			return err
		},
		"rollback": func() error {
			_, err := w.Rollback(t.Context(), manager.RollbackRequest{Environment: "qa"})
			return err
		},
		"restore": func() error {
			_, err := w.Restore(t.Context(), manager.RestoreRequest{Environment: "qa"})
			return err
		},
	} {
		if err := do(); err == nil {
			t.Errorf("%s of what hibernates", name)
		} else {
			wants(t, err, envdb.ErrPreflight, "qa hibernates since", "envdb wake qa", "nothing was changed")
		}
	}

	awake := w.wake("qa")
	if !awake.Woken || awake.Backup != asleep.Backup || awake.Build == nil {
		t.Errorf("awake: %+v", awake)
	}
	same(t, "its content", qa.content(t), "1|qa, worked on")
	same(t, "its relations", qa.query(t, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace"), definitions)
	same(t, "its properties", databaseProperties(t, qa), properties)
	if status := w.status("qa"); status.State != "up" || status.Neutrality != envdb.Neutralised || status.Newest.Pinned {
		t.Errorf("status: %+v", status)
	}
	if again := w.wake("qa"); again.Woken {
		t.Errorf("awake again: %+v", again)
	}
	w.mirror("prod", "qa")
}

// spoiler is a store that keeps packs otherwise than they were given to it.
type spoiler struct{ envdb.Store }

// Put implements envdb.Store.
func (s spoiler) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if strings.Contains(key, "/packs/") {
		content, err := io.ReadAll(body)
		if err != nil {
			return "", err
		}
		content[len(content)/2] ^= 1
		body = bytes.NewReader(content)
	}
	return s.Store.Put(ctx, key, body, cond)
}

// A backup that cannot be read back, or a database that cannot be taken out of
// service, costs nothing.
func TestHibernationThatFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE t SET who = 'qa'")
	oid := s.QueryText(t, "postgres", "SELECT oid FROM pg_database WHERE datname = "+postgres.Literal(qa.base))
	unharmed := func(when string) {
		t.Helper()
		same(t, when, qa.content(t), "1|qa")
		same(t, when+": oid", s.QueryText(t, "postgres", "SELECT oid FROM pg_database WHERE datname = "+postgres.Literal(qa.base)), oid)
		same(t, when+": versions", w.versions("qa"), "live prod, baseline prod")
		if status := w.status("qa"); status.State != "up" {
			t.Errorf("%s: status %+v", when, status)
		}
	}
	request := manager.HibernateRequest{Environment: "qa", Confirm: "qa"}

	whole := w.store
	w.store = spoiler{whole}
	w.Manager, w.ledger = w.newManager()
	_, err := w.Hibernate(t.Context(), request)
	wants(t, err, envdb.ErrVerification, "damaged", "qa is as it was")
	unharmed("after a backup that cannot be read back")
	w.store = whole
	w.Manager, w.ledger = w.newManager()

	gid := unique("gid")
	qa.exec(t, "BEGIN; CREATE TABLE half (id int); PREPARE TRANSACTION '"+gid+"'")
	_, err = w.Hibernate(t.Context(), request)
	wants(t, err, envdb.ErrPreflight, gid, "ROLLBACK PREPARED")
	unharmed("with a prepared transaction")
	qa.exec(t, "ROLLBACK PREPARED '"+gid+"'")

	w.hibernate("qa")
	w.wake("qa")
	same(t, "its content", qa.content(t), "1|qa")
}

// Whatever a run that died left undone, waking up leads back.
func TestWakeAfterACrash(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE t SET who = 'qa'")
	mark := func(backup envdb.BackupID) {
		t.Helper()
		run, err := w.Run(t.Context(), "latest")
		if err != nil {
			t.Fatal(problem(err))
		}
		_, err = w.ledger.ChangeEnvironment(t.Context(), "qa", func(e *ledger.Environment) error {
			e.Hibernation = &ledger.Hibernation{Since: time.Now(), Run: run.Run.ID, Version: run.Run.ID, Backup: backup}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	unharmed := func(when string) {
		t.Helper()
		same(t, when, qa.content(t), "1|qa")
		if status := w.status("qa"); status.State != "up" {
			t.Errorf("%s: status %+v", when, status)
		}
	}

	mark("") // before it was taken out of service
	if r := w.wake("qa"); !r.Woken || r.Build != nil {
		t.Errorf("awake: %+v", r)
	}
	unharmed("marked")

	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE t SET who = 'qa'")
	mark("") // and after
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(qa.base)+" RENAME TO "+postgres.Quote(qa.base+"__previous_x"))
	if r := w.wake("qa"); !r.Woken || r.Build != nil {
		t.Errorf("awake: %+v", r)
	}
	unharmed("retired")

	asleep := w.hibernate("qa")
	w.wake("qa")
	qa.exec(t, "UPDATE t SET who = 'worked on since'")
	if err := w.repository.Pin(t.Context(), "qa", asleep.Backup, "hibernation of qa"); err != nil {
		t.Fatal(err)
	}
	mark(asleep.Backup) // it was restored, and the record still says otherwise
	if r := w.wake("qa"); !r.Woken || r.Build != nil {
		t.Errorf("awake: %+v", r)
	}
	same(t, "what was done since", qa.content(t), "1|worked on since")
	mark(asleep.Backup)
	if r := w.hibernate("qa"); !r.Hibernated || r.Backup == asleep.Backup {
		t.Errorf("hibernated: %+v", r)
	}
	w.wake("qa")
	same(t, "what was done since", qa.content(t), "1|worked on since")
}

// An instance that hibernates can be destroyed, and cannot be created.
func TestHibernatingInstance(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	tests := pattern(t, s, "test-*", envdb.Test, "ttl: 7d")
	w := newWorld(t, on(t, s, "prod", envdb.Production).have(t), tests)
	x := tests.one("x")
	w.create(manager.CreateRequest{Environment: x.name})
	x.exec(t, "CREATE TABLE t (id int, who text)", "INSERT INTO t VALUES (1, 'x')")
	asleep := w.hibernate(x.name)
	_, err := w.Create(t.Context(), manager.CreateRequest{Environment: x.name})
	wants(t, err, envdb.ErrPreflight, "test-x hibernates since", "envdb wake test-x")
	w.wake(x.name)
	same(t, "its content", x.content(t), "1|x")
	w.hibernate(x.name)
	if gone := w.destroy(x.name); len(gone.Dropped) != 0 || gone.Backups != 2 {
		t.Errorf("destroyed: %+v", gone)
	}
	if w.listed(x.name) != nil {
		t.Error("it is still listed")
	}
	backups, err := w.Backups(t.Context(), x.name)
	if err != nil || backups.Backups[0].ID != asleep.Backup || backups.Backups[0].Pinned || backups.Backups[1].Pinned {
		t.Errorf("backups: %+v, %v", backups, err)
	}
}
