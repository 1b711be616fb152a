package crashtest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/postgres"
)

// moment is when a command is killed.
type moment struct {
	name string
	wait func(*testing.T, *scene, *child)
	// before prepares the scene, and after clears what it prepared.
	before func(*testing.T, *scene) (after func())
}

// atStep is when a step has begun.
func atStep(step string) moment {
	return moment{name: "at " + step, wait: func(_ *testing.T, _ *scene, c *child) { c.reaches(step) }}
}

// behindGate is in the middle of a statement that goes on when the command is
// gone.
func behindGate(name string, which func(*scene) *gate) moment {
	return moment{
		name: "in the middle of " + name,
		before: func(t *testing.T, s *scene) func() {
			which(s).shut(t)
			return func() { which(s).open(t) }
		},
		wait: func(_ *testing.T, s *scene, c *child) { c.atGate(which(s)) },
	}
}

// inSwap is within the transaction of a promote, which waits for a lock.
func inSwap(of func(*scene) *database) moment {
	return moment{
		name: "in the transaction of the swap",
		before: func(t *testing.T, s *scene) func() {
			d := of(s)
			conn := d.server.Connect(t, "postgres")
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			// Anyone who comments on a database locks it against a rename.
			comment := d.server.QueryText(t, "postgres", "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = "+postgres.Literal(d.name))
			if _, err := conn.Exec(t.Context(), "COMMENT ON DATABASE "+d.name+" IS "+postgres.Literal(comment)); err != nil {
				t.Fatal(err)
			}
			return func() {
				if _, err := conn.Exec(t.Context(), "ROLLBACK"); err != nil {
					t.Fatal(err)
				}
			}
		},
		wait: func(t *testing.T, s *scene, c *child) {
			if !c.until("the swap", func() bool {
				return c.stands(of(s).server, "wait_event_type = 'Lock' AND query ~ 'COMMENT ON DATABASE|RENAME'")
			}) {
				t.Fatalf("%s ended before the swap:\n%s", c, c.said())
			}
		},
	}
}

// after returns n moments, the same in every run of the tests, none later than
// longest after the start.
func after(n int, longest time.Duration, seed uint64) []moment {
	random := rand.New(rand.NewPCG(seed, 20261121))
	var moments []moment
	for range n {
		delay := time.Duration(random.Int64N(int64(longest)))
		moments = append(moments, moment{
			name: fmt.Sprintf("after %s", delay.Round(time.Millisecond)),
			wait: func(t *testing.T, _ *scene, c *child) {
				select {
				case <-time.After(delay): // the delay is what is tested
				case <-c.done:
				}
			},
		})
	}
	return moments
}

// few is how many random moments belong to the sample, beside every other
// named one.
const few = 1

func moments(seed uint64, longest time.Duration, named ...moment) []moment {
	random := few
	if everything() {
		random = 10
	}
	return append(some(seed, named...), after(random, longest, seed)...)
}

// some returns every other moment, or all in `make sweep-all`.
func some(seed uint64, named ...moment) []moment {
	if everything() {
		return named
	}
	var sample []moment
	for i, m := range named {
		if i%2 == int(seed)%2 {
			sample = append(sample, m)
		}
	}
	return sample
}

func TestKilledBackup(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	before := s.prod.content(t)
	for i, m := range moments(1, 700*time.Millisecond, behindGate("the release query", (*scene).releaseGate), atStep("copy"), atStep("commit")) {
		// Without a change nothing would be stored, and nothing left over.
		s.prod.server.Exec(t, s.prod.name, fmt.Sprintf("UPDATE entry SET note = md5(note || '%d') || note WHERE id %% 2 = 0", i))
		k := s.killed(t, m, s.prod, "backup", "prod")
		same(t, k.at+": production", s.prod.content(t), before)
		k.recover(t, i, func() { s.run(t, 0, "backup", "prod") })
	}
	s.run(t, 0, "mirror", "prod", "copy")
	same(t, "a mirror of the last backup", s.copy.content(t), before)
}

func TestKilledMirror(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	copyOf := func(s *scene) *database { return s.copy }
	s.killBuilds(t, s.prod, s.copy, moments(2, 1500*time.Millisecond,
		atStep("preflight"), atStep("create"), atStep("load"), atStep("copy"), atStep("build indexes"),
		behindGate("neutralise.sql", (*scene).neutraliseGate), behindGate("check.sql", (*scene).checkGate),
		atStep("check"), atStep("promote"), inSwap(copyOf)), "mirror")
}

func TestKilledRestore(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	staging := func(s *scene) *database { return s.staging }
	s.killBuilds(t, s.staging, s.staging, moments(3, 1500*time.Millisecond,
		atStep("create"), atStep("copy"), atStep("analyze"), atStep("promote"), inSwap(staging)), "restore")
}

// killBuilds kills commands that fill a database from one backup and the other
// in turn.
func (s *scene) killBuilds(t *testing.T, source, target *database, moments []moment, command string) {
	t.Helper()
	ids := s.backups(t, source.env)
	if len(ids) != 2 {
		t.Fatalf("backups %q", ids)
	}
	args := func(i int) []string {
		a := []string{command, source.env + "@" + ids[i%2]}
		if command == "mirror" {
			a = append(a, target.env)
		}
		return a
	}
	contents := map[int]string{}
	for i := range 2 {
		s.run(t, 0, args(i)...)
		contents[i] = target.content(t)
	}
	if contents[0] == contents[1] {
		t.Fatalf("both backups hold %s", contents[0])
	}
	for i, m := range moments {
		old, next := contents[(i+1)%2], contents[i%2]
		k := s.killed(t, m, target, args(i)...)
		now := target.content(t)
		if now != old && now != next {
			t.Errorf("%s: the live database is neither the old nor the new one: %s; want %s or %s", k.at, now, old, next)
		}
		k.recover(t, i, func() { s.run(t, 0, args(i)...) })
		same(t, k.at+": after the command was typed again", target.content(t), next)
	}
}

func TestKilledPromoteAndRollback(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	copyOf := func(s *scene) *database { return s.copy }
	ids := s.backups(t, "prod")
	// What is live holds the second backup's sum, what is previous the first's.
	s.run(t, 0, "mirror", "prod@"+ids[0], "copy")
	s.run(t, 0, "mirror", "prod@"+ids[1], "copy")
	live := s.copy.content(t)
	s.run(t, 0, "rollback", "copy")
	previous := s.copy.content(t)
	for i, m := range moments(4, 150*time.Millisecond, inSwap(copyOf), atStep("rollback")) {
		k := s.killed(t, m, s.copy, "rollback", "copy")
		now := s.copy.content(t)
		if now != live && now != previous {
			t.Errorf("%s: the live database is %s; want %s or %s", k.at, now, live, previous)
		}
		k.recover(t, i, func() {
			now := s.copy.content(t)
			s.run(t, 0, "rollback", "copy")
			if s.copy.content(t) == now {
				t.Errorf("%s: rolled back, and nothing changed", k.at)
			}
		})
	}
	for i, m := range moments(5, 150*time.Millisecond, inSwap(copyOf), atStep("promote")) {
		s.run(t, 0, "mirror", "prod@"+ids[i%2], "copy", "--dark")
		dark := s.darkVersion(t)
		k := s.killed(t, m, s.copy, "promote", "copy", dark)
		swapped := s.darkVersion(t) == ""
		k.recover(t, i, func() {
			if swapped {
				return // there is nothing to type again: it is live
			}
			s.run(t, 0, "promote", "copy", dark)
		})
		same(t, k.at+": after the promote", s.copy.content(t), []string{previous, live}[i%2])
	}
}

// A migration goes on in the server when the process that began it was killed.
// The next run ends it before it changes anything, although the backup that it
// begins with met the dead run first.
func TestKilledMigrate(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{noMirror: true})
	if err := os.Mkdir(filepath.Join(s.dir, "migrations"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "migrations/00001_note.sql", "-- +goose Up\nCREATE TABLE note (t text);\n-- +goose Down\nDROP TABLE note;\n")
	write(t, s.dir, "migrations/00002_late.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nINSERT INTO account (owner, balance) SELECT 'late', 1 FROM pg_sleep(60);\n")
	var session string // of the migration that is killed
	sessions := func(condition string) string {
		return s.staging.server.QueryText(t, "postgres", "SELECT coalesce(max(application_name), '') FROM pg_stat_activity WHERE application_name LIKE 'envdb/%' AND "+condition)
	}
	inMigration := moment{name: "in a migration", wait: func(t *testing.T, s *scene, c *child) {
		if !c.until("the migration", func() bool { session = sessions("query ~ 'late.*pg_sleep'"); return session != "" }) {
			t.Fatalf("%s ended before:\n%s", c, c.said())
		}
	}}
	k := s.killed(t, inMigration, s.staging, "migrate", "staging")
	if sessions("application_name = "+postgres.Literal(session)) == "" {
		t.Fatal("the server has noticed by itself, so this shows nothing")
	}
	s.run(t, 0, "migrate", "staging", "--to", "0")
	if sessions("application_name = "+postgres.Literal(session)) != "" {
		t.Errorf("%s: the session %s goes on", k.at, session)
	}
	same(t, "the table of the first migration", s.staging.server.QueryText(t, s.staging.name, "SELECT to_regclass('note') IS NULL"), "t")
	k.isInterrupted(t)
}

// darkVersion returns the name of the finished dark version of copy, or "".
func (s *scene) darkVersion(t *testing.T) string {
	t.Helper()
	return s.copy.server.QueryText(t, "postgres", "SELECT datname FROM pg_database WHERE starts_with(datname, '"+s.copy.name+"__dark_')")
}

// killing is a command that was killed.
type killing struct {
	s      *scene
	child  *child
	target *database
	at     string // for messages
	died   bool
}

// killed runs a command, and kills it at the moment.
func (s *scene) killed(t *testing.T, m moment, target *database, args ...string) *killing {
	t.Helper()
	clear := func() {}
	if m.before != nil {
		clear = m.before(t, s)
	}
	c := s.start(t, args...)
	m.wait(t, s, c)
	died := c.kill()
	clear()
	k := &killing{s: s, child: c, target: target, died: died, at: fmt.Sprintf("%s killed %s (%s)", c, m.name, c.at())}
	t.Log(k.at)
	return k
}

// recover looks at what the kill left behind, and has the command typed again:
// in even rounds at once, in odd ones after the doctor cleaned up.
func (k *killing) recover(t *testing.T, round int, again func()) {
	t.Helper()
	k.isInterrupted(t)
	if round%2 == 0 {
		again()
		k.s.cleaned(t, k.at)
		return
	}
	k.child.sessionsGone()
	k.s.cleaned(t, k.at)
	again()
	if left := k.s.left(t); len(left) > 0 {
		t.Errorf("%s: a clean run left %q", k.at, left)
	}
}

// isInterrupted fails the test if `envdb runs` shows the dead run as anything
// else.
func (k *killing) isInterrupted(t *testing.T) {
	t.Helper()
	run := k.child.recorded()
	if run == nil || !k.died || run.Outcome == ledger.Succeeded {
		return // it was too early, or too late
	}
	if list := k.s.run(t, 0, "runs", "--env", k.target.env).out.String(); !shows(list, run.ID, "interrupted") {
		t.Errorf("%s: envdb runs shows:\n%s", k.at, list)
	}
}

// shows reports whether the line of a list that begins with id holds the word.
func shows(list, id, word string) bool {
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, id) {
			return strings.Contains(line, word)
		}
	}
	return false
}

var uselessBaseline = regexp.MustCompile(`no reset uses [^\n]*\n +Next: envdb doctor --clean`)

// cleaned lets the doctor name the leftovers and remove them, and looks
// whether any is left; and whether all that is in the store can be read.
func (s *scene) cleaned(t *testing.T, at string) {
	t.Helper()
	left := s.left(t)
	found := s.run(t, 0, "doctor")
	// A baseline that outlived its version is no leftover of a run: the next that
	// fills the environment drops it.
	said := uselessBaseline.ReplaceAllString(found.said(), "")
	if names := strings.Contains(said, "Next: envdb doctor --clean"); names != (len(left) > 0) {
		t.Errorf("%s: it left %q, and the doctor says:\n%s", at, left, found.said())
	}
	s.run(t, 0, "doctor", "--clean")
	if left := s.left(t); len(left) > 0 {
		t.Errorf("%s: after doctor --clean there is still %q", at, left)
	}
	s.run(t, 0, "verify", "prod", "--read-data")
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}
