package manager_test

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// pattern returns a pattern of a world, whose environments have databases of
// their own on the server.
func pattern(t *testing.T, s *pgtest.Server, name string, tier envdb.Tier, more ...string) place {
	t.Helper()
	base := unique("pattern")
	url := strings.Replace(s.URL("BASE").Reveal(), "BASE", base+"_{name}", 1)
	t.Cleanup(func() {
		found := s.QueryText(t, "postgres", "SELECT datname FROM pg_database WHERE starts_with(datname, "+postgres.Literal(base+"_")+")")
		for name := range strings.Lines(found) {
			s.DropDatabase(t, strings.TrimSpace(name))
		}
	})
	return place{name: name, tier: tier, url: envdb.ConnString(url), more: more, server: s, base: base}
}

// one is an environment of a pattern.
func (p place) one(word string) place {
	q := p
	q.name, q.base = strings.Replace(p.name, "*", word, 1), p.base+"_"+strings.ReplaceAll(word, "-", "_")
	return q
}

// create creates an environment, which must work.
func (w *world) create(req manager.CreateRequest) *manager.CreateResult {
	w.t.Helper()
	r, err := w.Create(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// from is a restore point of an environment.
func from(t *testing.T, text string) *envdb.Ref {
	t.Helper()
	ref, err := envdb.ParseRef(text, time.Now(), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return &ref
}

// destroy destroys an environment, which must work.
func (w *world) destroy(env string) *manager.DestroyResult {
	w.t.Helper()
	r, err := w.Destroy(w.t.Context(), manager.DestroyRequest{Environment: env, Confirm: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	return r
}

// listed returns the line of an environment in the list, or nil.
func (w *world) listed(env string) *manager.EnvironmentLine {
	w.t.Helper()
	list, err := w.Environments(w.t.Context())
	if err != nil {
		w.t.Fatal(problem(err))
	}
	for _, line := range list.Environments {
		if line.Name == env {
			return &line
		}
	}
	return nil
}

// later returns a manager of the world whose clock is ahead.
func (w *world) later(ahead time.Duration) *manager.Manager {
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	now := func() time.Time { return time.Now().Add(ahead) }
	return manager.New(manager.Config{
		Config: w.config, Ledger: w.ledger, Log: log, Version: "test", Now: now,
		OpenRepository: w.openRepository,
	})
}

// An environment of a pattern: made from a copy's point, used as any other, and
// gone without a trace.
func TestCreateUseDestroy(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	prodCopy := on(t, s, "prod-copy", envdb.ProductionCopy, "mirror: {from: prod}")
	releases := pattern(t, s, "release-*", envdb.Release, "ttl: 7d", "labels: {team: core}")
	w := newWorld(t, prod, prodCopy, releases)
	w.mirror("prod", "prod-copy")
	old := w.backup("prod-copy")
	prod.exec(t, "UPDATE t SET who = 'prod, later'")
	w.backup("prod")
	w.mirror("prod", "prod-copy")
	w.backup("prod-copy")

	hotfix := releases.one("1.2")
	_, err := w.Backup(t.Context(), manager.BackupRequest{Environment: hotfix.name})
	wants(t, err, envdb.ErrNotFound, `no environment "release-1.2" yet`, "envdb create release-1.2", "nothing was changed")
	_, err = w.Mirror(t.Context(), mirrorRequest("prod", hotfix.name))
	wants(t, err, envdb.ErrNotFound, "envdb create release-1.2")

	req := manager.CreateRequest{Environment: hotfix.name, From: from(t, "prod-copy@"+string(old.ID)), Labels: map[string]string{"ticket": "42"}}
	plan, err := w.PlanCreate(t.Context(), req)
	if err != nil || plan.Backup != old.ID || plan.Operation != envdb.OpCreate || plan.Steps[0] != "record release-1.2" {
		t.Errorf("the plan: %+v, %v", plan, err)
	}
	if line := w.listed(hotfix.name); line != nil {
		t.Fatalf("a plan created %+v", line)
	}
	made := w.create(req)
	if !made.Created || made.Database != hotfix.base || made.Pattern != "release-*" || made.Build.Backup != old.ID || made.Build.Neutrality != envdb.Neutralised {
		t.Errorf("created: %+v, %+v", made, made.Build)
	}
	if left := time.Until(made.Expires); left < 6*envdb.Day || left > 7*envdb.Day {
		t.Errorf("it expires in %s", left)
	}
	same(t, "its content", hotfix.content(t), "1|prod")

	// Again: it is there, and lives longer.
	span := 30 * envdb.Day
	again := w.create(manager.CreateRequest{Environment: hotfix.name, From: from(t, "prod-copy"), TTL: &span, Labels: map[string]string{"build": "7"}})
	if again.Created || again.Run != "" || !again.Expires.After(made.Expires) || again.Labels["ticket"] != "42" || again.Labels["build"] != "7" || len(again.Notes) != 1 {
		t.Errorf("again: %+v", again)
	}
	same(t, "its content", hotfix.content(t), "1|prod")

	// As any other: mirrored into, rolled back, backed up, shown.
	w.mirror("prod-copy", hotfix.name)
	same(t, "its content", hotfix.content(t), "1|prod, later")
	w.rollback(hotfix.name)
	w.backup(hotfix.name)
	same(t, "its versions", w.versions(hotfix.name), "live prod-copy, previous prod-copy, baseline prod-copy")
	if status := w.status(hotfix.name); status.State != "up" || status.Backups != 1 || status.Expires == nil || status.DataSource != "prod-copy" {
		t.Errorf("status: %+v", status)
	}
	line := w.listed(hotfix.name)
	if line == nil || line.Pattern != "release-*" || line.Tier != envdb.Release || line.Labels["build"] != "7" || line.State != "created" || line.By == "" {
		t.Fatalf("listed: %+v", line)
	}
	url, err := w.URL(t.Context(), hotfix.name, "")
	if err != nil || !strings.Contains(url.URL, "/"+hotfix.base) {
		t.Errorf("url %+v, %v", url, err)
	}

	_, err = w.Destroy(t.Context(), manager.DestroyRequest{Environment: hotfix.name})
	wants(t, err, envdb.ErrRefused, "--confirm release-1.2", "nothing was changed")
	planned, err := w.PlanDestroy(t.Context(), manager.DestroyRequest{Environment: hotfix.name})
	if err != nil || len(planned.Steps) != 4 {
		t.Errorf("the plan: %+v, %v", planned, err)
	}
	gone := w.destroy(hotfix.name)
	if len(gone.Dropped) != 3 || gone.Dropped[2] != hotfix.base || gone.Backups != 1 {
		t.Errorf("destroyed: %+v", gone)
	}
	same(t, "its databases", strings.Join(hotfix.databases(t), " "), "")
	if line := w.listed(hotfix.name); line != nil {
		t.Errorf("still listed: %+v", line)
	}
	_, err = w.Destroy(t.Context(), manager.DestroyRequest{Environment: hotfix.name, Confirm: hotfix.name})
	wants(t, err, envdb.ErrNotFound, "envdb create release-1.2")
}

// Without a source, a new environment is what its pattern says: what it
// mirrors, or empty.
func TestCreateByThePattern(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	empty := pattern(t, s, "test-*", envdb.Test, "settings: {statement_timeout: 30s}")
	mirrored := pattern(t, s, "copy-*", envdb.Dev, "mirror: {from: prod}")
	seeded := pattern(t, s, "seeded-*", envdb.QA, "seed: {migrations: migrations, fixtures: [t.yml]}")
	w := newWorld(t, prod, empty, mirrored, seeded)

	x := empty.one("feature-x")
	made := w.create(manager.CreateRequest{Environment: x.name})
	if !made.Created || !made.Expires.IsZero() || made.Database != x.base {
		t.Errorf("created: %+v", made)
	}
	same(t, "tables", x.query(t, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0")
	same(t, "its setting", x.query(t, "SHOW statement_timeout"), "30s")
	same(t, "its versions", w.versions(x.name), "live")

	// Another name, another database; and none for one that differs in case only.
	y := w.create(manager.CreateRequest{Environment: "test-feature_x"})
	if y.Database == x.base {
		t.Errorf("two environments share %s", y.Database)
	}
	_, err := w.Create(t.Context(), manager.CreateRequest{Environment: "test-Feature-x"})
	wants(t, err, envdb.ErrRefused, "differ only in case", "nothing was changed")

	z := mirrored.one("1") // which takes the first backup of production
	w.create(manager.CreateRequest{Environment: z.name})
	same(t, "its content", z.content(t), "1|prod")

	q := seeded.one("1")
	_, err = w.Create(t.Context(), manager.CreateRequest{Environment: q.name})
	wants(t, err, envdb.ErrPreflight, "migrations")
	if w.listed(q.name) != nil {
		t.Error("it is listed, and its seed cannot be read")
	}
	if err := os.Mkdir(w.path("migrations"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.write("migrations/00001_t.sql", "-- +goose Up\nCREATE TABLE t (id int PRIMARY KEY, who text);\n")
	w.write("t.yml", "- {id: 1, who: a fixture}\n")
	w.create(manager.CreateRequest{Environment: q.name})
	same(t, "its content", q.content(t), "1|a fixture")

	_, err = w.Create(t.Context(), manager.CreateRequest{Environment: "prod"})
	wants(t, err, envdb.ErrMisuse, "declared by its name")
	_, err = w.Create(t.Context(), manager.CreateRequest{Environment: "tset-1"})
	wants(t, err, envdb.ErrNotFound, "test-*")
}

// A branch is deployed by creating an environment with it: with the revision's
// files, whatever the work tree holds, also by whoever finishes it or makes it
// anew.
func TestCreateOfARevision(t *testing.T) {
	t.Parallel()
	s := pgtest.StartTarget(t)
	tests := pattern(t, s, "test-*", envdb.Test, shopSeed)
	bare := pattern(t, s, "bare-*", envdb.Test)
	w := newWorld(t, tests, bare)
	w.plant()
	commit := w.commit()
	w.git("branch", "feature-x")
	w.write("fixtures/books.yml", "- {this is not finished\n")
	x := tests.one("feature-x")
	asked := manager.CreateRequest{Environment: x.name, Ref: "feature-x"}

	plan, err := w.PlanCreate(t.Context(), asked)
	if steps := strings.Join(plan.Steps, "\n"); err != nil || !strings.Contains(steps, "take the files of commit "+commit) || !strings.HasPrefix(steps, "record test-feature-x") {
		t.Errorf("the plan: %s, %s", steps, problem(err))
	}
	r := w.create(asked)
	if !r.Created || r.Ref != "feature-x" || r.Build.Commit != commit || x.query(t, "SELECT count(*) FROM books") != "2" {
		t.Errorf("created: %+v", r)
	}
	x.exec(t, "TRUNCATE books")
	again := w.create(asked)
	if again.Created || !strings.Contains(strings.Join(again.Notes, ""), "envdb seed test-feature-x --ref feature-x") {
		t.Errorf("asked again: %+v", again)
	}
	w.reset(x.name, manager.ByBaseline)
	same(t, "books after a reset", x.query(t, "SELECT count(*) FROM books"), "2")
	for _, database := range x.databases(t) {
		s.DropDatabase(t, database)
	}
	if anew := w.create(manager.CreateRequest{Environment: x.name}); !anew.Created || anew.Build.Commit != commit {
		t.Errorf("after its databases were dropped: %+v", anew)
	}

	for name, c := range map[string]struct {
		req  manager.CreateRequest
		kind error
		says string
	}{
		"an unknown revision": {manager.CreateRequest{Environment: "test-y", Ref: "no-such"}, envdb.ErrNotFound, `knows no git revision "no-such"`},
		"both":                {manager.CreateRequest{Environment: "test-y", Ref: "main", From: from(t, "test-feature-x@latest")}, envdb.ErrMisuse, "not both"},
		"without a seed":      {manager.CreateRequest{Environment: "bare-y", Ref: "main"}, envdb.ErrMisuse, "what bare-* is seeded with"},
	} {
		_, err := w.Create(t.Context(), c.req)
		wants(t, err, c.kind, c.says, "nothing was changed")
		if w.listed(c.req.Environment) != nil {
			t.Errorf("%s: it is listed", name)
		}
	}
}

// A create that comes to nothing leaves nothing, and one that died is finished.
func TestCreateThatFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	tests := pattern(t, s, "test-*", envdb.Test, "mirror: {from: prod, checks: [check.sql]}")
	w := newWorld(t, prod, tests)
	w.backup("prod")
	x := tests.one("x")

	w.write("check.sql", "SELECT 1;") // which finds a row
	_, err := w.Create(t.Context(), manager.CreateRequest{Environment: x.name})
	wants(t, err, envdb.ErrVerification, "check.sql", "there is no environment test-x")
	same(t, "its databases", strings.Join(x.databases(t), " "), "")
	if line := w.listed(x.name); line != nil {
		t.Errorf("listed: %+v", line)
	}

	// What a run that died left: the record, and no database.
	w.write("check.sql", "SELECT 1 WHERE false;")
	_, err = w.ledger.ChangeEnvironment(t.Context(), x.name, func(e *ledger.Environment) error {
		e.Instance = &ledger.Instance{Pattern: "test-*", Database: x.base, From: "prod@latest", Created: time.Now(), Run: "20200101-000000-000zzzzz"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if line := w.listed(x.name); line.State != "being created" {
		t.Errorf("listed as %s", line.State)
	}
	if r := w.create(manager.CreateRequest{Environment: x.name}); !r.Created {
		t.Errorf("created: %+v", r)
	}
	same(t, "its content", x.content(t), "1|prod")

	// Or the record of one that was filled.
	_, err = w.ledger.ChangeEnvironment(t.Context(), x.name, func(e *ledger.Environment) error {
		e.Instance.Ready = time.Time{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	x.exec(t, "UPDATE t SET who = 'mine'")
	if r := w.create(manager.CreateRequest{Environment: x.name}); !r.Created || len(r.Notes) != 1 {
		t.Errorf("created: %+v", r)
	}
	same(t, "its content", x.content(t), "1|mine")

	// Somebody dropped its database by hand.
	s.DropDatabase(t, x.base)
	if r := w.create(manager.CreateRequest{Environment: x.name}); !r.Created {
		t.Errorf("created: %+v", r)
	}
	same(t, "its content", x.content(t), "1|prod")
}

// What envdb did not make is neither taken over by a create nor destroyed.
func TestWhatEnvdbDidNotMake(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("prod")...)
	qa := on(t, s, "qa", envdb.QA).have(t, small("qa")...)
	safe := on(t, s, "safe", envdb.Staging, "protected: true").have(t, small("safe")...)
	tests := pattern(t, s, "test-*", envdb.Test)
	w := newWorld(t, prod, qa, safe, tests)
	w.backup("prod")

	for _, name := range []string{"prod", "safe"} {
		_, err := w.Destroy(t.Context(), manager.DestroyRequest{Environment: name, Confirm: name})
		wants(t, err, envdb.ErrRefused, name+" is protected", "nothing was changed")
		_, err = w.Hibernate(t.Context(), manager.HibernateRequest{Environment: name, Confirm: name})
		wants(t, err, envdb.ErrRefused, name+" is protected")
	}
	before := qa.state(t)
	_, err := w.Destroy(t.Context(), manager.DestroyRequest{Environment: "qa", Confirm: "qa"})
	wants(t, err, envdb.ErrRefused, qa.base, "was not made by envdb", "nothing was changed", "DROP DATABASE")
	_, err = w.PlanDestroy(t.Context(), manager.DestroyRequest{Environment: "qa"})
	wants(t, err, envdb.ErrRefused, "was not made by envdb")
	_, err = w.Hibernate(t.Context(), manager.HibernateRequest{Environment: "qa", Confirm: "qa"})
	wants(t, err, envdb.ErrRefused, "was not made by envdb")
	same(t, "qa", qa.state(t), before)

	// What was moved aside stays; what envdb made goes.
	w.mirror("prod", "qa")
	gone := w.destroy("qa")
	if len(gone.Dropped) != 2 || len(gone.Left) != 1 {
		t.Errorf("destroyed: %+v", gone)
	}
	if left := qa.databases(t); len(left) != 1 || !strings.Contains(left[0], "__aside_") {
		t.Errorf("left: %q", left)
	}
	if again := w.destroy("qa"); len(again.Dropped) != 0 {
		t.Errorf("destroyed again: %+v", again)
	}

	x := tests.one("x").have(t, small("somebody's")...)
	_, err = w.Create(t.Context(), manager.CreateRequest{Environment: x.name})
	wants(t, err, envdb.ErrRefused, x.base, "did not make it", "nothing was changed")
	if line := w.listed(x.name); line != nil {
		t.Errorf("listed: %+v", line)
	}
	same(t, "somebody's", x.content(t), "1|somebody's")
}

// A protected instance stays until then, a destroyed one cannot be protected,
// and the configuration cannot point its name elsewhere.
func TestProtectForATime(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	tests := pattern(t, s, "test-*", envdb.Test)
	w := newWorld(t, on(t, s, "prod", envdb.Production).have(t), tests)
	x := tests.one("x")
	w.create(manager.CreateRequest{Environment: x.name, Protect: 48 * time.Hour})
	destroy := manager.DestroyRequest{Environment: x.name, Confirm: x.name}

	_, err := w.Destroy(t.Context(), destroy)
	wants(t, err, envdb.ErrRefused, "is protected until", "envdb env protect test-x off", "nothing was changed")
	if line := w.listed(x.name); !line.Protected || line.ProtectedUntil == nil {
		t.Errorf("listed: %+v", line)
	}
	if _, err := w.later(49*time.Hour).PlanDestroy(t.Context(), destroy); err != nil {
		t.Errorf("after it ended: %s", problem(err))
	}
	if line, err := w.Protect(t.Context(), manager.ProtectRequest{Environment: x.name}); err != nil || line.Protected {
		t.Errorf("protection ended: %+v, %v", line, err)
	}
	w.destroy(x.name)
	_, err = w.Protect(t.Context(), manager.ProtectRequest{Environment: x.name, For: time.Hour})
	wants(t, err, envdb.ErrNotFound, "envdb create test-x")
	_, err = w.Protect(t.Context(), manager.ProtectRequest{Environment: "prod", For: time.Hour})
	wants(t, err, envdb.ErrMisuse, "protected: true")
}

// What has outlived its time goes, but never without a warning.
func TestDestroyExpired(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	tests := pattern(t, s, "test-*", envdb.Test, "ttl: 7d", "idle: 2d")
	w := newWorld(t, on(t, s, "prod", envdb.Production).have(t), tests)
	forever := time.Duration(0)
	w.create(manager.CreateRequest{Environment: "test-a"})
	w.create(manager.CreateRequest{Environment: "test-b", TTL: &forever})
	w.create(manager.CreateRequest{Environment: "test-c", Protect: 30 * envdb.Day})

	fates := func(ahead time.Duration) string {
		t.Helper()
		e, err := w.later(ahead).DestroyExpired(t.Context())
		if err != nil {
			t.Fatal(problem(err))
		}
		var all []string
		for _, line := range e.Environments {
			all = append(all, fmt.Sprintf("%s %s", line.Environment, line.Fate))
		}
		return strings.Join(all, ", ")
	}
	const day = envdb.Day
	same(t, "at once", fates(0), "test-a stays, test-b stays, test-c stays")
	planned, err := w.later(3 * day).PlanExpired(t.Context())
	if err != nil || planned.Environments[0].Fate != manager.Warned {
		t.Errorf("planned: %+v, %v", planned, err)
	}
	// Somebody uses b, and nobody a.
	tests.one("b").exec(t, "SELECT 1")
	eventually(t, "the server has counted the session", func() bool {
		return s.QueryText(t, "postgres", "SELECT sessions > 0 AND numbackends = 0 FROM pg_stat_database WHERE datname = "+postgres.Literal(tests.one("b").base)) == "t"
	})
	line := w.listed("test-a")
	if line.Idle != 2*day || line.LastUsed == nil || !line.IdleDue.Equal(line.LastUsed.Add(2*day)) || line.Observed.Before(*line.LastUsed) {
		t.Errorf("the list says of test-a: %+v", line)
	}
	same(t, "after a day and a half", fates(36*time.Hour), "test-a warned, test-b stays, test-c protected")
	if later := w.listed("test-a"); !later.IdleDue.Equal(*line.IdleDue) || !later.Observed.After(*line.Observed) {
		t.Errorf("nobody came, and the list says of test-a: %+v", later)
	}
	if used := w.listed("test-b"); !used.LastUsed.Equal(*used.Observed) {
		t.Errorf("somebody came, and the list says of test-b: %+v", used)
	}
	same(t, "an hour after that", fates(37*time.Hour), "test-a warned, test-b stays, test-c protected")
	same(t, "after two days", fates(50*time.Hour), "test-a destroyed, test-b stays, test-c protected")
	same(t, "databases of a", strings.Join(tests.one("a").databases(t), " "), "")
	if w.listed("test-a") != nil {
		t.Error("test-a is still listed")
	}
	// However late cron comes: the first time it warns.
	same(t, "after weeks", fates(20*day), "test-b warned, test-c protected")
	same(t, "an hour later", fates(20*day+61*time.Minute), "test-b destroyed, test-c protected")
	same(t, "after its protection", fates(31*day), "test-c warned")
	w.create(manager.CreateRequest{Environment: "test-c"}) // which does not change when it goes
	same(t, "a day later", fates(32*day), "test-c destroyed")
	same(t, "in the end", fates(33*day), "")
}

// A dry run of what makes, drops or hibernates changes nothing, in no database
// and in no record.
func TestPlansOfWhatComesAndGoes(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	tests := pattern(t, s, "test-*", envdb.Test, "ttl: 1h", "idle: 1h")
	w := newWorld(t, on(t, s, "prod", envdb.Production).have(t), tests)
	x := tests.one("x")
	w.create(manager.CreateRequest{Environment: x.name})
	stored := func() string {
		var b strings.Builder
		for object, err := range w.store.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(object.Key, "/leases/") { // of the run before
				fmt.Fprintln(&b, object.Key, object.Size, object.Tag, object.Modified)
			}
		}
		return b.String()
	}
	before, storedBefore := x.state(t), stored()
	for op, plan := range map[envdb.Operation]func() (*manager.Plan, error){
		envdb.OpCreate: func() (*manager.Plan, error) {
			return w.PlanCreate(t.Context(), manager.CreateRequest{Environment: "test-y", Protect: time.Hour})
		},
		envdb.OpDestroy: func() (*manager.Plan, error) {
			return w.PlanDestroy(t.Context(), manager.DestroyRequest{Environment: x.name})
		},
		envdb.OpHibernate: func() (*manager.Plan, error) {
			return w.PlanHibernate(t.Context(), manager.HibernateRequest{Environment: x.name})
		},
		envdb.OpWake: func() (*manager.Plan, error) { return w.PlanWake(t.Context(), x.name) },
	} {
		if p, err := plan(); err != nil || len(p.Steps) == 0 || p.Operation != op {
			t.Errorf("plan of %s: %+v, %s", op, p, problem(err))
		}
	}
	if e, err := w.later(envdb.Week).PlanExpired(t.Context()); err != nil || len(e.Environments) != 1 || e.Environments[0].Fate != manager.Warned {
		t.Errorf("what expires: %+v, %s", e, problem(err))
	}
	same(t, "test-x", x.state(t), before)
	same(t, "the store", stored(), storedBefore)
}
