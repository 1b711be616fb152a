package manager_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

// child is the real command at work.
type child struct {
	cmd   *exec.Cmd
	lines chan string // of stderr; closed at its end
	said  []string    // the lines that were read
}

// start runs the command on the world's configuration. With --debug it says
// what it does, step by step, and so when to hit it.
func (w *world) start(t *testing.T, args ...string) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	c := &child{cmd: exec.CommandContext(ctx, binary(t), append([]string{"--config", w.path("envdb.yaml"), "--debug"}, args...)...)}
	c.cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH")}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.lines = make(chan string)
	go func() {
		defer close(c.lines)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			c.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		c.end()
	})
	return c
}

// read waits for n more lines, and reports whether there were as many.
func (c *child) read(n int) bool {
	for range n {
		line, ok := <-c.lines
		if !ok {
			return false
		}
		c.said = append(c.said, line)
	}
	return true
}

// end reads what is left and returns the exit code, -1 if it was killed.
func (c *child) end() int {
	for line := range c.lines {
		c.said = append(c.said, line)
	}
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		return c.cmd.ProcessState.ExitCode()
	}
	return -2
}

// run runs the command to its end; it returns its exit code and stderr.
func (w *world) run(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	c := w.start(t, args...)
	code = c.end()
	return code, strings.Join(c.said, "\n")
}

// ok runs the command, which must work, and returns what it said.
func (w *world) ok(t *testing.T, args ...string) string {
	t.Helper()
	code, said := w.run(t, args...)
	if code != 0 {
		t.Fatalf("envdb %s: exit code %d\n%s", strings.Join(args, " "), code, said)
	}
	return said
}

// await reads up to the line that says what, and fails the test without one.
func (c *child) await(t *testing.T, what string) {
	t.Helper()
	for c.read(1) {
		if strings.Contains(c.said[len(c.said)-1], what) {
			return
		}
	}
	t.Fatalf("the command never said %q:\n%s", what, strings.Join(c.said, "\n"))
}

// killAfter starts the command and kills it a moment after its nth line. It
// reports false if it came to its end before.
func (w *world) killAfter(t *testing.T, n int, args ...string) bool {
	t.Helper()
	c := w.start(t, args...)
	if !c.read(n) {
		return false
	}
	select {
	case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond): // anywhere up to the next line
	case line, ok := <-c.lines:
		if ok {
			c.said = append(c.said, line)
		}
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	return c.end() == -1
}

// length returns how many lines the command says, which must work.
func (w *world) length(t *testing.T, args ...string) int {
	t.Helper()
	return len(strings.Split(w.ok(t, args...), "\n"))
}

// A mirror that is killed at any step leaves live as it was, or swapped. The
// next one works as if nothing had been, and so does the doctor.
func TestKillMirror(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	points := map[string]envdb.BackupID{"1|one": w.backup("prod").ID}
	prod.exec(t, "UPDATE t SET who = 'two'")
	points["1|two"] = w.backup("prod").ID
	lines := w.length(t, "mirror", "prod@"+string(points["1|one"]), "qa")
	is, other := "1|one", "1|two"
	same(t, "live", target.content(t), is)

	killed, swapped, cleaned := 0, 0, 0
	for n := 2; n < lines; n += 3 {
		if w.killAfter(t, n+rand.IntN(3), "mirror", "prod@"+string(points[other]), "qa") {
			killed++
		}
		if got := target.content(t); got == other {
			swapped++
		} else if got != is {
			t.Fatalf("killed after line %d, the live version holds %q", n, got)
		}
		if n%2 == 0 {
			cleaned += w.cleanUp(t, target)
		}
		w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Point: envdb.AtBackup(points[other])})
		same(t, "live after a re-run", target.content(t), other)
		same(t, "versions after a re-run", w.versions("qa"), "live prod, previous prod")
		is, other = other, is
	}
	t.Logf("%d lines; %d killed, %d of them after the swap; the doctor removed %d databases", lines, killed, swapped, cleaned)
	if killed < 5 || swapped == killed || cleaned == 0 {
		t.Errorf("%d killed, %d after the swap, %d cleaned: these kills prove nothing", killed, swapped, cleaned)
	}
	w.interruptedRuns("qa", killed)
}

// cleanUp lets the doctor find and remove unfinished databases, and returns
// how many there were.
func (w *world) cleanUp(t *testing.T, p place) (removed int) {
	t.Helper()
	var dark []string
	for _, name := range p.databases(t) {
		if strings.Contains(name, "__dark_") {
			dark = append(dark, name)
		}
	}
	live := p.content(t)
	found, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{})
	if err != nil {
		t.Error(problem(err))
	}
	for _, name := range dark {
		if !mentions(found, manager.Caution, name) {
			t.Errorf("the doctor does not list %s: %+v", name, found)
		}
	}
	if _, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{Clean: true}); err != nil {
		t.Error(problem(err))
	}
	for _, name := range p.databases(t) {
		if slices.Contains(dark, name) {
			t.Errorf("the doctor left %s", name)
		}
	}
	again, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{})
	if err != nil || mentions(again, manager.Caution, "interrupted") {
		t.Errorf("after cleaning: %+v, %s", again, problem(err))
	}
	same(t, "live after cleaning", p.content(t), live)
	return len(dark)
}

func mentions(d *manager.Diagnosis, level manager.Level, text string) bool {
	return slices.ContainsFunc(d.Findings, func(f manager.Finding) bool { return f.Level == level && strings.Contains(f.Text, text) })
}

// interruptedRuns fails the test unless that many runs show as interrupted,
// and none as running.
func (w *world) interruptedRuns(env string, want int) {
	w.t.Helper()
	list, err := w.Runs(w.t.Context(), manager.RunQuery{Environment: env})
	if err != nil {
		w.t.Fatal(problem(err))
	}
	interrupted := 0
	for _, r := range list.Runs {
		switch r.Outcome {
		case ledger.Interrupted:
			interrupted++
		case ledger.Running:
			w.t.Errorf("run %s still runs", r.ID)
		}
	}
	if interrupted == 0 || interrupted > want {
		w.t.Errorf("%d runs were interrupted, of %d that were killed", interrupted, want)
	}
}

// A backup that is killed is not there, or whole.
func TestKillBackup(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("one"),
		"CREATE TABLE noise AS SELECT i, sha512(i::text::bytea) AS v FROM generate_series(1, 20000) AS i")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	lines := w.length(t, "backup", "prod")
	killed, cleaned := 0, 0
	for round := range 8 {
		prod.exec(t, "UPDATE noise SET v = sha512(v)", fmt.Sprintf("UPDATE t SET who = '%d'", round))
		if w.killAfter(t, 2+round%(lines-1), "backup", "prod") {
			killed++
		}
		if round%2 == 0 {
			found, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{Clean: true})
			if err != nil {
				t.Error(problem(err))
			}
			if mentions(found, manager.Fine, "interrupted backup") {
				cleaned++
			}
		}
		if _, err := w.Verify(t.Context(), manager.VerifyRequest{Environment: "prod", ReadData: true}); err != nil {
			t.Errorf("round %d: %s", round, problem(err))
		}
		w.backup("prod")
		if round%4 == 3 {
			w.mirror("prod", "qa")
			same(t, "the mirror after a re-run", target.content(t), fmt.Sprintf("1|%d", round))
		}
	}
	if _, err := w.Doctor(t.Context(), w.store, manager.DoctorRequest{Clean: true}); err != nil {
		t.Error(problem(err))
	}
	w.nothingLeft("prod")
	t.Logf("%d of 8 were killed; the doctor cleaned up after %d", killed, cleaned)
	if killed < 4 {
		t.Errorf("only %d of 8 backups were killed: these kills prove nothing", killed)
	}
	w.interruptedRuns("prod", killed)
}

// A promote that is killed has happened or not.
func TestKillPromote(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, target)
	w.mirror("prod", "qa")
	killed, swapped := 0, 0
	for round := range 6 {
		was := target.content(t)
		now := fmt.Sprintf("1|%d", round)
		prod.exec(t, fmt.Sprintf("UPDATE t SET who = '%d'", round))
		dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true, Dark: true})
		if w.killAfter(t, 3+round%3, "promote", "qa", dark.Database) {
			killed++
		}
		_, err := w.Promote(t.Context(), manager.PromoteRequest{Environment: "qa", Version: dark.Database})
		switch {
		case err == nil:
		case errors.Is(err, envdb.ErrNotFound): // it had happened
			swapped++
		default:
			t.Errorf("re-run: %s (it was %s)", problem(err), was)
		}
		same(t, "live after a re-run", target.content(t), now)
	}
	w.rollback("qa")
	same(t, "live after a rollback", target.content(t), "1|4")
	w.mirror("prod", "qa") // it also drops the previous versions that a kill kept from being dropped
	same(t, "versions", w.versions("qa"), "live prod, previous prod")
	t.Logf("%d of 6 were killed; %d of 6 were live all the same", killed, swapped)
	if killed < 2 || swapped == 6 {
		t.Error("these kills prove nothing")
	}
}

// An interrupted command tidies up, says what state things are in, and exits
// with 5.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "mirror: {from: prod, neutralise: [slow.sql]}")
	w := newWorld(t, prod, target)
	w.write("slow.sql", "SELECT 1;")
	w.mirror("prod", "qa")
	w.write("slow.sql", "SELECT pg_sleep(60);")
	before := target.state(t)
	for _, step := range []string{"step began (step preflight)", "step began (step create)", "step began (step load)", "copy:"} {
		c := w.start(t, "mirror", "prod", "qa")
		c.await(t, step)
		if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		code := c.end()
		said := strings.Join(c.said, "\n")
		if code != 5 || !strings.Contains(said, "interrupted") || !strings.Contains(said, "Next:") || strings.Contains(said, "half built") {
			t.Errorf("at %s: exit code %d:\n%s", step, code, said)
		}
		same(t, "databases after an interrupt at "+step, target.state(t), before)
	}
	hold := s.Connect(t, prod.base)
	if _, err := hold.Exec(t.Context(), "BEGIN; LOCK TABLE many"); err != nil {
		t.Fatal(err)
	}
	c := w.start(t, "backup", "prod")
	c.await(t, "step began (step copy)")
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := c.end(); code != 5 {
		t.Errorf("backup: exit code %d:\n%s", code, strings.Join(c.said, "\n"))
	}
	if _, err := hold.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	w.nothingLeft("prod")
	w.write("slow.sql", "SELECT 1;")
	w.mirror("prod", "qa")
}

// Of two mirrors into one target the second is told who holds it since when.
func TestTwoMirrorsAtOnce(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, small("one")...)
	target := on(t, s, "qa", envdb.QA, "mirror: {from: prod, neutralise: [slow.sql]}")
	other := on(t, s, "dev", envdb.Dev)
	w := newWorld(t, prod, target, other)
	w.write("slow.sql", "SELECT pg_sleep(3);")
	w.backup("prod")
	first := w.start(t, "mirror", "prod", "qa")
	first.await(t, "step began (step load)")
	runs, err := w.Runs(t.Context(), manager.RunQuery{Environment: "qa"})
	if err != nil || len(runs.Runs) != 1 {
		t.Fatal(runs, err)
	}
	code, said := w.run(t, "mirror", "prod", "qa")
	if code != 7 {
		t.Errorf("exit code %d", code)
	}
	for _, word := range []string{"mirror by ", " since ", runs.Runs[0].ID, "Next:"} {
		if !strings.Contains(said, word) {
			t.Errorf("it does not say %q:\n%s", word, said)
		}
	}
	_, err = w.Rollback(t.Context(), manager.RollbackRequest{Environment: "qa"})
	wants(t, err, envdb.ErrBusy, runs.Runs[0].ID)
	w.mirror("prod", "dev") // which is nobody's business
	if code := first.end(); code != 0 {
		t.Errorf("the first: exit code %d\n%s", code, strings.Join(first.said, "\n"))
	}
	same(t, "live", target.content(t), "1|one")
}
