package manager_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// reset resets, which must work, and must go the given way.
func (w *world) reset(env string, way manager.ResetWay) *manager.ResetResult {
	w.t.Helper()
	r, err := w.Reset(w.t.Context(), manager.ResetRequest{Environment: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	if r.Way != way {
		w.t.Errorf("it went by %s (%s), want %s", r.Way, r.Why, way)
	}
	return r
}

// of returns the name of the environment's database in a state.
func (w *world) of(env string, state envdb.VersionState) string {
	w.t.Helper()
	list, err := w.Versions(w.t.Context(), env)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	for _, v := range list.Versions {
		if v.State == state {
			return v.Name
		}
	}
	w.t.Fatalf("%s has no %s version", env, state)
	return ""
}

// promote promotes a dark version, which must work.
func (w *world) promote(env, version string) {
	w.t.Helper()
	if _, err := w.Promote(w.t.Context(), manager.PromoteRequest{Environment: env, Version: version}); err != nil {
		w.t.Fatal(problem(err))
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("one"), "CREATE PUBLICATION news FOR ALL TABLES")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	mirrored := w.mirror("prod", "qa")
	same(t, "versions", w.versions("qa"), "live prod, baseline prod")
	same(t, "status", strings.Join(w.status("qa").Notes, "; "), "baseline intact")
	target.exec(t, "UPDATE t SET who = 'broken'", "DROP TABLE many")
	inside := s.Connect(t, target.base)

	r := w.reset("qa", manager.ByBaseline)
	same(t, "live", target.content(t), "1|one")
	same(t, "what was dropped", target.query(t, "SELECT count(*) FROM many"), "500")
	same(t, "the sequence goes on", target.query(t, "INSERT INTO many (v) VALUES ('x') RETURNING id"), "501")
	same(t, "it is as harmless as the mirror was", target.query(t, "SELECT count(*) FROM pg_publication"), "0")
	if r.Source != "prod" || r.Backup != mirrored.Backup || !r.Point.Equal(mirrored.Point) || r.Neutrality != envdb.Neutralised ||
		r.Previous == "" || r.Strategy != generation.WALLog || r.Bytes == 0 || r.Why != "" || r.Database != target.base {
		t.Errorf("the result: %+v", r)
	}
	if err := inside.Ping(t.Context()); err == nil {
		t.Error("a session of what was live goes on")
	}
	same(t, "versions", w.versions("qa"), "live prod, previous prod, baseline prod")

	target.exec(t, "UPDATE t SET who = 'broken again'")
	w.reset("qa", manager.ByBaseline)
	same(t, "versions after another", w.versions("qa"), "live prod, previous prod, baseline prod")
	w.rollback("qa")
	same(t, "undone", target.content(t), "1|broken again")
	w.reset("qa", manager.ByBaseline)
	same(t, "reset after a rollback", target.content(t), "1|one")

	runs, err := w.Runs(t.Context(), manager.RunQuery{Environment: "qa", Operation: envdb.OpReset})
	if err != nil || len(runs.Runs) != 3 {
		t.Fatalf("runs: %+v, %v", runs, err)
	}
	if facts := runs.Runs[0].Facts; facts["way"] != "baseline" {
		t.Errorf("the record: %+v", facts)
	}
	if d, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{}); err != nil {
		t.Errorf("the doctor: %+v, %s", d, problem(err))
	}
}

// What CREATE DATABASE … TEMPLATE leaves out is there after a reset.
func TestResetKeepsWhatATemplateDrops(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	s.Exec(t, "postgres", "ALTER DATABASE "+prod.base+" SET work_mem = '5MB'")
	target := on(t, s, "qa", envdb.QA, "settings: {lock_timeout: 7s}")
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	owner, _ := s.CreateRole(t, "")
	reader, _ := s.CreateRole(t, "")
	db := postgres.Quote(target.base)
	_, marker := generation.SplitComment(target.query(t, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"))
	comment, err := generation.JoinComment("for the testers", *marker)
	if err != nil {
		t.Fatal(err)
	}
	s.Exec(t, "postgres", "ALTER DATABASE "+db+" OWNER TO "+owner, "REVOKE ALL ON DATABASE "+db+" FROM PUBLIC", "REVOKE CREATE ON DATABASE "+db+" FROM "+owner,
		"GRANT CONNECT ON DATABASE "+db+" TO "+reader, "ALTER DATABASE "+db+" CONNECTION LIMIT 44",
		"ALTER DATABASE "+db+" SET statement_timeout = '1min'", "COMMENT ON DATABASE "+db+" IS "+postgres.Literal(comment))
	t.Cleanup(func() { s.Exec(t, "postgres", "REASSIGN OWNED BY "+owner+" TO postgres", "DROP OWNED BY "+reader) })
	const settings = "SELECT current_setting('work_mem'), current_setting('lock_timeout'), current_setting('statement_timeout')"
	properties := databaseProperties(t, target)
	if !strings.Contains(properties, owner+"|44|") || !strings.Contains(properties, "for the testers") {
		t.Fatalf("it has %s", properties)
	}
	w.reset("qa", manager.ByBaseline)
	same(t, "owner, limit, rights, comment", databaseProperties(t, target), properties)
	same(t, "settings", target.query(t, settings), "5MB|7s|1min")
}

// A baseline that cannot be trusted, or is not there, is not used; the long way
// leaves a new one.
func TestResetWithoutAnIntactBaseline(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("one"), "CREATE PUBLICATION news FOR ALL TABLES")...)
	target := on(t, s, "qa", envdb.QA, "mirror: {from: prod, neutralise: [neutralise.sql]}")
	w := newWorld(t, prod, target)
	w.write("neutralise.sql", "UPDATE t SET who = 'nobody';")
	first := w.mirror("prod", "qa")
	prod.exec(t, "UPDATE t SET who = 'two', id = 2")
	w.backup("prod") // newer, and none of a reset's business
	for name, c := range map[string]struct {
		spoil func(baseline string)
		req   manager.ResetRequest
		says  string
	}{
		"somebody connected": {spoil: func(b string) {
			s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(b)+" ALLOW_CONNECTIONS true")
			s.Exec(t, b, "UPDATE t SET who = 'mallory'")
			s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(b)+" ALLOW_CONNECTIONS false")
		}, says: "may have connected to it"},
		"dropped by hand": {spoil: func(b string) { s.Exec(t, "postgres", "DROP DATABASE "+postgres.Quote(b)) }, says: "somebody dropped it"},
		"--no-cache":      {spoil: func(string) {}, req: manager.ResetRequest{NoCache: true}, says: "--no-cache"},
	} {
		t.Run(name, func(t *testing.T) {
			target.exec(t, "DROP TABLE t")
			spoilt := w.of("qa", envdb.Baseline)
			c.spoil(spoilt)
			c.req.Environment = "qa"
			if !c.req.NoCache && !strings.Contains(strings.Join(w.status("qa").Notes, "; "), c.says) {
				t.Errorf("status: %q", w.status("qa").Notes)
			}
			plan, err := w.PlanReset(t.Context(), c.req)
			if err != nil || plan.Backup != first.Backup || !strings.Contains(strings.Join(plan.Warnings, "; "), c.says) || plan.PeakBytes == 0 {
				t.Errorf("the plan: %+v, %s", plan, problem(err))
			}
			r, err := w.Reset(t.Context(), c.req)
			if err != nil {
				t.Fatal(problem(err))
			}
			if r.Way != manager.ByBackup || !strings.Contains(r.Why, c.says) || r.Backup != first.Backup || r.Neutrality != envdb.Neutralised {
				t.Errorf("the result: %+v", r)
			}
			same(t, "live", target.content(t), "1|nobody")
			same(t, "publications", target.query(t, "SELECT count(*) FROM pg_publication"), "0")
			same(t, "versions", w.versions("qa"), "live prod, previous prod, baseline prod")
			if now := w.of("qa", envdb.Baseline); now == spoilt {
				t.Errorf("%s is still the baseline", now)
			}
			target.exec(t, "DROP TABLE t")
			w.reset("qa", manager.ByBaseline)
			same(t, "live, by the new baseline", target.content(t), "1|nobody")
		})
	}
}

func TestBaselineOff(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "baseline: off", "spares: 1")
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	same(t, "versions", w.versions("qa"), "live prod")
	target.exec(t, "DROP TABLE t")
	if r := w.reset("qa", manager.ByBackup); !strings.Contains(r.Why, "baseline: off") {
		t.Errorf("why: %q", r.Why)
	}
	same(t, "live", target.content(t), "1|one")
	same(t, "versions", w.versions("qa"), "live prod, previous prod")
}

// With a spare a reset is the swap and nothing else; the next spare is made
// when the result is known.
func TestResetFromASpare(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "spares: 2")
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	same(t, "versions", w.versions("qa"), "live prod, baseline prod, spare prod, spare prod")
	same(t, "status", strings.Join(w.status("qa").Notes, "; "), "baseline intact, 2 spares")
	for range 3 {
		target.exec(t, "UPDATE t SET who = 'broken'")
		told := ""
		_, err := w.Reset(t.Context(), manager.ResetRequest{Environment: "qa", Done: func(r *manager.ResetResult) {
			told = fmt.Sprintf("%s, %s", r.Way, target.content(t))
			same(t, "spares when the result is known", fmt.Sprint(strings.Count(w.versions("qa"), "spare")), "1")
		}})
		if err != nil {
			t.Fatal(problem(err))
		}
		same(t, "told", told, "spare, 1|one")
		same(t, "versions", w.versions("qa"), "live prod, previous prod, baseline prod, spare prod, spare prod")
	}
	// One that somebody was in is not used, and replaced.
	spoilt := w.of("qa", envdb.Spare)
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(spoilt)+" ALLOW_CONNECTIONS true")
	d, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{})
	if said := fmt.Sprint(d.Findings); err != nil || !strings.Contains(said, spoilt) || !strings.Contains(said, "allowed connections") {
		t.Errorf("the doctor says %s, %v", said, err)
	}
	w.reset("qa", manager.BySpare)
	same(t, "live", target.content(t), "1|one")
	if left := strings.Join(target.databases(t), " "); strings.Contains(left, spoilt) {
		t.Errorf("%s is still there: %s", spoilt, left)
	}
	// A new mirror makes new ones.
	prod.exec(t, "UPDATE t SET who = 'two'")
	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true})
	target.exec(t, "DROP TABLE t")
	w.reset("qa", manager.BySpare)
	same(t, "live after a new mirror", target.content(t), "1|two")
}

// A restore leaves the baseline as it is; a version that was built dark and
// promoted has none, and the one before is not taken for its.
func TestWhatHasABaseline(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	target.exec(t, "UPDATE t SET who = 'own'")
	w.backup("qa")
	kept := w.of("qa", envdb.Baseline)
	w.restore(manager.RestoreRequest{Environment: "qa"})
	same(t, "baseline", w.of("qa", envdb.Baseline), kept)
	w.reset("qa", manager.ByBaseline)
	same(t, "reset after a restore", target.content(t), "1|one")

	prod.exec(t, "UPDATE t SET who = 'two'")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true, Dark: true})
	same(t, "a dark version leaves no baseline", w.of("qa", envdb.Baseline), kept)
	w.promote("qa", dark.Database)
	same(t, "a rollback would need the baseline", w.versions("qa"), "live prod, previous prod, baseline prod")
	w.rollback("qa")
	w.reset("qa", manager.ByBaseline)
	same(t, "reset after the promote was undone", target.content(t), "1|one")
	dark = w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	w.promote("qa", dark.Database)
	target.exec(t, "UPDATE t SET who = 'broken'")
	if r := w.reset("qa", manager.ByBackup); !strings.Contains(r.Why, "of another version than what is live") {
		t.Errorf("why: %q", r.Why)
	}
	same(t, "reset of what was built dark", target.content(t), "1|two")
	w.reset("qa", manager.ByBaseline)
}

// A promote drops the baseline that nobody can come back to, and its spares;
// that they could not be dropped is no failure of the promote.
func TestPromoteDropsWhatNoResetUses(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "spares: 1")
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	prod.exec(t, "UPDATE t SET who = 'two'")
	dark := func() string {
		return w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true, Dark: true}).Database
	}
	w.promote("qa", dark())
	same(t, "what a rollback needs", w.versions("qa"), "live prod, previous prod, baseline prod, spare prod")
	w.promote("qa", dark())
	same(t, "what nobody needs", w.versions("qa"), "live prod, previous prod")
	if d, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{}); err != nil {
		t.Errorf("the doctor: %+v, %s", d, problem(err))
	}

	// A restore on top of it brings no older baseline back, either.
	w.mirror("prod", "qa")
	w.backup("qa")
	prod.exec(t, "UPDATE t SET who = 'three'")
	w.promote("qa", dark())
	w.restore(manager.RestoreRequest{Environment: "qa"})
	same(t, "after a restore", w.versions("qa"), "live qa, previous prod")
}

func TestResetRefuses(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	hand := on(t, s, "hand", envdb.QA, "mirror: {from: prod}").have(t, small("by hand")...)
	none := on(t, s, "none", envdb.QA, "keep_previous: 0")
	w := newWorld(t, prod, hand, none)
	w.backup("prod")
	before := prod.state(t) + hand.state(t)
	for env, want := range map[string]struct {
		kind error
		says []string
	}{
		"prod": {envdb.ErrRefused, []string{"prod is protected"}},
		"prd":  {envdb.ErrNotFound, []string{`did you mean "prod"`}},
		"hand": {envdb.ErrPreflight, []string{"there is no baseline", "nothing was changed", "envdb mirror prod hand"}},
		"none": {envdb.ErrRefused, []string{"--confirm none"}},
	} {
		_, err := w.Reset(t.Context(), manager.ResetRequest{Environment: env})
		wants(t, err, want.kind, want.says...)
		_, err = w.PlanReset(t.Context(), manager.ResetRequest{Environment: env})
		wants(t, err, want.kind, want.says...)
	}
	same(t, "prod and hand", prod.state(t)+hand.state(t), before)

	w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "none", Confirm: "none"})
	none.exec(t, "DROP TABLE t")
	if _, err := w.Reset(t.Context(), manager.ResetRequest{Environment: "none", Confirm: "none"}); err != nil {
		t.Fatal(problem(err))
	}
	same(t, "keep_previous: 0", w.versions("none"), "live prod, baseline prod")
}

// A url that has come to lead to production is refused, by whatever name.
func TestResetOfWhatIsProduction(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	took := target
	took.name, took.tier = "prod", envdb.Production
	other := target
	other.url = envdb.ConnString(strings.Replace(target.url.Reveal(), "127.0.0.1", "localhost", 1))
	later := newWorld(t, took, other)
	later.adopt(w)
	before := target.state(t)
	_, err := later.Reset(t.Context(), manager.ResetRequest{Environment: "qa"})
	wants(t, err, envdb.ErrRefused, "protected", "nothing was changed")
	same(t, "what is production now", target.state(t), before)
}

// From a baseline it works while the store is down; its record comes later.
func TestResetWhileTheStoreIsDown(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	target.exec(t, "DROP TABLE t")
	up := w.store
	w.store = downStore{}
	w.Manager, w.ledger = w.newManager()
	_, err := w.Reset(t.Context(), manager.ResetRequest{Environment: "qa", NoCache: true})
	wants(t, err, envdb.ErrUnreachable, "--no-cache", "backup", "the store is down")
	r := w.reset("qa", manager.ByBaseline)
	same(t, "live", target.content(t), "1|one")
	w.store = up
	w.Manager, w.ledger = w.newManager()
	w.mirror("prod", "qa")
	if _, err := w.Run(t.Context(), r.Run); err != nil {
		t.Errorf("its record: %s", problem(err))
	}
}

// downStore answers nothing.
type downStore struct{}

var errDown = envdb.Fail(envdb.ErrUnreachable, "the store is down").WithNext("wait")

func (downStore) Put(context.Context, string, io.Reader, envdb.Condition) (envdb.Tag, error) {
	return "", errDown
}

func (downStore) Get(context.Context, string, envdb.Span) (io.ReadCloser, envdb.Object, error) {
	return nil, envdb.Object{}, errDown
}

func (downStore) List(context.Context, string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) { yield(envdb.Object{}, errDown) }
}

func (downStore) Delete(context.Context, string) error { return errDown }

// Sessions that reconnect in tight loops see the broken version or the reset
// one, whole; and a live version that somebody dropped comes back.
func TestResetUnderLoad(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "spares: 1")
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	target.exec(t, "UPDATE t SET who = 'broken'")
	ctx, stop := context.WithCancel(t.Context())
	seen, done := map[string]int{}, make(chan error, 1)
	go func() { done <- insist(ctx, target, seen) }()
	eventually(t, "a client is in", func() bool {
		return target.query(t, "SELECT count(*) > 1 FROM pg_stat_activity WHERE datname = current_database()") == "t"
	})
	w.reset("qa", manager.BySpare)
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for who := range seen {
		if who != "broken" && who != "one" && who != "refused or ended" {
			t.Errorf("the clients saw %v", seen)
		}
	}
	s.DropDatabase(t, target.base)
	w.reset("qa", manager.BySpare)
	same(t, "live after a drop", target.content(t), "1|one")
}

// Plans say how much disk it takes when it takes most.
func TestPlansPrintThePeak(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "spares: 1")
	w := newWorld(t, prod, target)
	parts := func(p *manager.Plan, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(problem(err))
		}
		var sum int64
		var what []string
		for _, part := range p.Peak {
			sum += part.Bytes
			what = append(what, part.What)
		}
		if sum != p.PeakBytes {
			t.Errorf("the parts are %d, the peak %d", sum, p.PeakBytes)
		}
		return strings.Join(what, ", ")
	}
	w.backup("prod")
	same(t, "the first mirror", parts(w.PlanMirror(t.Context(), mirrorRequest("prod", "qa"))), "next, next baseline, next spare")
	w.mirror("prod", "qa")
	same(t, "a reset", parts(w.PlanReset(t.Context(), manager.ResetRequest{Environment: "qa"})), "live, baseline, spare, next spare")
	w.reset("qa", manager.BySpare)
	same(t, "another mirror", parts(w.PlanMirror(t.Context(), mirrorRequest("prod", "qa"))), "live, previous, baseline, spare, next, next baseline")
	same(t, "--dark", parts(w.PlanMirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})), "live, previous, baseline, spare, next")
	w.backup("qa")
	same(t, "a restore", parts(w.PlanRestore(t.Context(), manager.RestoreRequest{Environment: "qa"})), "live, previous, baseline, spare, next")
}
