package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// mortal is the way of a process to the store that dies: after some calls none
// gets through any more.
type mortal struct {
	envdb.Store
	left atomic.Int64
}

func dying(st envdb.Store, calls int) *mortal {
	m := &mortal{Store: st}
	m.left.Store(int64(calls))
	return m
}

var errDied = errors.New("killed")

func (m *mortal) died() bool { return m.left.Add(-1) < 0 }

func (m *mortal) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if m.died() {
		return "", errDied
	}
	return m.Store.Put(ctx, key, body, cond)
}

func (m *mortal) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if m.died() {
		return nil, envdb.Object{}, errDied
	}
	return m.Store.Get(ctx, key, span)
}

func (m *mortal) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	if m.died() {
		return func(yield func(envdb.Object, error) bool) { yield(envdb.Object{}, errDied) }
	}
	return m.Store.List(ctx, prefix)
}

func (m *mortal) Delete(ctx context.Context, key string) error {
	if m.died() {
		return errDied
	}
	return m.Store.Delete(ctx, key)
}

// counted counts the calls of one kind that go to a store.
type counted struct {
	envdb.Store
	gets atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, key, span)
}

// worker is a machine with a run under a lease.
type worker struct {
	way   *cutOff
	lease *ledger.Lease
	run   *ledger.Recording
	id    string
}

// work has a run begin on a machine of its own. It is killed by cutting its way.
func work(t *testing.T, st envdb.Store, machine, env string, op envdb.Operation) *worker {
	t.Helper()
	w := &worker{way: &cutOff{Store: st}}
	l := on(machine, w.way)
	w.id = l.NewRunID()
	take := l.Exclude
	if op.Reads() {
		take = l.Share
	}
	var err error
	if w.lease, err = take(t.Context(), env, ledger.Claim{Run: w.id, Operation: op}); err != nil {
		t.Fatal(err)
	}
	w.run = begin(t, l, ledger.Run{ID: w.id, Operation: op, Environment: env})
	t.Cleanup(func() {
		w.kill()
		_ = w.run.Finish(context.Background(), nil, nil)
		_ = w.lease.Release(context.Background())
	})
	return w
}

func (w *worker) kill() { w.way.off.Store(true) }

// hold takes the lease of a job on a machine of its own.
func hold(t *testing.T, st envdb.Store, machine, job string) (kill func()) {
	t.Helper()
	way := &cutOff{Store: st}
	l := on(machine, way)
	lease, err := l.Exclude(t.Context(), ledger.JobLease(job), ledger.Claim{Run: l.NewRunID(), Operation: envdb.OpBackup})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		way.off.Store(true)
		_ = lease.Release(context.Background())
	})
	return func() { way.off.Store(true) }
}

// records returns what is stored of a run, by outcome: "interrupted,running".
func records(st *memory, run string) string {
	var outcomes []string
	for _, key := range st.keys("acme/runs/") {
		if strings.Contains(key, run) && !strings.HasSuffix(key, ".log") {
			outcomes = append(outcomes, key[strings.LastIndexByte(key, '.')+1:])
		}
	}
	return strings.Join(outcomes, ",")
}

// held returns who is in a lease, by run.
func held(t *testing.T, st envdb.Store, env string) string {
	t.Helper()
	holders, err := on("auditor", st).Holders(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, h := range holders {
		runs = append(runs, h.Run)
	}
	slices.Sort(runs)
	return strings.Join(runs, ",")
}

// reapAsTheDaemonDoes reaps every half minute until ctx ends, and reports what it
// marked.
func reapAsTheDaemonDoes(t *testing.T, ctx context.Context, l *ledger.Ledger, marked func(ledger.Holder)) {
	for {
		reaped, err := l.Reap(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			t.Errorf("reap: %v", err)
		case reaped != nil:
			for _, h := range reaped.Gone {
				marked(h)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}
	}
}

// A daemon dies in the middle of a backup of the ladder and of a mirror. The other
// one has both marked, and has the job, within a minute and a few seconds of the
// last sign of life; and whoever wants the copy gets it at once then.
func TestDeadDaemonIsReplacedWithinAMinute(t *testing.T) {
	t.Parallel()
	for offset := time.Duration(0); offset < 30*time.Second; offset += 3700 * time.Millisecond {
		t.Run(offset.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{}
				ctx, stop := context.WithCancel(t.Context())
				var reaping sync.WaitGroup
				defer reaping.Wait()
				defer stop()
				west := on("west", st)
				var mu sync.Mutex
				when := map[string]time.Time{}
				reaping.Go(func() {
					reapAsTheDaemonDoes(t, ctx, west, func(h ledger.Holder) {
						mu.Lock()
						defer mu.Unlock()
						when[h.Run] = time.Now()
					})
				})
				time.Sleep(offset)
				killJob := hold(t, st, "east", "ladder/prod")
				backup := work(t, st, "east", "prod", envdb.OpBackup)
				mirror := work(t, st, "east", "prod-copy", envdb.OpMirror)
				time.Sleep(2 * time.Minute)
				if len(when) > 0 || records(st, backup.id) != "running" || records(st, mirror.id) != "running" {
					t.Fatalf("what lives was marked: %v", when)
				}
				killed := time.Now()
				killJob()
				backup.kill()
				mirror.kill()
				time.Sleep(time.Minute + 5*time.Second)
				mu.Lock()
				for name, id := range map[string]string{"backup": backup.id, "mirror": mirror.id} {
					if took := when[id].Sub(killed); when[id].IsZero() || took > time.Minute+time.Second {
						t.Errorf("the %s was marked after %s, want within a minute", name, took)
					}
					if got := records(st, id); got != "interrupted" {
						t.Errorf("the records of the %s are %q", name, got)
					}
				}
				mu.Unlock()
				began := time.Now()
				job, err := west.Exclude(t.Context(), ledger.JobLease("ladder/prod"), claim(west.NewRunID()))
				if err != nil {
					t.Fatal(err)
				}
				again, err := west.Share(t.Context(), "prod", ledger.Claim{Run: west.NewRunID(), Operation: envdb.OpBackup})
				if err != nil {
					t.Fatal(err)
				}
				writer, err := west.Exclude(t.Context(), "prod-copy", claim(west.NewRunID()))
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %s to take their place", took)
				}
				if over := writer.TakenOver(); len(over) != 1 || over[0].Run != mirror.id {
					t.Errorf("the writer took over %v, want the mirror, whose sessions it has to end", over)
				}
				if over := append(job.TakenOver(), again.TakenOver()...); len(over) != 0 {
					t.Errorf("%v was left to be taken over", over)
				}
				release(t, job, again, writer)
			})
		})
	}
}

func TestLeasesAreThoseThatSomebodyHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		odd := `Ünï "q"/x`
		hold(t, st, "east", "ladder/"+odd)
		reader := work(t, st, "east", odd, envdb.OpBackup)
		writer := work(t, st, "east", "qa", envdb.OpMirror)
		backup, err := on("east", st).HoldBackup(t.Context(), "qa", "20261120-140500", claim("reader"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = backup.Release(t.Context()) }()
		release(t, work(t, st, "east", "free", envdb.OpMirror).lease)
		for key, content := range map[string]string{"damaged": "{", "of-another": `{"environment":"qa"}`, "list": "[]"} {
			put(t, st, "acme/leases/"+key+".json", []byte(content))
		}
		put(t, st, "acme/leases/notes.txt", []byte("by a person"))
		west := on("west", st)
		look := func() (texts []string) {
			t.Helper()
			leases, err := west.Leases(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, lease := range leases {
				for _, h := range lease.Holders {
					texts = append(texts, lease.Environment+" "+h.Life)
				}
			}
			slices.Sort(texts)
			return texts
		}
		want := func(life ...string) []string {
			all := []string{"job:ladder/" + odd + " " + life[0], "qa " + life[2], odd + " " + life[1]}
			slices.Sort(all)
			return all
		}
		if got, want := look(), want("in doubt", "in doubt", "in doubt"); !slices.Equal(got, want) {
			t.Errorf("at first sight: %q, want %q", got, want)
		}
		time.Sleep(ledger.Beat + time.Second)
		if got, want := look(), want("alive", "alive", "alive"); !slices.Equal(got, want) {
			t.Errorf("a beat later: %q, want %q", got, want)
		}
		reader.kill()
		writer.kill()
		time.Sleep(ledger.Beat + time.Second)
		look()
		time.Sleep(ledger.TTL + time.Second)
		if got, want := look(), want("alive", "dead", "dead"); !slices.Equal(got, want) {
			t.Errorf("two of them died: %q, want %q", got, want)
		}
	})
}

// While nothing happens a look costs one listing, whatever the store's clock
// shows, and however coarse it is. What is taken between two looks is seen.
func TestLookAtFreeLeases(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{clock: skewed(skew)}
				for i := range 20 {
					lease, err := on("east", st).Exclude(t.Context(), fmt.Sprint("env-", i), claim("run"))
					if err != nil {
						t.Fatal(err)
					}
					release(t, lease)
				}
				way := &counted{Store: st}
				west := on("west", way)
				look := func() int {
					t.Helper()
					leases, err := west.Leases(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					return len(leases)
				}
				// A lease that is taken in the second in which it was free has the same
				// time, and its holder may die before the first beat.
				look()
				time.Sleep(100 * time.Millisecond)
				look()
				time.Sleep(100 * time.Millisecond)
				crashed := leaveBehind(t, st, "east", "crashed") // of qa
				defer func() { _ = crashed.Release(t.Context()) }()
				first := on("east", st)
				lease, err := first.Exclude(t.Context(), "env-7", claim("run"))
				if err != nil {
					t.Fatal(err)
				}
				if n := look(); n != 2 {
					t.Fatalf("%d leases are held, want those that were just taken", n)
				}
				release(t, lease)
				for range 2 {
					time.Sleep(3 * time.Second)
					look()
				}
				way.gets.Store(0)
				for range 10 {
					if n := look(); n != 1 {
						t.Errorf("%d leases are held, want one", n)
					}
					time.Sleep(30 * time.Second)
				}
				if n := way.gets.Load(); n != 10 {
					t.Errorf("ten looks read %d leases, want the one that is held, each time", n)
				}
				lease, err = first.Exclude(t.Context(), "env-7", claim("run"))
				if err != nil {
					t.Fatal(err)
				}
				if n := look(); n != 2 {
					t.Errorf("%d leases are held, want the new one too", n)
				}
				release(t, lease)
			})
		})
	}
}

// scene is what a few daemons left when they died, beside one that lives.
type scene struct {
	st                    *memory
	writer, first, second *worker // dead
	ended                 *worker // dead between its record's end and its lease's
	living                *worker
}

// catastrophe lets four of five machines die, and waits until that is certain.
func catastrophe(t *testing.T) *scene {
	t.Helper()
	s := &scene{st: &memory{}}
	killJob := hold(t, s.st, "db-1", "ladder/prod")
	s.writer = work(t, s.st, "db-1", "qa", envdb.OpMirror)
	s.first = work(t, s.st, "db-2", "prod", envdb.OpBackup)
	s.second = work(t, s.st, "db-3", "prod", envdb.OpVerify)
	s.ended = work(t, s.st, "db-4", "prod", envdb.OpBackup)
	s.living = work(t, s.st, "db-5", "prod", envdb.OpBackup)
	finish(t, s.ended.run, nil)
	killJob()
	for _, w := range []*worker{s.writer, s.first, s.second, s.ended} {
		w.kill()
	}
	time.Sleep(ledger.Beat)
	return s
}

// check holds what is in the store to what has to be there when all that was dead
// was reaped.
func (s *scene) check(t *testing.T) {
	t.Helper()
	for name, w := range map[string]*worker{"writer": s.writer, "first reader": s.first, "second reader": s.second} {
		// Who is killed in the middle of a replacement leaves both records.
		if got := records(s.st, w.id); got != "interrupted" && got != "interrupted,running" {
			t.Errorf("the records of the dead %s are %q, want one that is interrupted", name, got)
		}
		run, err := on("auditor", s.st).Run(t.Context(), w.id)
		if err != nil || run.Outcome != ledger.Interrupted || run.Finished.IsZero() || !strings.Contains(run.Error, "gives no sign of life") || run.Next == "" {
			t.Errorf("the dead %s is %+v, %v", name, run, err)
		}
	}
	if got := records(s.st, s.ended.id); got != "succeeded" {
		t.Errorf("the records of the run that had ended are %q", got)
	}
	if got := records(s.st, s.living.id); got != "running" {
		t.Errorf("the records of the run that lives are %q", got)
	}
	if got := held(t, s.st, "prod"); got != s.living.id {
		t.Errorf("prod is held by %q, want the run that lives", got)
	}
	if got := held(t, s.st, "qa"); got != s.writer.id {
		t.Errorf("qa is held by %q, want the dead writer, until the next one comes", got)
	}
	if got := held(t, s.st, ledger.JobLease("ladder/prod")); got != "" {
		t.Errorf("the job is held by %q", got)
	}
}

// reapAll looks twice, a TTL apart, as a daemon does that has just begun.
func reapAll(ctx context.Context, l *ledger.Ledger) ([]ledger.Holder, error) {
	if _, err := l.Reap(ctx); err != nil {
		return nil, err
	}
	time.Sleep(ledger.TTL)
	reaped, err := l.Reap(ctx)
	if reaped == nil {
		return nil, err
	}
	return reaped.Gone, err
}

func TestReap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		west := on("west", s.st)
		gone, err := reapAll(t.Context(), west)
		if err != nil {
			t.Fatal(err)
		}
		var runs []string
		for _, h := range gone {
			runs = append(runs, h.Run)
		}
		slices.Sort(runs)
		want := []string{s.writer.id, s.first.id, s.second.id}
		slices.Sort(want)
		if !slices.Equal(runs, want) {
			t.Errorf("it marked %q, want %q", runs, want)
		}
		s.check(t)
		again, err := reapAll(t.Context(), west)
		if err != nil || len(again) != 0 {
			t.Errorf("a second time it marked %v, %v, want nothing", again, err)
		}
		s.check(t)
	})
}

// A daemon that dies at any moment of a Reap leaves nothing that the next one does
// not finish, and marks nothing wrongly.
func TestReapThatIsKilledAtAnyCall(t *testing.T) {
	t.Parallel()
	for calls, done := 0, false; !done; calls++ {
		t.Run(fmt.Sprint(calls), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := catastrophe(t)
				_, err := reapAll(t.Context(), on("west", dying(s.st, calls)))
				if done = err == nil; !done && !errors.Is(err, errDied) {
					t.Fatal(err)
				}
				if got := records(s.st, s.living.id); got != "running" {
					t.Errorf("the records of the run that lives are %q", got)
				}
				if _, err := reapAll(t.Context(), on("north", s.st)); err != nil {
					t.Fatal(err)
				}
				s.check(t)
			})
		})
		if calls > 200 {
			t.Fatal("it never ends")
		}
	}
}

func TestTwoDaemonsReapAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		s.st.setFault(func(string, string) error { // so that they meet
			time.Sleep(time.Millisecond)
			return nil
		})
		var reaping sync.WaitGroup
		for i := range 4 {
			reaping.Go(func() {
				if _, err := reapAll(t.Context(), on(fmt.Sprint("machine-", i), s.st)); err != nil {
					t.Errorf("reap: %v", err)
				}
			})
		}
		reaping.Wait()
		s.check(t)
	})
}

// A run that comes back while it is marked has the last word.
func TestReapedRunThatEndsAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		if _, err := reapAll(t.Context(), on("west", s.st)); err != nil {
			t.Fatal(err)
		}
		s.first.way.off.Store(false)
		finish(t, s.first.run, nil)
		if got := records(s.st, s.first.id); got != "succeeded" {
			t.Errorf("its records are %q", got)
		}
	})
}

func TestReapOfAStoreThatIsReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		west := on("west", s.st)
		if _, err := west.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.st.setFault(readOnly)
		time.Sleep(ledger.TTL)
		reaped, err := west.Reap(t.Context())
		if len(reaped.Gone) != 0 || !errors.Is(err, envdb.ErrPreflight) {
			t.Errorf("it says that it marked %v, %v, want that it could not", reaped.Gone, err)
		}
		for _, w := range []*worker{s.writer, s.first, s.second} {
			if got := records(s.st, w.id); got != "running" || !strings.Contains(err.Error(), w.id) {
				t.Errorf("records %q; the error is %v, want it to name %s", got, err, w.id)
			}
		}
		s.st.setFault(nil)
		time.Sleep(ledger.TTL)
		if _, err := reapAll(t.Context(), west); err != nil {
			t.Fatal(err)
		}
	})
}

// One lease that cannot be dealt with does not keep the others.
func TestReapGoesOnBehindTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		bad := map[string]string{ // whose runs are no runs
			"a": "", "b": "x", "c": "../../../etc/passwd-and-more", "d": "20261120-140500-000aaaaa", "e": "20261120/140500.000.aaaa",
		}
		for env, run := range bad {
			put(t, s.st, "acme/leases/"+env+".json", fmt.Appendf(nil, `{"environment":%q,"readers":[{"id":"i-%s","run":%q,"beat":1}]}`, env, env, run))
		}
		s.st.setFault(func(op, key string) error {
			if op == "put" && strings.Contains(key, s.first.id) {
				return envdb.Fail(nil, "refused")
			}
			return nil
		})
		west := on("west", s.st)
		gone, err := reapAll(t.Context(), west)
		if err == nil || !strings.Contains(err.Error(), s.first.id) || len(gone) != 2 {
			t.Errorf("it marked %v, %v, want all but one", gone, err)
		}
		for env := range bad {
			if got := held(t, s.st, env); got != "" {
				t.Errorf("%s is still held by %q", env, got)
			}
		}
		if got := held(t, s.st, "prod"); !strings.Contains(got, s.first.id) {
			t.Error("a reader left its lease whose run was not marked")
		}
		s.st.setFault(nil)
		if _, err := west.Reap(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.check(t)
	})
}

// A lease that a person removes while they are listed is free.
func TestLeaseThatGoesWhileItIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := catastrophe(t)
		s.st.setFault(func(op, key string) error {
			if op == "get" && key == "acme/leases/prod.json" {
				s.st.mu.Lock()
				defer s.st.mu.Unlock()
				delete(s.st.objects, key)
			}
			return nil
		})
		leases, err := on("west", s.st).Leases(t.Context())
		if err != nil || len(leases) != 2 {
			t.Errorf("got %v, %v, want the two others", leases, err)
		}
	})
}

func TestNoEnvironmentIsCalledLikeTheLeaseOfAJob(t *testing.T) {
	t.Parallel()
	if name := ledger.JobLease("ladder/prod"); !strings.Contains(name, ":") {
		t.Errorf("the lease is called %q, which an environment may be", name)
	}
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		hold(t, st, "east", "qa")
		release(t, work(t, st, "west", "qa", envdb.OpMirror).lease) // the job does not keep the environment
	})
}
