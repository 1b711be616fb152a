package crashtest_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/schedule"
)

// within is how soon another daemon takes over from one that is lost: before a
// minute is over.
const within = time.Minute

// Of three daemons on three machines one is killed and one is cut off from the
// store, each in the middle of a backup, which a person follows elsewhere. The one that is cut off stops by itself
// before anyone else may begin. The third takes over from both within a minute,
// and when the store can be reached again, the second carries on.
func TestDaemonsOfOtherMachinesAreLost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, pgtest.Start(t), "backup: {ladder: [5s, 1m], max_duty: 100%, grace: 1h}", "housekeeping: 5s", "prod", "shop")
	ladder := schedule.Ladder{5 * time.Second, time.Minute}
	gates := map[*database]*gate{}
	for _, d := range f.backed {
		gates[d] = newGate(d.server, d.name)
		gates[d].shut(t)
	}
	left, right, spare := f.machine(t, "left"), f.machine(t, "right"), f.machine(t, "spare")
	killed := left.keep(t, "ENVDB_DAEMON_RUNS=1")
	ofLeft, ofRight := f.backed[0], f.backed[1]
	eventually(t, "the first daemon backs up", func() bool { return f.backed[0].atGate(t) != "" || f.backed[1].atGate(t) != "" })
	if ofLeft.atGate(t) == "" {
		ofLeft, ofRight = ofRight, ofLeft
	}
	cut := right.keep(t, "ENVDB_DAEMON_RUNS=1")
	lost := map[*database]string{ofLeft: ofLeft.standsIn(t), ofRight: ofRight.standsIn(t)}
	heir := spare.keep(t)
	eventually(t, "the third daemon has looked", func() bool { return heir.metric("loop_last_pass_timestamp_seconds") > 0 })
	watching := spare.start(t, "runs", "show", lost[ofRight], "--follow")
	if !watching.until("the run of another machine to be shown", func() bool {
		return strings.Contains(watching.out.String(), "backup of "+ofRight.env) && strings.Contains(watching.out.String(), "copy …")
	}) {
		t.Fatalf("a run that goes on is not followed:\n%s", watching.said())
	}
	killedPlace, cutPlace, heirPlace := killed.processes(), cut.processes(), heir.processes()

	began := time.Now()
	killed.kill()
	heal := right.cutOff()
	gates[ofLeft].open(t)
	eventually(t, "the daemon that is cut off stops its backup", func() bool {
		if at := ofRight.atGate(t); at != "" && at != lost[ofRight] {
			t.Fatalf("run %s backs %s up beside run %s", at, ofRight.env, lost[ofRight])
		}
		return ofRight.atGate(t) == ""
	})
	stopped := time.Now()
	gates[ofRight].open(t)
	if took := stopped.Sub(began); took > ledger.TTL {
		t.Errorf("the daemon that is cut off stopped its backup after %s", took)
	}
	for d, since := range map[*database]time.Time{ofLeft: began, ofRight: stopped} {
		run := f.backsUp(t, heirPlace, d, began)
		took := run.Finished.Sub(began)
		t.Logf("%s: lost for %s, backed up again after %s", d.env, since.Sub(began).Round(time.Millisecond), took.Round(time.Millisecond))
		if took > within {
			t.Errorf("%s was backed up again after %s", d.env, took)
		}
		if run.Started.Before(since) {
			t.Errorf("the next backup of %s began at %s, and the one before ended at %s", d.env, run.Started, since)
		}
	}
	cut.lives("cut off", http.StatusServiceUnavailable)
	eventually(t, "the run of the daemon that was killed is marked", func() bool { return f.marked(t, lost[ofLeft], ledger.Interrupted) })
	t.Logf("run %s was marked after %s", lost[ofLeft], time.Since(began).Round(time.Millisecond))

	heal()
	healed := time.Now()
	heir.signal(syscall.SIGTERM)
	heir.ends(0)
	for _, d := range f.backed {
		d.earn(t)
		f.backsUp(t, cutPlace, d, healed)
	}
	t.Logf("the daemon that was cut off carries on after %s", time.Since(healed).Round(time.Millisecond))
	cut.lives("healed", http.StatusOK)
	cut.signal(syscall.SIGTERM)
	cut.ends(0)
	if said := watching.ends(1).said(); !strings.Contains(said, " after ") || !strings.Contains(said, "could not be renewed") && !strings.Contains(said, "took over") {
		t.Errorf("who followed the run from another machine reads:\n%s", said)
	}

	if run, err := f.ledger.Run(t.Context(), lost[ofRight]); err != nil || run.Outcome != ledger.Failed || !strings.Contains(run.Error, "could not be renewed") {
		t.Errorf("the run of the daemon that was cut off: %+v, %v", run, err)
	}
	f.nobodyHolds(t, "in the end")
	for _, d := range f.backed {
		runs := f.history(t, envdb.OpBackup, d.env)
		for i := range runs {
			switch runs[i].ID {
			case lost[ofLeft]: // nobody was there to say when it ended
				runs[i].Finished = began
			case lost[ofRight]: // it tried to tidy up until it gave that up
				runs[i].Finished = stopped
			}
		}
		if did := didBy(killedPlace, runs); d == ofLeft && len(did) != 1 {
			t.Errorf("the daemon that was killed has %d runs", len(did))
		}
		apart(t, runs)
		f.nothingLost(t, d.env, ladder, schedule.Keep{})
		f.run(t, 0, "verify", d.env, "--read-data")
	}
	if said := f.run(t, 0, "doctor").said(); strings.Contains(said, "doctor --clean") {
		t.Errorf("something lies about:\n%s", said)
	}
}

// apart fails the test if two of the runs went on at once.
func apart(t *testing.T, runs []ledger.Run) {
	t.Helper()
	for i := 1; i < len(runs); i++ {
		if was, is := runs[i-1], runs[i]; was.Finished.IsZero() || was.Finished.After(is.Started) {
			t.Errorf("run %s began at %s, and run %s went on until %s", is.ID, is.Started.Format(time.StampMilli), was.ID, was.Finished.Format(time.StampMilli))
		}
	}
}
