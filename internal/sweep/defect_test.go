package sweep_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
)

// What the sweep found, each in a test of its own.

// A promote whose lease could not be released had happened, and said it had
// failed: so did every promote while the store was down.
func TestDoneThoughTheLeaseStays(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	c, done := rollBack(t, s)
	dies := &faultyStore{Store: s.store, kind: down, at: func(now step) bool { return now == step{"Get sweep/leases/copy.json", 2} }}
	if err := s.do(t.Context(), dies, c); err != nil || !dies.happened() {
		t.Errorf("the rollback was done, and says %s", problem(err))
	}
	if now := live(t, s); now != done {
		t.Errorf("live is %s, want %s", now, done)
	}
}

// What was verified is verified, also where nothing can be written: a full
// disk is when people ask.
func TestVerifyWritesNothingItNeeds(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	full := &faultyStore{Store: s.store, kind: down, at: func(now step) bool { return false }, unwritable: true}
	if err := s.do(t.Context(), full, command{Operation: "verify", Environment: "prod"}); err != nil {
		t.Errorf("a store that cannot be written: %s", problem(err))
	}
	s.must(t, command{Operation: "clean"}) // stores the record
	l, err := s.manager().Runs(t.Context(), manager.RunQuery{Environment: "prod"})
	if err != nil || len(l.Runs) == 0 || l.Runs[len(l.Runs)-1].Operation != envdb.OpVerify && l.Runs[0].Operation != envdb.OpVerify {
		t.Errorf("the run was not recorded: %+v, %v", l, err)
	}
}

// A promote that died between the swap and the drop leaves a previous version
// too many, which nothing named and nothing removed until the next promote.
func TestDoctorFindsWhatIsOneTooMany(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	surplus := s.target.copyAs(t, s.target.in(t, envdb.Previous), envdb.Previous, "")
	found, err := s.diagnose(t)
	if err != nil {
		t.Fatal(problem(err))
	}
	named := 0
	for _, f := range found.Findings {
		if f.Level == manager.Caution && strings.Contains(f.Text, surplus) && strings.Contains(f.Next, "doctor --clean") {
			named++
		}
	}
	if named != 1 {
		t.Errorf("the doctor says %+v, want it to name %s", found.Findings, surplus)
	}
	s.must(t, command{Operation: "clean"})
	if got := s.target.states(t); got != "live baseline previous" {
		t.Errorf("cleaned, there is %s", got)
	}
}

// A backup that was whole, and then could not record where it came from, said
// in the store's words that nothing was changed.
func TestWholeThoughNotRecorded(t *testing.T) {
	t.Parallel()
	s := sourceOnly(t)
	dies := &faultyStore{Store: s.store, kind: down, at: func(now step) bool { return strings.Contains(now.text, "/marks/prod/identity") }}
	err := s.do(t.Context(), dies, command{Operation: "backup", Environment: "prod"})
	if state, _ := envdb.Advice(err); err == nil || !strings.Contains(state, "is whole and can be restored") {
		t.Errorf("got %s", problem(err))
	}
}

// A doctor whose connection failed just when it looked for unfinished databases
// said that all was well.
func TestDoctorSaysWhatItDidNotLookAt(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	s.proxy.arm(nil)
	if _, err := s.diagnose(t); err != nil {
		t.Fatal(problem(err))
	}
	// The last connection to the copy's server is the one that looks.
	var last step
	for _, at := range s.proxy.steps() {
		if at.text == "connect" {
			last = at
		}
	}
	s.proxy.arm(&shot{at: last, kind: cutBefore})
	found, err := s.diagnose(t)
	if err == nil || !s.proxy.happened() {
		t.Errorf("it says %+v, and no problem", found.Findings)
	}
}

// A connection that was lost in the middle of neutralise.sql was no more than
// "conn closed": not what kind of failure that is, nor what to do.
func TestNeutraliseLosesItsConnection(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	c, _ := buildOther("mirror")(t, s)
	s.proxy.arm(&shot{at: step{normal("UPDATE account SET owner = 'nobody ' || id;"), 1}, kind: lost})
	err := s.do(t.Context(), s.store, c)
	if _, next := envdb.Advice(err); !s.proxy.happened() || !errors.Is(err, envdb.ErrUnreachable) || next == "" {
		t.Errorf("got %s", problem(err))
	}
}

// A hibernation that was out of service, with its backup whole, and then could
// not find out what to drop, said in the store's words that nothing was changed.
func TestHibernatesThoughNotDropped(t *testing.T) {
	t.Parallel()
	s := awake(t)
	c, _ := hibernateWhole(t, s)
	records := 0
	dies := &faultyStore{Store: s.store, kind: failed, at: func(now step) bool {
		if strings.HasPrefix(now.text, "Put sweep/environments/") {
			records++
		}
		return records == 2 && strings.HasPrefix(now.text, "List sweep/runs/")
	}}
	err := s.do(t.Context(), dies, c)
	state, next := envdb.Advice(err)
	if !dies.happened() || !strings.Contains(state, "staging hibernates as backup") || !strings.Contains(next, "envdb wake staging goes back") {
		t.Errorf("got %s", problem(err))
	}
	s.must(t, c)
	if got := s.target.states(t); got != "none" {
		t.Errorf("given again, there is %s", got)
	}
}
