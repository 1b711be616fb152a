package ledger_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// overBackups is the claim of a person who undoes something.
func overBackups(run string) ledger.Claim {
	return ledger.Claim{Run: run, Operation: envdb.OpRollback, Over: []envdb.Operation{envdb.OpBackup}}
}

// share takes a lease for a backup.
func share(t *testing.T, st envdb.Store, machine, run string, op envdb.Operation) *ledger.Lease {
	t.Helper()
	lease, err := on(machine, st).Share(t.Context(), "prod", ledger.Claim{Run: run, Operation: op})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// A backup that does not give way is not robbed: who asked is told that it is
// busy, and by whom, after as long as tidying up may take.
func TestHolderThatDoesNotGiveWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		began := time.Now()
		_, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
		if !errors.Is(err, envdb.ErrBusy) || !strings.Contains(err.Error(), "backup-run") {
			t.Fatalf("got %v, want busy naming the backup", err)
		}
		if took := time.Since(began); took < 45*time.Second || took > 47*time.Second {
			t.Errorf("it was waited for %s, want 45 seconds", took)
		}
		if state, next := envdb.Advice(err); state == "" || !strings.Contains(next, "backup-run") {
			t.Errorf("state %q, next %q", state, next)
		}
		if err := context.Cause(backup.Context()); !errors.Is(err, envdb.ErrInterrupted) {
			t.Errorf("the backup was told %v", err)
		}
		// It holds its lease until it releases it, however late.
		time.Sleep(10 * time.Minute)
		if got := held(t, st, "prod"); got != "backup-run" {
			t.Errorf("prod is held by %q", got)
		}
		release(t, backup)
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("again"))
		if err != nil {
			t.Fatal(err)
		}
		release(t, lease)
	})
}

// The holder hears of it at its next beat, with what to do, and by whom.
func TestHolderSeesThatItIsToGiveWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		time.Sleep(ledger.Beat/2 + 10*ledger.Beat)
		if err := backup.Context().Err(); err != nil {
			t.Fatalf("nobody asked, and it ended: %v", err)
		}
		asked := time.Now()
		var asking sync.WaitGroup
		asking.Go(func() {
			lease, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
			if err != nil {
				t.Error(err)
				return
			}
			release(t, lease)
		})
		<-backup.Context().Done()
		if took := time.Since(asked); took > ledger.Beat {
			t.Errorf("it heard of it after %s, want a beat", took)
		}
		cause := context.Cause(backup.Context())
		if _, next := envdb.Advice(cause); !strings.Contains(next, "rollback-run") {
			t.Errorf("the next step is %q", next)
		}
		if text := cause.Error(); !strings.Contains(text, "the backup of prod gave way to run rollback-run") {
			t.Errorf("it was told %q", text)
		}
		if holders, err := on("west", st).Holders(t.Context(), "prod"); err != nil || len(holders) != 1 || holders[0].Yield != "rollback-run" {
			t.Errorf("holders %+v, %v, want that one was asked", holders, err)
		}
		release(t, backup)
		asking.Wait()
	})
}

// Only if all who are in the way are to give way is anybody asked: a backup is
// not stopped for nothing.
func TestNobodyIsAskedBesideAMirror(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		mirror := share(t, st, "db-2", "mirror-run", envdb.OpMirror)
		_, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
		if !errors.Is(err, envdb.ErrBusy) || !strings.Contains(err.Error(), "mirror-run") {
			t.Errorf("got %v, want busy naming the mirror", err)
		}
		time.Sleep(2 * ledger.Beat)
		if err := backup.Context().Err(); err != nil {
			t.Errorf("the backup ended for nothing: %v", context.Cause(backup.Context()))
		}
		release(t, backup, mirror)
	})
}

// A backup that begins while somebody waits is asked, too.
func TestBackupThatBeginsMeanwhileGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		first := share(t, st, "db-1", "first", envdb.OpBackup)
		var working sync.WaitGroup
		tidyUp := func(lease *ledger.Lease) {
			<-lease.Context().Done()
			time.Sleep(8 * time.Second)
			release(t, lease)
		}
		working.Go(func() { tidyUp(first) })
		working.Go(func() {
			time.Sleep(7 * time.Second)
			tidyUp(share(t, st, "db-2", "second", envdb.OpBackup))
		})
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
		if err != nil {
			t.Fatal(err)
		}
		working.Wait()
		release(t, lease)
	})
}

// A dead backup is not waited for longer than others wait for the dead.
func TestDeadBackupIsTakenOverByWhoAsksItToGiveWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		way := &cutOff{Store: st}
		backup := share(t, way, "db-1", "backup-run", envdb.OpBackup)
		way.off.Store(true)
		began := time.Now()
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > ledger.TTL+2*time.Second {
			t.Errorf("it took %s", took)
		}
		if over := lease.TakenOver(); len(over) != 1 || over[0].Run != "backup-run" {
			t.Errorf("taken over %v", over)
		}
		_ = backup.Release(t.Context())
		release(t, lease)
	})
}

// Who asks and then goes away has stopped a backup, and no more: the next one is
// not asked.
func TestWhoAsksAndGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := on("laptop", st).Exclude(ctx, "prod", overBackups("rollback-run")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		<-backup.Context().Done()
		release(t, backup)
		next := share(t, st, "db-1", "next", envdb.OpBackup)
		time.Sleep(3 * ledger.Beat)
		if err := next.Context().Err(); err != nil {
			t.Errorf("the next backup ended: %v", context.Cause(next.Context()))
		}
		release(t, next)
	})
}

// That the store does not take the question harms nobody: it is asked again.
func TestQuestionThatTheStoreDoesNotTakeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		var working sync.WaitGroup
		working.Go(func() {
			<-backup.Context().Done()
			release(t, backup)
		})
		refused := 0
		st.setFault(func(op, key string) error {
			if op == "put" && refused < 3 {
				refused++
				return down(op, key)
			}
			return nil
		})
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", overBackups("rollback-run"))
		if err != nil {
			t.Fatal(err)
		}
		working.Wait()
		if refused != 3 {
			t.Errorf("the store refused %d times, want 3", refused)
		}
		release(t, lease)
	})
}

// What a lease is told to wait is not cut short by those who give way.
func TestWaitIsNotCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup := share(t, st, "db-1", "backup-run", envdb.OpBackup)
		var working sync.WaitGroup
		working.Go(func() {
			time.Sleep(3 * time.Minute)
			release(t, backup)
		})
		c := overBackups("rollback-run")
		c.Wait = 5 * time.Minute
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", c)
		if err != nil {
			t.Fatal(err)
		}
		working.Wait()
		release(t, lease)
	})
}

// What began a run stands in its record: of the ladder, a burst, the calendar, a
// drill, or a person.
func TestWhatBeganARun(t *testing.T) {
	t.Parallel()
	turn := time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC)
	for name, want := range map[string]ledger.Run{
		"person":   {Trigger: ledger.TriggerPerson},
		"ladder":   {Trigger: ledger.TriggerLadder},
		"burst":    {Trigger: ledger.TriggerBurst},
		"drill":    {Trigger: ledger.TriggerDrill},
		"calendar": {Trigger: ledger.TriggerCalendar, Job: `mirror/"ü"`, Turn: turn},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := &memory{}
			l := ledger.New(st, "acme", ledger.Config{})
			want.Operation, want.Environment = envdb.OpBackup, "prod"
			r := begin(t, l, want)
			check := func(got *ledger.Run, err error) {
				t.Helper()
				if err != nil || got.Trigger != want.Trigger || got.Job != want.Job || !got.Turn.Equal(want.Turn) {
					t.Errorf("got %+v, %v, want trigger %q of job %q and turn %s", got, err, want.Trigger, want.Job, want.Turn)
				}
			}
			check(l.Run(t.Context(), r.ID()))
			finish(t, r, nil)
			check(l.Run(t.Context(), r.ID()))
			raw := string(st.objects[st.keys("acme/runs/")[0]].content)
			for key, there := range map[string]bool{"trigger": want.Trigger != "", "job": want.Job != "", "turn": !want.Turn.IsZero()} {
				if strings.Contains(raw, `"`+key+`"`) != there {
					t.Errorf("that there is a %s is %v, want %v:\n%s", key, !there, there, raw)
				}
			}
		})
	}
}
