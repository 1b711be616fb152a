package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
)

// round is one run of an operation with one fault.
type round struct {
	t       *testing.T
	s       *scene
	op      operation
	what    string // for messages
	command command
	// before and after are the state without the operation and with it; source
	// is the content of the source.
	before, after, source string
	// versions are those of the target before.
	versions []string
	// started is called when the process that does it runs.
	started func()
}

func (s *scene) begin(t *testing.T, op operation, what string) *round {
	t.Helper()
	s.thaw(t)
	r := &round{t: t, s: s, op: op, what: op.name + ": " + what}
	r.command, r.after = op.prepare(t, s)
	r.before, r.source = op.state(t, s), s.source.fingerprint(t)
	if s.target != nil {
		r.versions = s.target.named(t)
	}
	return r
}

func (r *round) errorf(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s: %s", r.what, fmt.Sprintf(format, args...))
}

// answered looks at what is there after the operation answered: nothing may
// have been cleaned up yet but by itself.
func (r *round) answered(err error) {
	r.t.Helper()
	r.connectionsGone()
	now := r.whole()
	if err == nil {
		if now != r.after {
			r.errorf("it succeeded, and left\n%s\nwant\n%s", now, r.after)
		}
		return
	}
	state, next := envdb.Advice(err)
	if now == r.after && r.before != r.after && !saysDone(err, state) && r.op.name != "clean" { // which lists what it did
		r.errorf("it was done, and the error does not say so: %s", problem(err))
	}
	if next == "" && !interrupted(err) {
		r.errorf("it does not say what to do next: %s", problem(err))
	}
}

// saysDone reports whether an error says that what was asked for has been done
// all the same.
func saysDone(err error, state string) bool {
	for _, claim := range []string{"as it was", "as before", "nothing was changed", "was not stored"} {
		if strings.Contains(state, claim) {
			return false
		}
	}
	for _, word := range []string{" is live", " hibernates as ", "is whole", "was dropped", "was done", "either the old or the new"} {
		if strings.Contains(state, word) || strings.Contains(err.Error(), word) {
			return true
		}
	}
	return false
}

// interrupted reports whether a person stopped the run, of which they need no
// telling: cmd/envdb says what state things are in.
func interrupted(err error) bool {
	return errors.Is(err, envdb.ErrInterrupted) || errors.Is(err, context.Canceled)
}

// whole asserts what always holds, and returns the state.
func (r *round) whole() string {
	r.t.Helper()
	now := r.op.state(r.t, r.s)
	if now != r.before && now != r.after && r.op.name != "clean" {
		r.errorf("the state is neither the old nor the new one:\n%s\nwant\n%s\nor\n%s", now, r.before, r.after)
	}
	if source := r.s.source.fingerprint(r.t); r.s.source != r.s.target && source != r.source {
		r.errorf("the source was %s, and is %s", r.source, source)
	}
	r.loginsWork(now)
	r.nothingLost(now)
	r.backupsAreWhole()
	return now
}

// nothingLost asserts that a command which was not done took no version away:
// what there is to roll back to goes after the swap, never before.
func (r *round) nothingLost(now string) {
	r.t.Helper()
	if r.s.target == nil || now == r.after || r.op.name == "clean" {
		return
	}
	there := r.s.target.named(r.t)
	for _, version := range r.versions {
		if !slices.Contains(there, version) {
			r.errorf("it was not done, and %s is gone; there is %q", version, there)
		}
	}
}

// loginsWork asserts that there is a live version with the settings that it is
// to have: its fingerprint is one of the two, and both hold them.
func (r *round) loginsWork(now string) {
	r.t.Helper()
	if r.s.target == nil || now == r.s.contents[0] || now == r.s.contents[1] {
		return
	}
	if is := r.s.target.fingerprint(r.t); is != r.s.contents[0] && is != r.s.contents[1] {
		r.errorf("live is neither backup: %s; want %q", is, r.s.contents)
	}
}

// backupsAreWhole reads every backup that is listed to its last byte.
func (r *round) backupsAreWhole() {
	r.t.Helper()
	repository := r.s.repository(r.t)
	report, err := repository.Verify(r.t.Context(), r.s.source.env, "", backup.VerifyOptions{ReadData: true})
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		r.errorf("not every backup is whole: %s", problem(err))
	}
}

// patience is how long what should be over may take to end.
const patience = 30 * time.Second

// connectionsGone waits until no connection is left at the proxy, nor at the
// server.
func (r *round) connectionsGone() {
	r.t.Helper()
	r.eventually("the operation keeps connections", func() bool { return r.s.proxy.open() == 0 })
	r.backendsGone()
}

func (r *round) backendsGone() {
	r.t.Helper()
	sessions := "SELECT count(*) FROM pg_stat_activity WHERE " + r.s.proxy.backends()
	r.eventually("the server keeps sessions", func() bool { return r.s.source.ask(r.t, sessions) == "0" })
}

func (r *round) eventually(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			r.errorf("%s for %s", what, patience)
			return
		}
		<-tick.C
	}
}

// doctorEvery is after how many rounds the doctor cleans up and is asked what
// it still sees, in `make test`; it is slower than what it looks after.
const doctorEvery = 8

// converges gives the command again, unless it was done and cannot be, and
// asserts that things are as after an undisturbed run.
func (r *round) converges(n int) {
	r.t.Helper()
	r.s.proxy.arm(nil)
	done := r.op.state(r.t, r.s) == r.after
	again := !r.op.once || !done
	if again {
		if err := r.s.do(r.t.Context(), r.s.store, r.command); err != nil {
			r.errorf("given again: %s", problem(err))
		}
	}
	examined := everything() || n%doctorEvery == 0
	if examined {
		if err := r.s.do(r.t.Context(), r.s.store, command{Operation: "clean"}); err != nil {
			r.errorf("doctor --clean: %s", problem(err))
		}
	}
	if now := r.whole(); now != r.after {
		r.errorf("given again, it left\n%s\nwant\n%s", now, r.after)
	}
	r.nothingRuns(again && !(r.op.free && done))
	if examined {
		r.nothingLeft()
	}
}

// nothingRuns asserts that no run counts as running, and, if the command was given
// again and needed it, that nobody holds the environment.
func (r *round) nothingRuns(again bool) {
	r.t.Helper()
	l := ledger.New(r.s.store, project, ledger.Config{Machine: r.s.processes.machine(firstPID)})
	runs, err := l.Runs(r.t.Context(), ledger.Filter{})
	if err != nil {
		r.errorf("runs: %v", err)
	}
	for _, run := range runs {
		if run.Outcome == ledger.Running {
			r.errorf("run %s still runs", run.ID)
		}
	}
	if !again || r.command.Environment == "" {
		return
	}
	if holders, err := l.Holders(r.t.Context(), r.command.Environment); err != nil || len(holders) > 0 {
		r.errorf("%s is held by %v (%v)", r.command.Environment, holders, err)
	}
}

// nothingLeft asserts that nothing is left of the fault, and that the doctor
// sees it so.
func (r *round) nothingLeft() {
	r.t.Helper()
	if left := leftovers(r.t, r.s); left != "nothing" {
		r.errorf("left after all: %s", left)
	}
	if r.s.target != nil && r.op.versions != "" {
		if got := r.s.target.states(r.t); got != r.op.versions {
			r.errorf("the versions are %s; want %s", got, r.op.versions)
		}
	}
	if spooled, _ := filepath.Glob(r.s.path("home/spool/*/*")); len(spooled) > 0 {
		r.errorf("the spool holds %q", spooled)
	}
	diagnosis, err := r.s.diagnose(r.t)
	if err != nil {
		r.errorf("doctor: %s", problem(err))
	}
	for _, f := range diagnosis.Findings {
		if f.Level != manager.Fine {
			r.errorf("the doctor still says: %s: %s", f.About, f.Text)
		}
	}
}

// diagnose is the doctor's word on the scene.
func (s *scene) diagnose(t *testing.T) (*manager.Diagnosis, error) {
	t.Helper()
	return s.manager().Doctor(t.Context(), attic{s.store}, manager.DoctorRequest{})
}

var errTooLong = errors.New("it took too long")

// within runs f with a context that also ends when it takes too long.
func within(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	err := f(ctx)
	if errors.Is(context.Cause(ctx), errTooLong) {
		return errors.Join(errTooLong, err)
	}
	return err
}
