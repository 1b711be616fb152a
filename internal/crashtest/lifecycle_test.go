package crashtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/postgres"
)

// comesAndGoes adds a pattern to the configuration of the scene, and returns
// the database of one of its environments.
func (s *scene) comesAndGoes(t *testing.T) *database {
	t.Helper()
	base := s.copy.name + "_test"
	url := strings.Replace(s.copy.server.URL("BASE").Reveal(), "BASE", base+"_{name}", 1)
	path := filepath.Join(s.dir, "envdb.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "envdb.yaml", string(text)+"  test-*:\n    tier: test\n    url: '"+url+"'\n    mirror: {from: prod, neutralise: [neutralise.sql], checks: [check.sql]}\n")
	x := &database{s.copy.server, "test-x", base + "_x"}
	t.Cleanup(func() {
		for _, name := range x.all(t) {
			x.server.DropDatabase(t, name)
		}
	})
	return x
}

// all lists the databases of an environment.
func (d *database) all(t *testing.T) []string {
	t.Helper()
	return strings.Fields(d.server.QueryText(t, "postgres", "SELECT datname FROM pg_database WHERE datname = "+postgres.Literal(d.name)+" OR starts_with(datname, "+postgres.Literal(d.name+"__")+")"))
}

// record returns what the store knows of an environment, or nil.
func (s *scene) record(t *testing.T, env string) *ledger.Environment {
	t.Helper()
	all, err := s.ledger.Environments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name == env {
			return &e
		}
	}
	return nil
}

// Whenever a create dies, the record of it is there before any database is, and
// the same command finishes it.
func TestKilledCreate(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	x := s.comesAndGoes(t)
	want := ""
	for i, m := range some(7, atStep("record"), atStep("create"), behindGate("check.sql", (*scene).checkGate), atStep("promote")) {
		k := s.killed(t, m, x, "create", "test-x")
		if made := x.all(t); len(made) > 0 && s.record(t, "test-x") == nil {
			t.Errorf("%s: there is %q, and no record", k.at, made)
		}
		k.isInterrupted(t)
		s.run(t, 0, "create", "test-x")
		now := x.content(t)
		if want == "" {
			want = now
		}
		same(t, k.at+": after the command was typed again", now, want)
		s.run(t, 0, "create", "test-x").says("test-x is there")
		if left := x.unfinished(t); len(left) > 0 {
			t.Errorf("%s: a clean run left %q", k.at, left)
		}
		if e := s.record(t, "test-x"); e == nil || e.Instance.Ready.IsZero() {
			t.Errorf("%s: the record is %+v", k.at, e)
		}
		if i%2 == 0 {
			s.run(t, 0, "doctor")
		}
		s.run(t, 0, "destroy", "test-x", "--confirm", "test-x")
	}
}

// Whenever a destroy dies, the same command carries it through.
func TestKilledDestroy(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	x := s.comesAndGoes(t)
	for _, m := range some(8, atStep("forget"), atStep("preflight"), inTheDrop(x), atStep("drop")) {
		s.run(t, 0, "create", "test-x")
		s.run(t, 0, "mirror", "prod", "test-x")
		k := s.killed(t, m, x, "destroy", "test-x", "--confirm", "test-x")
		k.isInterrupted(t)
		if e := s.record(t, "test-x"); e == nil {
			if left := x.all(t); len(left) > 0 {
				t.Errorf("%s: the record is gone, and %q are left", k.at, left)
			}
			continue
		} else if len(x.all(t)) < 2 && e.Instance.Destroying.IsZero() {
			t.Errorf("%s: something was dropped before the record said so", k.at)
		}
		s.run(t, 0, "destroy", "test-x", "--confirm", "test-x")
		if left := x.all(t); len(left) > 0 || s.record(t, "test-x") != nil {
			t.Errorf("%s: after the command was typed again there are %q, %+v", k.at, left, s.record(t, "test-x"))
		}
	}
}

// inTheDrop is when the live database is being dropped: somebody holds it up.
func inTheDrop(d *database) moment {
	return moment{
		name: "while the live version is dropped",
		before: func(t *testing.T, s *scene) func() {
			conn := d.server.Connect(t, "postgres")
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			// A comment holds up a drop as it holds up a rename.
			comment := d.server.QueryText(t, "postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "+postgres.Literal(d.name))
			if _, err := conn.Exec(t.Context(), "COMMENT ON DATABASE "+d.name+" IS "+postgres.Literal(comment)); err != nil {
				t.Fatal(err)
			}
			return func() { _, _ = conn.Exec(t.Context(), "ROLLBACK") }
		},
		wait: func(t *testing.T, s *scene, c *child) {
			c.until("the drop", func() bool {
				return c.stands(d.server, "wait_event_type = 'Lock' AND query ~ 'DROP DATABASE'")
			})
		},
	}
}

// Whenever a hibernation dies, nothing is lost: waking up brings everything
// back, and so does the next hibernation with a wake behind it.
func TestKilledHibernate(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	d := s.staging
	s.run(t, 0, "restore", "staging@latest") // so that it is envdb's
	s.copy.server.DropDatabase(t, asideOf(t, d))
	want := d.content(t)
	for i, m := range moments(6, 700*time.Millisecond, atStep("retire"), atStep("copy"), atStep("commit"), atStep("verify"), atStep("drop")) {
		k := s.killed(t, m, d, "hibernate", "staging", "--confirm", "staging")
		k.isInterrupted(t)
		if e := s.record(t, "staging"); len(d.all(t)) == 0 && (e == nil || e.Hibernation == nil || e.Hibernation.Backup == "") {
			t.Fatalf("%s: the databases are gone, and the record is %+v", k.at, e)
		}
		if i%2 == 0 {
			s.run(t, 0, "hibernate", "staging", "--confirm", "staging")
			if left := d.all(t); len(left) > 0 {
				t.Errorf("%s: after the command was typed again there are %q", k.at, left)
			}
		}
		s.run(t, 0, "wake", "staging")
		same(t, k.at+": awake again", d.content(t), want)
		if e := s.record(t, "staging"); e != nil {
			t.Errorf("%s: awake, and the record is %+v", k.at, e)
		}
		s.run(t, 0, "doctor", "--clean")
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s: left %q", k.at, left)
		}
	}
}

// Ctrl-C brings back what a hibernation took out of service.
func TestInterruptedHibernate(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	s.run(t, 0, "restore", "staging@latest")
	want := s.staging.content(t)
	for _, step := range []string{"retire", "copy", "verify"} {
		c := s.start(t, "hibernate", "staging", "--confirm", "staging")
		c.reaches(step)
		c.interrupt()
		code := c.wait()
		if code != 5 && code != 0 {
			t.Errorf("at %s it ended with %d:\n%s", step, code, c.said())
		}
		if s.record(t, "staging") != nil { // it was too late, or almost
			if code == 5 {
				c.says("envdb wake staging")
			}
			s.run(t, 0, "wake", "staging")
		}
		same(t, "interrupted at "+step, s.staging.content(t), want)
		if e := s.record(t, "staging"); e != nil {
			t.Errorf("interrupted at %s, and the record is %+v", step, e)
		}
	}
}

// Whenever a wake-up dies, the next one brings the environment back.
func TestKilledWake(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	d := s.staging
	s.run(t, 0, "restore", "staging@latest")
	want := d.content(t)
	for _, m := range some(9, atStep("preflight"), atStep("copy"), atStep("unpin"), atStep("promote")) {
		s.run(t, 0, "hibernate", "staging", "--confirm", "staging")
		k := s.killed(t, m, d, "wake", "staging")
		k.isInterrupted(t)
		s.run(t, 0, "wake", "staging")
		same(t, k.at+": awake again", d.content(t), want)
		if e := s.record(t, "staging"); e != nil {
			t.Errorf("%s: awake, and the record is %+v", k.at, e)
		}
	}
}

// asideOf returns the database that people had made, and that envdb moved aside.
func asideOf(t *testing.T, d *database) string {
	t.Helper()
	for _, name := range d.all(t) {
		if strings.Contains(name, "__"+string(envdb.Aside)+"_") {
			return name
		}
	}
	t.Fatalf("nothing was moved aside: %q", d.all(t))
	return ""
}
