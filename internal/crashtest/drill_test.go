package crashtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
)

// Whenever a drill dies, what is live is as it was, the chain of reports is
// whole, and what it restored is gone with the next look of a daemon.
func TestKilledDrill(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true, target: pgtest.StartOwn(t, pgtest.Options{})})
	path := filepath.Join(s.dir, "envdb.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "envdb.yaml", string(config)+"drills:\n  here: {from: staging, into: staging, at: latest}\n")
	s.run(t, 0, "drill", "here")
	before := s.staging.content(t)
	for _, m := range some(0, atStep("load"), atStep("create"), atStep("check"), atStep("choose"), atStep("discard")) {
		k := s.killed(t, m, s.staging, "drill", "here")
		same(t, k.at+": what is live", s.staging.content(t), before)
		k.isInterrupted(t)
		k.child.sessionsGone()
		s.run(t, 0, "daemon", "--once")
		for _, name := range s.staging.all(t) {
			if strings.Contains(name, "__dark_") {
				t.Errorf("%s: %s is still there", k.at, name)
			}
		}
		s.run(t, 0, "drills", "verify")
	}
	s.run(t, 0, "drill", "here")
	same(t, "after all of them", s.staging.content(t), before)
}
