package crashtest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/daemon"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/s3test"
)

// status is what /status answers.
func (k *keeper) status() (s daemon.Status) {
	k.t.Helper()
	_, body := k.ask("/status")
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		k.t.Fatalf("%v: %s", err, body)
	}
	return s
}

// idles waits until nothing runs.
func (k *keeper) idles() {
	k.t.Helper()
	eventually(k.t, "nothing runs", func() bool { return k.metric("tasks_running") == 0 })
}

// A server that is down ends no daemon; it is said, and when it is back, so are the
// backups. A slot that begins while the backup of the one before goes on waits for
// that, and what was missed is not made up for.
func TestDaemonLivesThroughTrouble(t *testing.T) {
	t.Parallel()
	source := pgtest.StartOwn(t, pgtest.Options{})
	s := newPost(t, plan{source: source}, duties{ladder: "[10s, 1d]"})
	backups := func() []ledger.Run { return s.history(t, envdb.OpBackup, "prod") }
	k := s.keep(t)
	s.another(t, envdb.OpBackup, "prod")
	k.idles()
	if err := source.Kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	failures := func() float64 { return k.metric(`task_failures{task="ladder/prod"}`) }
	eventually(t, "the ladder fails", func() bool { return failures() > 0 })
	k.lives("the server is down", http.StatusOK) // which is of the store and the configuration
	eventually(t, "/status says why the ladder fails", func() bool {
		return slices.ContainsFunc(k.status().Waiting, func(w daemon.Waiting) bool {
			return w.Task == "ladder/prod" && w.Attempts > 0 && strings.Contains(w.Error, "connect")
		})
	})
	if err := source.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.prod.earn(t)
	s.another(t, envdb.OpBackup, "prod")
	eventually(t, "the ladder does not fail", func() bool { return failures() == 0 })
	s.releaseGate().shut(t)
	s.prod.earn(t)
	long := s.prod.standsIn(t)
	before := len(backups())
	began := backups()[before-1].Started
	eventually(t, "two more slots have begun", func() bool { return time.Since(began) > 21*time.Second })
	if runs := backups(); len(runs) != before || runs[before-1].ID != long || s.prod.atGate(t) != long {
		t.Errorf("beside run %s there are %+v", long, runs)
	}
	running := k.status().Running
	if !slices.ContainsFunc(running, func(r daemon.Running) bool { return r.Task == "ladder/prod" && !r.Wedged }) {
		t.Errorf("/status does not say that the ladder is at it: %+v", running)
	}
	if k.metric("tasks_running") != 1 {
		t.Errorf("%g tasks are said to run", k.metric("tasks_running"))
	}
	s.releaseGate().open(t)
	s.another(t, envdb.OpBackup, "prod")
	k.idles()
	if n := len(backups()) - before; n > 1 {
		t.Errorf("%d backups were taken: slots that were missed are made up for", n)
	}
	k.signal(syscall.SIGTERM)
	k.ends(0)
	apart(t, backups())
	s.run(t, 0, "verify", "prod", "--read-data")
}

// A store that is full answers and takes nothing. The daemon lives on and says
// so, and goes on when there is room.
func TestDaemonOfAFullStore(t *testing.T) {
	t.Parallel()
	f := newFleet(t, pgtest.Start(t), "backup: {ladder: [10s, 1d], max_duty: 100%}", "housekeeping: 1h", "prod")
	m := f.machine(t, "one")
	k := m.scene.keep(t)
	f.another(t, envdb.OpBackup, "prod")
	k.idles() // a lease that could not be given back would keep it from going on
	k.lives("with room", http.StatusOK)
	m.proxy.Rule(func(c s3test.Call) s3test.Fault {
		switch c.Operation {
		case "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload":
			return s3test.Full
		}
		return s3test.Pass
	})
	f.prod.earn(t)
	eventually(t, "the ladder fails", func() bool { return k.metric(`task_failures{task="ladder/prod"}`) > 0 })
	k.lives("full", http.StatusServiceUnavailable)
	if _, body := k.ask("/readyz"); !strings.Contains(body, "does not take what is written") {
		t.Errorf("/readyz says %q", body)
	}
	if n := k.metric(`store_operations_total{operation="put",outcome="failed"}`); n == 0 {
		t.Error("the metrics count no write that failed")
	}
	before := len(f.restorePoints(t, "prod"))
	m.proxy.Rule(nil)
	f.another(t, envdb.OpBackup, "prod")
	k.lives("with room again", http.StatusOK)
	if after := len(f.restorePoints(t, "prod")); after <= before {
		t.Errorf("there are %d restore points, and were %d", after, before)
	}
	k.signal(syscall.SIGTERM)
	k.ends(0)
	f.run(t, 0, "verify", "prod", "--read-data")
}
