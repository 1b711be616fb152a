package crashtest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/postgres"
)

// Ctrl-C ends the command in good order, wherever it is.
func TestInterruptedOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	copyOf := func(s *scene) *database { return s.copy }
	for _, c := range []struct {
		target *database
		at     moment
		args   []string
	}{
		{s.prod, behindGate("the release query", (*scene).releaseGate), []string{"backup", "prod"}},
		{s.prod, atStep("copy"), []string{"backup", "prod"}},
		{s.copy, atStep("create"), []string{"mirror", "prod", "copy"}},
		{s.copy, atStep("copy"), []string{"mirror", "prod", "copy"}},
		{s.copy, behindGate("neutralise.sql", (*scene).neutraliseGate), []string{"mirror", "prod", "copy"}},
		{s.copy, inSwap(copyOf), []string{"mirror", "prod", "copy"}},
		{s.copy, inSwap(copyOf), []string{"rollback", "copy"}},
		{s.staging, atStep("copy"), []string{"restore", "staging"}},
	} {
		s.prod.server.Exec(t, s.prod.name, "UPDATE entry SET note = md5(note) || note WHERE id % 2 = 0")
		s.copy.server.Exec(t, s.copy.name, "UPDATE account SET balance = 7 WHERE id = 1")
		live := c.target.content(t)
		clear := func() {}
		if c.at.before != nil {
			clear = c.at.before(t, s)
		}
		run := s.start(t, c.args...)
		c.at.wait(t, s, run)
		began := time.Now()
		run.interrupt()
		code := run.wait()
		clear()
		what := run.String() + " interrupted " + c.at.name
		if code == 0 && c.at.before == nil {
			t.Logf("%s: it was faster", what)
			continue
		}
		run.ends(5).says("stopping; once more to end at once", "envdb: interrupted", "State: ", "Next: ")
		for _, panicky := range []string{"SQLSTATE", "context canceled", "goroutine", "left behind"} {
			if strings.Contains(run.said(), panicky) {
				t.Errorf("%s says %q:\n%s", what, panicky, run.said())
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s took %s to stop", what, took)
		}
		same(t, what+": the live database", c.target.content(t), live)
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s left %q", what, left)
		}
		if record := run.recorded(); record == nil || record.Outcome != ledger.Interrupted || record.Finished.IsZero() {
			t.Errorf("%s: its record is %+v", what, record)
		}
	}
	s.run(t, 0, "verify", "prod", "--read-data")
	s.run(t, 0, "mirror", "prod", "copy", "--fresh")
	same(t, "the mirror", s.copy.content(t), s.prod.content(t))
}

// The second Ctrl-C does not wait for the tidying up.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	live := s.copy.content(t)
	s.checkGate().shut(t)
	c := s.start(t, "mirror", "prod", "copy")
	c.atGate(s.checkGate())
	dark := s.copy.unfinished(t)
	if len(dark) != 1 {
		t.Fatalf("the mirror builds %q", dark)
	}
	// Somebody who comments on the dark version keeps it from being dropped.
	conn := s.copy.server.Connect(t, "postgres")
	comment := s.copy.server.QueryText(t, "postgres", "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = "+postgres.Literal(dark[0]))
	for _, sql := range []string{"BEGIN", "COMMENT ON DATABASE " + postgres.Quote(dark[0]) + " IS " + postgres.Literal(comment)} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	c.interrupt()
	if !c.until("its tidying up", func() bool { return c.stands(s.copy.server, "wait_event_type = 'Lock' AND query ~ 'DROP DATABASE'") }) {
		t.Fatalf("it ended before it tidied up:\n%s", c.said())
	}
	second := time.Now()
	c.interrupt()
	c.ends(5)
	if took := time.Since(second); took > 2*time.Second {
		t.Errorf("it took %s to end at once", took)
	}
	if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.checkGate().open(t)
	same(t, "the live database", s.copy.content(t), live)
	s.run(t, 0, "mirror", "prod", "copy")
	s.cleaned(t, "interrupted twice")
}
