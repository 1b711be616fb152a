package ledger_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/store/dir"
)

// elsewhere returns a machine that knows nothing of the others.
func elsewhere(name string) ledger.Machine {
	booted := time.Now()
	return ledger.Machine{
		Self:   ledger.Process{Machine: name, PID: 1, Start: 1},
		Gone:   func(ledger.Process) bool { return false },
		Uptime: func() time.Duration { return time.Since(booted) },
	}
}

func on(machine string, st envdb.Store) *ledger.Ledger {
	return ledger.New(st, "acme", ledger.Config{Host: machine, User: "ann", Machine: elsewhere(machine)})
}

func claim(run string) ledger.Claim { return ledger.Claim{Run: run, Operation: envdb.OpMirror} }

// stores are those on which the races run.
func stores(t *testing.T) map[string]envdb.Store {
	t.Helper()
	d, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]envdb.Store{"memory": &memory{}, "dir": d}
}

func release(t *testing.T, leases ...*ledger.Lease) {
	t.Helper()
	for _, l := range leases {
		if err := l.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
}

func TestOneOfManyIsExclusive(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledger.New(st, "acme", ledger.Config{})
			var wg sync.WaitGroup
			var won atomic.Pointer[ledger.Lease]
			var winners, busy atomic.Int32
			for i := range 24 {
				wg.Go(func() {
					lease, err := l.Exclude(t.Context(), "prod-copy", claim(fmt.Sprint("run-", i)))
					switch {
					case err == nil:
						winners.Add(1)
						won.Store(lease)
					case errors.Is(err, envdb.ErrBusy):
						busy.Add(1)
					default:
						t.Errorf("exclude: %v", err)
					}
				})
			}
			wg.Wait()
			if winners.Load() != 1 || busy.Load() != 23 {
				t.Fatalf("%d winners and %d busy, want 1 and 23", winners.Load(), busy.Load())
			}
			release(t, won.Load())
			again, err := l.Exclude(t.Context(), "prod-copy", claim("after"))
			if err != nil {
				t.Fatalf("after release: %v", err)
			}
			release(t, again, again) // idempotent
		})
	}
}

func TestReadersShareAndWriterExcludes(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledger.New(st, "acme", ledger.Config{})
			var mu sync.Mutex
			var readers []*ledger.Lease
			var wg sync.WaitGroup
			for i := range 12 {
				wg.Go(func() {
					lease, err := l.Share(t.Context(), "prod", claim(fmt.Sprint("reader-", i)))
					if err != nil {
						t.Errorf("share: %v", err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					readers = append(readers, lease)
				})
			}
			wg.Wait()
			_, err := l.Exclude(t.Context(), "prod", claim("writer"))
			wantBusy(t, err, "reader-")
			release(t, readers...)
			writer, err := l.Exclude(t.Context(), "prod", claim("writer"))
			if err != nil {
				t.Fatalf("exclude after the readers left: %v", err)
			}
			_, err = l.Share(t.Context(), "prod", claim("reader"))
			wantBusy(t, err, "run writer")
			release(t, writer)
		})
	}
}

func wantBusy(t *testing.T, err error, holder string) {
	t.Helper()
	if !errors.Is(err, envdb.ErrBusy) || !strings.Contains(err.Error(), holder) || !strings.Contains(err.Error(), "mirror by ") {
		t.Fatalf("got error %v, want busy naming %q", err, holder)
	}
	if state, next := envdb.Advice(err); state == "" || next == "" {
		t.Errorf("state %q, next %q: want both", state, next)
	}
}

func TestLivingHolderElsewhereIsBusyWithinABeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		held, err := on("east", st).Exclude(t.Context(), "qa", claim("first"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = on("west", st).Exclude(t.Context(), "qa", claim("second"))
		wantBusy(t, err, "ann@east")
		if took := time.Since(began); took > ledger.Beat+time.Second {
			t.Errorf("it took %s to see that the holder lives", took)
		}
		release(t, held)
	})
}

func TestWaitingOutlastsALivingHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		held, err := on("east", st).Exclude(t.Context(), "qa", claim("first"))
		if err != nil {
			t.Fatal(err)
		}
		c := claim("second")
		c.Wait = time.Minute
		_, err = on("west", st).Exclude(t.Context(), "qa", c)
		wantBusy(t, err, "run first")
		go func() {
			time.Sleep(20 * time.Second)
			release(t, held)
		}()
		lease, err := on("west", st).Exclude(t.Context(), "qa", c)
		if err != nil {
			t.Fatal(err)
		}
		release(t, lease)
	})
}

func TestSilentHolderElsewhereIsTakenOverAfterTTL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		dead := leaveBehind(t, st, "east", "crashed")
		began := time.Now()
		lease, err := on("west", st).Exclude(t.Context(), "qa", claim("second"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < ledger.TTL || took > ledger.TTL+2*time.Second {
			t.Errorf("took over after %s, want %s", took, ledger.TTL)
		}
		if over := lease.TakenOver(); len(over) != 1 || over[0].Run != "crashed" {
			t.Errorf("taken over %v, want the run that crashed", over)
		}
		if err := dead.Release(t.Context()); err == nil {
			t.Error("a release that could not reach the store said nothing")
		}
		release(t, lease)
	})
}

// A reader goes past a dead writer, and leaves it to the next writer: only that
// one ends what the dead one's sessions still do on the server.
func TestReadersLeaveADeadWriterToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		cut := &cutOff{Store: st}
		zombie, err := on("east", cut).Exclude(t.Context(), "qa", claim("crashed"))
		if err != nil {
			t.Fatal(err)
		}
		cut.off.Store(true)
		time.Sleep(time.Second) // and its next beat finds no store
		share := func(machine string, least, most time.Duration) {
			t.Helper()
			began := time.Now()
			reader, err := on(machine, st).Share(t.Context(), "qa", claim("reader"))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < least || took > most {
				t.Errorf("%s shared after %s, want %s to %s", machine, took, least, most)
			}
			if over := reader.TakenOver(); len(over) != 0 {
				t.Errorf("a reader took over %v", over)
			}
			release(t, reader)
		}
		share("west", ledger.TTL, ledger.TTL+2*time.Second)
		share("north", 0, time.Second) // whoever comes later need not watch again
		cut.off.Store(false)
		time.Sleep(ledger.TTL)
		if zombie.Context().Err() == nil {
			t.Error("the writer that was taken for dead goes on")
		}
		writer, err := on("south", st).Exclude(t.Context(), "qa", claim("second"))
		if err != nil {
			t.Fatal(err)
		}
		if over := writer.TakenOver(); len(over) != 1 || over[0].Run != "crashed" {
			t.Errorf("taken over %v, want the run that crashed", over)
		}
		release(t, writer, zombie)
	})
}

// leaveBehind leaves a lease in st whose holder writes no more beats: its own
// view of the store is cut off.
func leaveBehind(t *testing.T, st *memory, machine, run string) *ledger.Lease {
	t.Helper()
	cut := &cutOff{Store: st}
	lease, err := on(machine, cut).Exclude(t.Context(), "qa", claim(run))
	if err != nil {
		t.Fatal(err)
	}
	cut.off.Store(true)
	return lease
}

// cutOff is a store that can be unreachable from one machine alone.
type cutOff struct {
	envdb.Store
	off atomic.Bool
}

func (c *cutOff) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if c.off.Load() {
		return nil, envdb.Object{}, down("get", key)
	}
	return c.Store.Get(ctx, key, span)
}

func TestLeaseThatCannotBeRenewedIsLostBeforeOthersTakeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		lease, err := l.Exclude(t.Context(), "qa", claim("run"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		st.setFault(down)
		<-lease.Context().Done()
		if took := time.Since(began); took >= ledger.TTL {
			t.Errorf("the holder gave up after %s; another may take over after %s", took, ledger.TTL)
		}
		if cause := context.Cause(lease.Context()); !errors.Is(cause, envdb.ErrUnreachable) {
			t.Errorf("cause %v, want unreachable", cause)
		}
		st.setFault(nil)
		release(t, lease)
	})
}

func TestShortOutageDoesNotLoseTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		lease, err := on("east", st).Exclude(t.Context(), "qa", claim("run"))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			st.setFault(down)
			time.Sleep(15 * time.Second)
			st.setFault(nil)
			time.Sleep(10 * time.Second)
		}
		if err := context.Cause(lease.Context()); err != nil {
			t.Errorf("lost: %v", err)
		}
		release(t, lease)
	})
}

func TestLeaseInOtherHandsIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		lease, err := on("east", st).Exclude(t.Context(), "qa", claim("run"))
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Delete(t.Context(), "acme/leases/qa.json"); err != nil {
			t.Fatal(err)
		}
		other, err := on("west", st).Exclude(t.Context(), "qa", claim("thief"))
		if err != nil {
			t.Fatal(err)
		}
		<-lease.Context().Done()
		if cause := context.Cause(lease.Context()); !errors.Is(cause, envdb.ErrBusy) || !strings.Contains(cause.Error(), "run thief") {
			t.Errorf("cause %v, want busy naming the other run", cause)
		}
		release(t, lease, other)
	})
}

func TestCancelledRunKeepsItsLeaseWhileItTidiesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		ctx, cancel := context.WithCancel(t.Context())
		lease, err := on("east", st).Exclude(ctx, "qa", claim("run"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		<-lease.Context().Done()
		time.Sleep(2 * ledger.TTL) // tidying up
		_, err = on("west", st).Exclude(t.Context(), "qa", claim("other"))
		wantBusy(t, err, "run run")
		if err := lease.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if holders, err := on("west", st).Holders(t.Context(), "qa"); err != nil || len(holders) != 0 {
			t.Errorf("holders %v, %v after release", holders, err)
		}
	})
}

func TestAcquireWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		lost := 0
		st.after = func(op, key string) error {
			if lost++; lost == 1 { // as a client that retries and meets its own write
				return envdb.ErrCondition
			}
			return nil
		}
		lease, err := on("east", st).Exclude(t.Context(), "qa", claim("run"))
		if err != nil {
			t.Fatal(err)
		}
		release(t, lease)
	})
}

func TestOfflineClaimGoesOnWithoutTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		st.setFault(down)
		l := on("east", st)
		if _, err := l.Exclude(t.Context(), "prod", claim("run")); !errors.Is(err, envdb.ErrUnreachable) {
			t.Errorf("got %v, want unreachable", err)
		}
		c := claim("run")
		c.Offline = true
		lease, err := l.Exclude(t.Context(), "prod", c)
		if err != nil {
			t.Fatal(err)
		}
		if lease.Held() {
			t.Error("the lease says that it is held")
		}
		release(t, lease)
	})
}

// TestMain is also the child of TestKilledProcessIsTakenOverAtOnce.
func TestMain(m *testing.M) {
	if path := os.Getenv("ENVDB_TEST_HOLD_LEASE"); path != "" {
		holdUntilKilled(path)
	}
	os.Exit(m.Run())
}

func holdUntilKilled(path string) {
	st, err := dir.Open(path)
	if err == nil {
		l := ledger.New(st, "acme", ledger.Config{})
		id := l.NewRunID()
		if _, err = l.Exclude(context.Background(), "qa", claim(id)); err == nil {
			_, err = l.Begin(context.Background(), ledger.Run{ID: id, Operation: envdb.OpMirror, Environment: "qa"})
		}
		fmt.Println("holds", id, err)
	}
	if err != nil {
		os.Exit(1)
	}
	select {}
}

func TestKilledProcessIsTakenOverAtOnce(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "ENVDB_TEST_HOLD_LEASE="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	var id string
	if _, scanErr := fmt.Sscanf(line, "holds %s <nil>", &id); err != nil || scanErr != nil {
		t.Fatalf("child said %q (%v, %v)", line, err, scanErr)
	}

	st, err := dir.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l := ledger.New(st, "acme", ledger.Config{})
	began := time.Now()
	_, err = l.Exclude(t.Context(), "qa", claim("second"))
	wantBusy(t, err, id)
	if run, err := l.Run(t.Context(), id); err != nil || run.Outcome != ledger.Running {
		t.Fatalf("run of the living child: %+v, %v", run, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	lease, err := l.Exclude(t.Context(), "qa", claim("second"))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > ledger.TTL/2 {
		t.Errorf("it took %s", took)
	}
	if over := lease.TakenOver(); len(over) != 1 || over[0].Run != id {
		t.Fatalf("taken over %v, want run %s", over, id)
	}
	run, err := l.Run(t.Context(), id)
	if err != nil || run.Outcome != ledger.Interrupted || !strings.Contains(run.Error, "is gone") {
		t.Errorf("run of the dead child: %+v, %v", run, err)
	}
	if err := l.MarkInterrupted(t.Context(), id, "its process is gone"); err != nil {
		t.Error(err)
	}
	release(t, lease)
}

// A person who rolls back does not wait for a backup: it is told to give way,
// on whatever machine, and keeps its place until it has tidied up.
func TestBackupGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		backup, err := on("db-1", st).Share(t.Context(), "prod", ledger.Claim{Run: "backup-run", Operation: envdb.OpBackup})
		if err != nil {
			t.Fatal(err)
		}
		tidied := make(chan time.Time, 1)
		go func() {
			<-backup.Context().Done()
			time.Sleep(10 * time.Second) // it takes back what it wrote
			tidied <- time.Now()
			release(t, backup)
		}()
		over := claim("rollback-run")
		over.Operation, over.Over = envdb.OpRollback, []envdb.Operation{envdb.OpBackup}
		began := time.Now()
		lease, err := on("laptop", st).Exclude(t.Context(), "prod", over)
		if err != nil {
			t.Fatal(err)
		}
		defer release(t, lease)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %s, want a beat and the time to tidy up", took)
		}
		select {
		case <-tidied:
		default:
			t.Error("the lease was taken while the backup still tidied up")
		}
		cause := context.Cause(backup.Context())
		if !errors.Is(cause, envdb.ErrInterrupted) || !strings.Contains(cause.Error(), "gave way to run rollback-run") {
			t.Errorf("the backup was told %v", cause)
		}
	})
}

// What is no backup is not told to give way.
func TestMirrorDoesNotGiveWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		mirror, err := on("db-1", st).Share(t.Context(), "prod", claim("mirror-run"))
		if err != nil {
			t.Fatal(err)
		}
		defer release(t, mirror)
		over := claim("rollback-run")
		over.Operation, over.Over = envdb.OpRollback, []envdb.Operation{envdb.OpBackup}
		if _, err := on("laptop", st).Exclude(t.Context(), "prod", over); !errors.Is(err, envdb.ErrBusy) {
			t.Fatalf("the lease was taken beside a mirror: %v", err)
		}
		if err := mirror.Context().Err(); err != nil {
			t.Errorf("the mirror was told to end: %v", err)
		}
	})
}

// A lease that could not be given back, because the store did not answer at that
// moment, is not in the way of the daemon that had it: its ladder goes on as soon
// as the store does, and its next reaping clears it away.
func TestLeaseThatCouldNotBeGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		for _, env := range []string{"prod", "qa"} {
			lease, err := l.Exclude(t.Context(), env, claim("before"))
			if err != nil {
				t.Fatal(err)
			}
			st.setFault(down)
			if err := lease.Release(t.Context()); !errors.Is(err, envdb.ErrUnreachable) {
				t.Fatalf("released: %v", err)
			}
			st.setFault(nil)
		}
		if got := held(t, st, "prod"); got != "before" {
			t.Fatalf("prod is held by %q", got)
		}
		began := time.Now()
		again, err := l.Exclude(t.Context(), "prod", claim("again"))
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it had to wait for itself for %s", took)
		}
		if len(again.TakenOver()) != 0 {
			t.Errorf("it took over %v, which had ended well", again.TakenOver())
		}
		release(t, again)
		reaped, err := l.Reap(t.Context())
		if err != nil || len(reaped.Gone) != 0 {
			t.Errorf("reaped %+v, %v", reaped, err)
		}
		if got := held(t, st, "qa"); got != "" {
			t.Errorf("qa is held by %q", got)
		}
	})
}
