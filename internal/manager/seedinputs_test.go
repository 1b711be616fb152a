package manager_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// An error about a revision names the files of the repository and the revision:
// the directory that they were in is gone when it is read.
func TestErrorsOfARevision(t *testing.T) {
	t.Parallel()
	s := pgtest.StartTarget(t)
	qa := on(t, s, "qa", envdb.QA, "seed: {migrations: db/migrations, fixtures: [fixtures, more.csv]}")
	test := on(t, s, "test", envdb.Test, "seed: {migrations: {command: echo broken; exit 3}}")
	w := newWorld(t, qa, test)
	w.plant()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "db", "fixtures", "check.sql"}, {"commit", "-q", "-m", "books"}} {
		if out, err := exec.Command("git", append([]string{"-C", w.dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	w.write("more.csv", "id\n") // in the work tree only
	for env, want := range map[string]string{
		"qa":   "fixtures " + w.path("more.csv") + ": there is no such file, or no fixture file in it (at revision main, commit ",
		"test": "Next: run it by hand in " + w.dir + ", with revision main (commit ",
	} {
		_, err := w.Seed(t.Context(), manager.SeedRequest{Environment: env, Ref: "main"})
		if text := problem(err); err == nil || !strings.Contains(text, want) || strings.Contains(text, "envdb-revision-") {
			t.Errorf("%s: %s\nwant %s", env, text, want)
		}
	}
}
