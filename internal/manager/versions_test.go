package manager_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

func TestMirrorTwiceAndRollBackTwice(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, target)

	same(t, "status before", w.status("prod-copy").State, "no database yet")
	first := w.mirror("prod", "prod-copy") // there is no backup yet, so it takes one
	same(t, "live", target.content(t), "1|one")
	if first.Previous != "" || first.Database != target.base {
		t.Errorf("the first mirror: %+v", first)
	}
	prod.exec(t, "UPDATE t SET who = 'two'")
	second := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "prod-copy", Fresh: true})
	same(t, "live", target.content(t), "1|two")
	if second.Previous == "" || second.Backup == first.Backup || second.Promotion == nil {
		t.Errorf("the second mirror: %+v", second)
	}
	same(t, "versions", w.versions("prod-copy"), "live prod, previous prod, baseline prod")

	back := w.rollback("prod-copy")
	same(t, "live after a rollback", target.content(t), "1|one")
	if back.Was != second.Previous || !back.Point.Equal(first.Point) || back.Neutrality != envdb.Neutralised {
		t.Errorf("the rollback: %+v", back)
	}
	w.rollback("prod-copy")
	same(t, "live after another", target.content(t), "1|two")

	line := w.status("prod-copy")
	if line.State != "up" || line.DataSource != "prod" || !line.DataPoint.Equal(second.Point) || line.Neutrality != envdb.Neutralised || len(line.Versions) != 3 {
		t.Errorf("status: %+v", line)
	}
	if source := w.status("prod"); source.Backups != 2 || source.Newest == nil || source.Newest.ID != second.Backup || source.Neutrality != "" {
		t.Errorf("status of the source: %+v", source)
	}
	list, err := w.Backups(t.Context(), "prod")
	if err != nil || len(list.Backups) != 2 || list.Backups[0].ID != first.Backup || list.Backups[1].State() != "good" {
		t.Errorf("backups: %+v, %v", list, err)
	}
	w.checkRuns("prod-copy", "rollback rollback mirror mirror", second.Run)
}

// A rollback undoes the swap before it, also if a person had made what was live
// then: it goes back and forth between the two, however often.
func TestRollbackToWhatEnvdbDidNotMake(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	qa := on(t, s, "qa", envdb.QA).have(t, small("by hand")...)
	w := newWorld(t, prod, qa)
	w.backup("prod")
	for range 3 {
		w.mirror("prod", "qa")
		same(t, "live after a mirror", qa.content(t), "1|prod")
		plan, err := w.PlanRollback(t.Context(), manager.RollbackRequest{Environment: "qa"})
		if err != nil || !strings.Contains(fmt.Sprint(plan.Steps), "__aside_") {
			t.Errorf("%+v, %v", plan, err)
		}
		w.rollback("qa")
		same(t, "live after a rollback", qa.content(t), "1|by hand")
	}
}

// checkRuns compares the operations of an environment's runs, newest first,
// and looks at the record of one mirror.
func (w *world) checkRuns(env, want, mirror string) {
	w.t.Helper()
	runs, err := w.Runs(w.t.Context(), manager.RunQuery{Environment: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	var operations []string
	for _, r := range runs.Runs {
		operations = append(operations, string(r.Operation))
		if r.Outcome != ledger.Succeeded || r.Finished.IsZero() || len(r.Steps) == 0 {
			w.t.Errorf("run %s: %s, %d steps, %s", r.ID, r.Outcome, len(r.Steps), r.Error)
		}
	}
	same(w.t, "runs", strings.Join(operations, " "), want)

	report, err := w.Run(w.t.Context(), mirror)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	var steps []string
	for _, s := range report.Run.Steps {
		steps = append(steps, s.Name)
		if s.Started.IsZero() || s.Took < 0 {
			w.t.Errorf("step %s: %+v", s.Name, s)
		}
	}
	for _, name := range []string{"preflight", "create", "load", "check", "promote"} {
		if !strings.Contains(" "+strings.Join(steps, " ")+" ", " "+name+" ") {
			w.t.Errorf("the steps of the mirror lack %s: %v", name, steps)
		}
	}
	if report.Run.Source != "prod" || report.Run.Backup == "" || len(report.Run.Versions) != 2 || report.Log == "" {
		w.t.Errorf("the record: %+v, log %q", report.Run, report.Log)
	}
}

func TestKeepPrevious(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("x")...)
	two := on(t, s, "two", envdb.QA, "keep_previous: 2")
	none := on(t, s, "none", envdb.QA, "keep_previous: 0")
	w := newWorld(t, prod, two, none)
	for range 4 {
		w.mirror("prod", "two")
	}
	same(t, "keep_previous: 2", w.versions("two"), "live prod, previous prod, previous prod, baseline prod")

	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "none"))
	wants(t, err, envdb.ErrRefused, "keep_previous: 0", "--confirm none")
	same(t, "databases", strings.Join(none.databases(t), " "), "")
	for range 2 {
		if r := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "none", Confirm: "none"}); r.Previous != "" {
			t.Errorf("%s is said to be there, and is gone", r.Previous)
		}
	}
	same(t, "keep_previous: 0", w.versions("none"), "live prod, baseline prod")
	_, err = w.Rollback(t.Context(), manager.RollbackRequest{Environment: "none"})
	wants(t, err, envdb.ErrNotFound, "no previous version", "envdb help back")
}

// What somebody else made under the live name is moved aside, and stays.
func TestForeignDatabaseIsMovedAside(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	target := on(t, s, "staging", envdb.Staging).have(t, small("precious")...)
	s.Exec(t, "postgres", "COMMENT ON DATABASE "+target.base+" IS 'hands off'",
		"ALTER DATABASE "+target.base+" SET work_mem = '9MB'", "ALTER DATABASE "+target.base+" CONNECTION LIMIT 33")
	w := newWorld(t, prod, target)
	for range 3 {
		w.mirror("prod", "staging")
	}
	same(t, "live", target.content(t), "1|prod")
	same(t, "versions", w.versions("staging"), "live prod, previous prod, aside, baseline prod")
	var aside string
	for _, name := range target.databases(t) {
		if strings.Contains(name, "__aside_") {
			aside = name
		}
	}
	same(t, "what was moved aside", s.QueryText(t, aside, "SELECT who FROM t"), "precious")
	if comment := s.QueryText(t, "postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '"+aside+"'"); !strings.HasPrefix(comment, "hands off\n") {
		t.Errorf("its comment: %q", comment)
	}
	// The new live version has what the environment had: limit, settings, comment.
	same(t, "the environment's own", databaseProperties(t, target), `postgres|33|{=Tc/postgres,postgres=CTc/postgres}|hands off`)
	same(t, "its setting", target.query(t, "SHOW work_mem"), "9MB")
}

func TestDarkThenPromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	prod.exec(t, "UPDATE t SET who = 'two'")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true, Dark: true})
	if !dark.Dark || dark.Promotion != nil || !strings.Contains(dark.Next, "envdb promote qa '"+dark.Database+"'") {
		t.Errorf("dark: %+v", dark)
	}
	same(t, "live", target.content(t), "1|one")
	same(t, "dark", s.QueryText(t, dark.Database, "SELECT who FROM t"), "two")
	same(t, "versions", w.versions("qa"), "live prod, dark prod, baseline prod")

	url, err := w.URL(t.Context(), "qa", dark.Database)
	if err != nil || !strings.Contains(url.URL, dark.Database) {
		t.Errorf("url of the dark version: %+v, %v", url, err)
	}
	// A mirror meanwhile leaves the finished dark version alone.
	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	same(t, "versions", w.versions("qa"), "live prod, dark prod, dark prod, baseline prod")

	_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: "nonsense"})
	wants(t, err, envdb.ErrNotFound, "nonsense", "envdb versions qa")
	_, err = w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: target.base})
	wants(t, err, envdb.ErrRefused, "it is live")
	r, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database})
	if err != nil {
		t.Fatal(problem(err))
	}
	if r.Was != dark.Database || r.Source != "prod" || r.Previous == "" {
		t.Errorf("promote: %+v", r)
	}
	same(t, "live", target.content(t), "1|two")
}

func TestPlansChangeNothing(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	w.mirror("prod", "qa")
	before, prodBefore := target.state(t), prod.state(t)
	for name, plan := range map[string]func() (*manager.Plan, error){
		"backup": func() (*manager.Plan, error) {
			return w.PlanBackup(t.Context(), manager.BackupRequest{Environment: "prod"})
		},
		"mirror": func() (*manager.Plan, error) { return w.PlanMirror(t.Context(), mirrorRequest("prod", "qa")) },
		"restore": func() (*manager.Plan, error) {
			return w.PlanRestore(t.Context(), manager.RestoreRequest{Environment: "prod"})
		},
		"promote": func() (*manager.Plan, error) {
			return w.PlanPromote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database})
		},
		"reset": func() (*manager.Plan, error) {
			return w.PlanReset(t.Context(), manager.ResetRequest{Environment: "qa"})
		},
		"rollback": func() (*manager.Plan, error) {
			return w.PlanRollback(t.Context(), manager.RollbackRequest{Environment: "qa"})
		},
	} {
		p, err := plan()
		if err != nil || len(p.Steps) == 0 || string(p.Operation) != name {
			t.Errorf("plan of %s: %+v, %s", name, p, problem(err))
		}
	}
	same(t, "qa", target.state(t), before)
	same(t, "prod", prod.state(t), prodBefore)
}
