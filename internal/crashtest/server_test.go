package crashtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/pgtest"
)

// The server that a command works on goes away under it, as in a crash.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	source, target := pgtest.StartOwn(t, pgtest.Options{}), pgtest.StartOwn(t, pgtest.Options{})
	s := newScene(t, plan{source: source, target: target})
	production, live := s.prod.content(t), s.copy.content(t)
	for _, c := range []struct {
		name   string
		server *pgtest.Server
		at     moment
		args   []string
	}{
		{"backup", source, behindGate("the release query", (*scene).releaseGate), []string{"backup", "prod"}},
		{"backup", source, atStep("copy"), []string{"backup", "prod"}},
		{"mirror", target, atStep("copy"), []string{"mirror", "prod", "copy"}},
		{"mirror", target, behindGate("neutralise.sql", (*scene).neutraliseGate), []string{"mirror", "prod", "copy"}},
		{"mirror", target, behindGate("check.sql", (*scene).checkGate), []string{"mirror", "prod", "copy"}},
	} {
		clear := func() {}
		if c.at.before != nil {
			clear = c.at.before(t, s)
		}
		run := s.start(t, c.args...)
		c.at.wait(t, s, run)
		gone := time.Now()
		if err := c.server.Kill(context.Background()); err != nil {
			t.Fatal(err)
		}
		code := run.wait()
		what := run.String() + ", whose server went away " + c.at.name
		t.Logf("%s: exit code %d after %s\n%s", what, code, time.Since(gone).Round(time.Millisecond), run.err.String())
		// Which session notices first decides what it is called: the server is
		// gone (8), or the lock that it kept (7).
		if code != 8 && code != 7 && !(code == 0 && c.at.before == nil) {
			t.Errorf("%s: exit code %d, want 8 or 7:\n%s", what, code, run.said())
		}
		if took := time.Since(gone); took > 15*time.Second {
			t.Errorf("%s: it ended after %s", what, took)
		}
		if code != 0 {
			run.says("Next: ")
		}
		down := s.run(t, 8, c.args...).says("Next: ")
		if down.took > 15*time.Second {
			t.Errorf("%s took %s while the server was down", down, down.took)
		}
		if err := c.server.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		clear()
		same(t, what+": production", s.prod.content(t), production)
		same(t, what+": the live copy", s.copy.content(t), live)
		s.run(t, 0, c.args...)
		s.cleaned(t, what)
	}
}
