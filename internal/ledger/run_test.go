package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

func begin(t *testing.T, l *ledger.Ledger, run ledger.Run) *ledger.Recording {
	t.Helper()
	r, err := l.Begin(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func finish(t *testing.T, r *ledger.Recording, err error) {
	t.Helper()
	if err := r.Finish(t.Context(), err, nil); err != nil {
		t.Fatal(err)
	}
}

var mirror = ledger.Run{Operation: envdb.OpMirror, Environment: "prod-copy", Source: "prod", Backup: "20261120-140500"}

// A run that is killed leaves a record that names the step it died in.
func TestStepsAreStoredWhenTheyBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(&memory{}, "acme", ledger.Config{Version: "1.2.3", Host: "east", User: "ann"})
		r := begin(t, l, mirror)
		stored := func() (names []string) {
			synctest.Wait()
			run, err := l.Run(t.Context(), r.ID())
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range run.Steps {
				names = append(names, step.Name)
			}
			return names
		}
		r.Step("load")
		if got := stored(); !slices.Equal(got, []string{"load"}) {
			t.Errorf("the record names the steps %q", got)
		}
		r.Report(nil)(envdb.Progress{Step: "copy", Done: 1, Total: 2})
		if got := stored(); !slices.Equal(got, []string{"load", "copy"}) {
			t.Errorf("the record names the steps %q", got)
		}
		finish(t, r, nil)
	})
}

func TestRunFromBeginToEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := ledger.New(st, "acme", ledger.Config{Version: "1.2.3", Host: "east", User: "ann"})
		r := begin(t, l, mirror)
		if err := r.WillCreate(t.Context(), "shop__dark_1"); err != nil {
			t.Fatal(err)
		}
		stored, err := l.Run(t.Context(), r.ID())
		if err != nil {
			t.Fatal(err)
		}
		if stored.Outcome != ledger.Running || !slices.Equal(stored.Versions, []string{"shop__dark_1"}) {
			t.Errorf("before the database is created: %+v", stored)
		}
		endCopy := r.Step("copy")
		report := r.Report(nil)
		report(envdb.Progress{Step: "copy", Done: 5, Total: 10, Unit: "bytes"})
		time.Sleep(3 * time.Second)
		report(envdb.Progress{Step: "copy", Done: 10, Total: 10, Unit: "bytes"})
		endCopy()
		r.Step("check")
		time.Sleep(time.Second)
		if err := r.Finish(t.Context(), nil, map[string]any{"rows": 1 << 60}); err != nil {
			t.Fatal(err)
		}
		run, err := l.Run(t.Context(), r.ID()[:13])
		if err != nil {
			t.Fatal(err)
		}
		if run.Outcome != ledger.Succeeded || run.Took(time.Time{}) != 4*time.Second || run.Host != "east" || run.User != "ann" || run.Version != "1.2.3" {
			t.Errorf("run %+v", run)
		}
		if got := fmt.Sprint(run.Facts["rows"]); got != "1152921504606846976" {
			t.Errorf("rows %s: a number lost digits", got)
		}
		if len(run.Steps) != 2 || run.Steps[0].Took != 3*time.Second || run.Steps[0].Done != 10 || run.Steps[1].Took != time.Second {
			t.Errorf("steps %+v", run.Steps)
		}
		keys := st.keys("acme/runs/")
		if len(keys) != 1 || !strings.HasSuffix(keys[0], ".prod-copy.mirror.succeeded") {
			t.Errorf("keys %v, want one that tells the outcome", keys)
		}
	})
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancelCause(context.Background())
	stop(envdb.Fail(envdb.ErrInterrupted, "interrupted"))
	lost, lose := context.WithCancelCause(context.Background())
	lose(envdb.Fail(envdb.ErrBusy, "the lease was lost"))
	for name, c := range map[string]struct {
		ctx     context.Context
		err     error
		outcome ledger.Outcome
		text    string
	}{
		"success":     {context.Background(), nil, ledger.Succeeded, ""},
		"failure":     {context.Background(), errors.New("disk full"), ledger.Failed, "disk full"},
		"interrupted": {stopped, context.Canceled, ledger.Interrupted, "interrupted"},
		"lease lost":  {lost, context.Canceled, ledger.Failed, "the lease was lost"},
		"cancelled":   {context.Background(), context.Canceled, ledger.Interrupted, "canceled"},
		"password":    {context.Background(), errors.New("connect postgres://ann:hunter2@db/shop"), ledger.Failed, "ann:xxxxx@db"},
		"row values":  {context.Background(), errors.New("ERROR: duplicate key\nDETAIL:  Key (email)=(a@b.c) exists.\nHINT: see"), ledger.Failed, "ERROR: duplicate key\nHINT: see"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledger.New(&memory{}, "acme", ledger.Config{})
			r := begin(t, l, mirror)
			if err := r.Finish(c.ctx, c.err, nil); err != nil {
				t.Fatal(err)
			}
			run, err := l.Run(t.Context(), r.ID())
			if err != nil || run.Outcome != c.outcome || !strings.Contains(run.Error, c.text) || (run.Error == "") != (c.text == "") {
				t.Errorf("got %v %q (%v), want %v %q", run.Outcome, run.Error, err, c.outcome, c.text)
			}
		})
	}
}

func TestRunsAreFiltered(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		t.Run(name, func(t *testing.T) { testFilters(t, st) })
	}
}

func testFilters(t *testing.T, st envdb.Store) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(st, "acme", ledger.Config{})
		odd := `über/.staging "2"%`
		start := time.Now()
		var want []string
		for i, c := range []struct {
			env string
			op  envdb.Operation
			err error
		}{
			{"prod", envdb.OpBackup, nil}, {"qa", envdb.OpMirror, errors.New("no")}, {odd, envdb.OpMirror, nil},
			{"prod", envdb.OpBackup, nil}, {strings.Repeat("é", 64), envdb.OpRestore, envdb.ErrInterrupted},
		} {
			r := begin(t, l, ledger.Run{Operation: c.op, Environment: c.env})
			finish(t, r, c.err)
			want = append([]string{r.ID()}, want...)
			time.Sleep(time.Duration(i)*20*time.Hour + time.Millisecond)
		}
		all := []string{want[0], want[1], want[2], want[3], want[4]}
		for name, c := range map[string]struct {
			filter ledger.Filter
			want   []string
		}{
			"all":         {ledger.Filter{}, all},
			"limit":       {ledger.Filter{Limit: 2}, all[:2]},
			"limit large": {ledger.Filter{Limit: 50}, all},
			"environment": {ledger.Filter{Environment: "prod"}, []string{all[1], all[4]}},
			"odd name":    {ledger.Filter{Environment: odd}, []string{all[2]}},
			"long name":   {ledger.Filter{Environment: strings.Repeat("é", 64)}, []string{all[0]}},
			"operation":   {ledger.Filter{Operation: envdb.OpMirror, Limit: 1}, []string{all[2]}},
			"failed":      {ledger.Filter{Failed: true}, []string{all[0], all[3]}},
			"failed 1":    {ledger.Filter{Failed: true, Limit: 1}, []string{all[0]}},
			"since":       {ledger.Filter{Since: start.Add(time.Hour)}, all[:3]},
			"none":        {ledger.Filter{Environment: "pro"}, nil},
		} {
			runs, err := l.Runs(t.Context(), c.filter)
			var got []string
			for _, run := range runs {
				got = append(got, run.ID)
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: got %v, %v, want %v", name, got, err, c.want)
			}
		}
		if run, err := l.Run(t.Context(), want[2]); err != nil || run.Environment != odd {
			t.Errorf("run of the odd environment: %+v, %v", run, err)
		}
		if _, err := l.Run(t.Context(), "20"); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ambiguous prefix: %v", err)
		}
		if _, err := l.Run(t.Context(), "2031"); !errors.Is(err, envdb.ErrNotFound) {
			t.Errorf("no such run: %v", err)
		}
		if _, err := l.Run(t.Context(), "../x"); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("not an id: %v", err)
		}
		if run, err := l.Run(t.Context(), "latest"); err != nil || run.ID != want[0] {
			t.Errorf("latest: %+v, %v", run, err)
		}
	})
}

func TestCrashBetweenTheTwoWritesOfAnEnd(t *testing.T) {
	t.Parallel()
	st := &memory{}
	l := ledger.New(st, "acme", ledger.Config{})
	r := begin(t, l, mirror)
	st.setFault(func(op, key string) error {
		if op == "delete" {
			return errors.New("killed")
		}
		return nil
	})
	if err := r.Finish(t.Context(), nil, nil); err == nil {
		t.Fatal("finish said nothing")
	}
	st.setFault(nil)
	if keys := st.keys("acme/runs/"); len(keys) != 2 {
		t.Fatalf("keys %v, want both records", keys)
	}
	runs, err := l.Runs(t.Context(), ledger.Filter{})
	if err != nil || len(runs) != 1 || runs[0].Outcome != ledger.Succeeded {
		t.Errorf("got %+v, %v, want the one run that succeeded", runs, err)
	}
	if err := l.MarkInterrupted(t.Context(), r.ID(), "test"); err != nil {
		t.Error(err)
	}
	if run, err := l.Run(t.Context(), r.ID()); err != nil || run.Outcome != ledger.Succeeded {
		t.Errorf("after MarkInterrupted: %+v, %v", run, err)
	}
}

func TestRunWithoutItsLeaseShowsInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		east, west := on("east", st), on("west", st)
		run := mirror
		run.ID = east.NewRunID()
		lease, err := east.Exclude(t.Context(), run.Environment, claim(run.ID))
		if err != nil {
			t.Fatal(err)
		}
		r := begin(t, east, run)
		outcome := func() ledger.Outcome {
			got, err := west.Run(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Outcome
		}
		if got := outcome(); got != ledger.Running {
			t.Errorf("with its lease: %s", got)
		}
		release(t, lease)
		if got := outcome(); got != ledger.Interrupted {
			t.Errorf("without its lease: %s", got)
		}
		if failed, err := west.Runs(t.Context(), ledger.Filter{Failed: true}); err != nil || len(failed) != 1 {
			t.Errorf("failed runs %v, %v, want the interrupted one", failed, err)
		}
		finish(t, r, nil)
		if got := outcome(); got != ledger.Succeeded {
			t.Errorf("by its own word: %s", got)
		}
	})
}

func TestUnreadableRecordHidesNoOther(t *testing.T) {
	t.Parallel()
	st := &memory{}
	l := ledger.New(st, "acme", ledger.Config{})
	finish(t, begin(t, l, mirror), nil)
	broken := begin(t, l, mirror)
	finish(t, broken, nil)
	key := st.keys("acme/runs/" + broken.ID()[:8] + "/" + broken.ID())[0]
	if _, err := st.Put(t.Context(), key, strings.NewReader("{"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	runs, err := l.Runs(t.Context(), ledger.Filter{})
	if err != nil || len(runs) != 2 || !strings.Contains(runs[0].Error+runs[1].Error, "unreadable") {
		t.Errorf("got %+v, %v", runs, err)
	}
}

// A record that cannot be read keeps the name of its environment, and what is
// written in its place is found under the same name.
func TestUnreadableRecordKeepsItsName(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]string{
		"plain": "prod-copy", "escaped": "übung.neu", "cut": strings.Repeat("ü", 31), "a percent sign": "%41",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{}
				east, west := on("east", st), on("west", st)
				run := mirror
				run.Environment, run.ID = env, east.NewRunID()
				lease, err := east.Exclude(t.Context(), env, claim(run.ID))
				if err != nil {
					t.Fatal(err)
				}
				r := begin(t, east, run)
				defer finish(t, r, nil)
				whole := st.keys("acme/runs/")[0]
				put(t, st, whole, []byte("{"))
				look := func(want ledger.Outcome) {
					t.Helper()
					runs, err := west.Runs(t.Context(), ledger.Filter{Environment: env})
					if err != nil || len(runs) != 1 || runs[0].Outcome != want || !strings.Contains(runs[0].Error, "unreadable") {
						t.Fatalf("got %+v, %v; want one unreadable run that is %s", runs, err, want)
					}
					if got := runs[0].Environment; got != env && name != "cut" {
						t.Errorf("got environment %q, want %q", got, env)
					}
				}
				look(ledger.Running)
				release(t, lease)
				if name != "cut" {
					look(ledger.Interrupted)
				}
				if err := west.MarkInterrupted(t.Context(), run.ID, "its process is gone"); err != nil {
					t.Fatal(err)
				}
				look(ledger.Interrupted)
				want := strings.TrimSuffix(whole, "running") + "interrupted"
				if got := st.keys("acme/runs/"); len(got) != 1 || got[0] != want {
					t.Errorf("the store has %q, want %q", got, want)
				}
			})
		})
	}
}

func TestLogIsKeptSealedAndWithoutRows(t *testing.T) {
	t.Parallel()
	// What is sealed for one key opens under that key alone.
	flip := func(key string, b []byte) ([]byte, error) {
		out := slices.Clone(b)
		for i := range out {
			out[i] ^= 0x55 ^ key[i%len(key)]
		}
		return out, nil
	}
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(flip), Unseal: atOnce(flip)})
		r := begin(t, l, mirror)
		var heard strings.Builder
		log := slog.New(r.Tee(slog.NewTextHandler(&heard, nil))).With("env", "prod-copy")
		log.Info("run began", "url", envdb.ConnString("postgres://ann:hunter2@db/shop"))
		log.Debug("not kept")
		log.Warn("row refused", "error", errors.New("ERROR: duplicate key\nDETAIL:  Key (email)=(a@b.c)\nsecond line of the value\nHINT:  try again"), "detail", "Key (email)=(a@b.c)")
		log.Info("again", "line", `psql: ERROR: bad DETAIL: secret-value`)
		time.Sleep(11 * time.Second)
		text, err := l.Log(t.Context(), r.ID())
		if err != nil || !strings.Contains(string(text), "run began") {
			t.Errorf("while it runs: %q, %v", text, err)
		}
		finish(t, r, nil)
		text, err = l.Log(t.Context(), r.ID())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hunter2", "a@b.c", "secret-value", "second line", "not kept"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("the log holds %q:\n%s", secret, text)
			}
		}
		for _, kept := range []string{"run began", "env=prod-copy", "duplicate key", "try again"} {
			if !strings.Contains(string(text), kept) {
				t.Errorf("the log lacks %q:\n%s", kept, text)
			}
		}
		if !strings.Contains(heard.String(), "row refused") {
			t.Error("the next handler heard nothing")
		}
		raw := st.objects["acme/runs/"+r.ID()[:8]+"/"+r.ID()+".log"].content
		if len(raw) == 0 || strings.Contains(string(raw), "run began") {
			t.Error("the stored log is not sealed")
		}
	})
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	l := ledger.New(&memory{}, "acme", ledger.Config{})
	r := begin(t, l, mirror)
	log := slog.New(r.Tee(nil))
	log.Info("the first line")
	for i := range 3000 {
		log.Info("filler", "n", i, "text", strings.Repeat("x", 1000))
	}
	log.Info("the last line")
	finish(t, r, nil)
	text, err := l.Log(t.Context(), r.ID())
	if err != nil || len(text) > 1<<20+1000 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	for _, kept := range []string{"the first line", "lines left out", "the last line"} {
		if !strings.Contains(string(text), kept) {
			t.Errorf("the log lacks %q", kept)
		}
	}
}

func TestSpool(t *testing.T) {
	t.Parallel()
	st := &memory{}
	spool := filepath.Join(t.TempDir(), "spool")
	l := ledger.New(st, "acme", ledger.Config{Spool: spool})
	st.setFault(down)

	if _, err := l.Begin(t.Context(), mirror); !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("a mirror began without the store: %v", err)
	}
	rollback := begin(t, l, ledger.Run{Operation: envdb.OpRollback, Environment: "prod"})
	slog.New(rollback.Tee(nil)).Info("swapped")
	running := begin(t, l, ledger.Run{Operation: envdb.OpPromote, Environment: "prod"})
	finish(t, rollback, nil)
	if n, err := l.FlushSpool(t.Context()); n != 0 || !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("flushed %d, %v while the store is down", n, err)
	}
	st.setFault(nil)
	if n, err := l.FlushSpool(t.Context()); n != 1 || err != nil {
		t.Errorf("flushed %d, %v, want the run that ended", n, err)
	}
	if run, err := l.Run(t.Context(), rollback.ID()); err != nil || run.Outcome != ledger.Succeeded {
		t.Errorf("flushed run: %+v, %v", run, err)
	}
	if text, err := l.Log(t.Context(), rollback.ID()); err != nil || !strings.Contains(string(text), "swapped") {
		t.Errorf("flushed log: %q, %v", text, err)
	}

	// The process of the running one dies.
	gone := ledger.ThisMachine()
	gone.Gone = func(ledger.Process) bool { return true }
	later := ledger.New(st, "acme", ledger.Config{Spool: spool, Machine: gone})
	if n, err := later.FlushSpool(t.Context()); n != 1 || err != nil {
		t.Errorf("flushed %d, %v, want the run that died", n, err)
	}
	if run, err := l.Run(t.Context(), running.ID()); err != nil || run.Outcome != ledger.Interrupted {
		t.Errorf("the run that died: %+v, %v", run, err)
	}
	finish(t, running, nil) // it was alive after all: its own word counts
	if n, err := l.FlushSpool(t.Context()); n != 1 || err != nil {
		t.Errorf("flushed %d, %v", n, err)
	}
	if run, err := l.Run(t.Context(), running.ID()); err != nil || run.Outcome != ledger.Succeeded {
		t.Errorf("the run that lived: %+v, %v", run, err)
	}
	if left, err := os.ReadDir(filepath.Join(spool, "acme")); err != nil || len(left) != 0 {
		t.Errorf("left in the spool: %v, %v", left, err)
	}
}

func TestEndOfAnyRunIsSpooledWhenTheStoreGoesDown(t *testing.T) {
	t.Parallel()
	st := &memory{}
	l := ledger.New(st, "acme", ledger.Config{Spool: t.TempDir()})
	r := begin(t, l, mirror)
	st.setFault(down)
	finish(t, r, nil)
	st.setFault(nil)
	if n, err := l.FlushSpool(t.Context()); n != 1 || err != nil {
		t.Fatalf("flushed %d, %v", n, err)
	}
	if keys := st.keys("acme/runs/"); len(keys) != 1 || !strings.HasSuffix(keys[0], "succeeded") {
		t.Errorf("keys %v, want the last record alone", keys)
	}
}

func TestHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		east, west := on("east", st), on("west", st)
		const id = envdb.BackupID("20261120-140500")
		hold, err := east.HoldBackup(t.Context(), "prod", id, claim("restore"))
		if err != nil {
			t.Fatal(err)
		}
		other, err := west.HoldBackup(t.Context(), "prod", id, claim("other"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * ledger.TTL)
		west.Holds(t.Context(), "prod")
		time.Sleep(3 * ledger.TTL)
		holds, err := west.Holds(t.Context(), "prod")
		if err != nil || len(holds) != 2 || holds[0].Backup != id || holds[0].Gone || holds[1].Gone {
			t.Errorf("holds %+v, %v, want two that live", holds, err)
		}
		if err := other.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := st.Delete(t.Context(), "acme/leases/reads/prod/"+string(id)+"/restore"); err != nil {
			t.Fatal(err)
		}
		<-hold.Context().Done()
		if cause := context.Cause(hold.Context()); !errors.Is(cause, envdb.ErrBusy) {
			t.Errorf("cause %v", cause)
		}
		if err := hold.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if holds, err := west.Holds(t.Context(), "prod"); err != nil || len(holds) != 0 {
			t.Errorf("holds %+v, %v after release", holds, err)
		}
	})
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		if err := ledger.Probe(t.Context(), st); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	st := &memory{}
	if err := ledger.Probe(t.Context(), deaf{st}); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("a store that ignores conditions: %v", err)
	}
	if left := st.keys(""); len(left) != 0 {
		t.Errorf("the probe left %v", left)
	}
}

func TestLateReportsDoNotReopenAStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := ledger.New(&memory{}, "acme", ledger.Config{})
		r := begin(t, l, mirror)
		report := r.Report(nil)
		report(envdb.Progress{Step: "copy", Done: 1, Total: 10})
		time.Sleep(time.Second)
		report(envdb.Progress{Step: "copy", Done: 10, Total: 10})
		report(envdb.Progress{Step: "copy", Done: 9, Total: 10})
		end := r.Step("load")
		report(envdb.Progress{Step: "load", Done: 4, Total: 4})
		time.Sleep(2 * time.Second)
		end()
		time.Sleep(time.Minute)
		finish(t, r, nil)
		steps := r.Run().Steps
		if len(steps) != 2 || steps[0].Took != time.Second || steps[0].Done != 10 || steps[1].Took != 2*time.Second {
			t.Errorf("steps %+v", steps)
		}
	})
}
