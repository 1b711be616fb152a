package ledger_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

const keep = 90 * envdb.Day

// past has a run happen that takes some time, with a log.
func past(t *testing.T, l *ledger.Ledger, run ledger.Run, took time.Duration, failed error, facts map[string]any) string {
	t.Helper()
	r := begin(t, l, run)
	slog.New(r.Tee(nil)).Info("a line of it")
	time.Sleep(took)
	if err := r.Finish(t.Context(), failed, facts); err != nil {
		t.Fatal(err)
	}
	return r.ID()
}

// ladderBackup is a backup that the ladder takes.
func ladderBackup(env string) ledger.Run {
	return ledger.Run{Operation: envdb.OpBackup, Environment: env, Trigger: ledger.TriggerLadder}
}

// counts says how often each run is counted: as a run, and as a part of a rollup.
func counts(t *testing.T, l *ledger.Ledger) map[string]int {
	t.Helper()
	found := map[string]int{}
	runs, err := l.Runs(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		found[run.ID]++
	}
	rollups, err := l.Rollups(t.Context(), "", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rollups {
		if r.Count != len(r.Runs) {
			t.Errorf("the rollup of %s on %s says %d, and names %d", r.Environment, r.Day, r.Count, len(r.Runs))
		}
		for _, run := range r.Runs {
			found[run.ID]++
		}
	}
	return found
}

func tidy(t *testing.T, l *ledger.Ledger) ledger.Tidied {
	t.Helper()
	done, err := l.Tidy(t.Context(), keep)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// untilTomorrow sleeps until a moment of the next day.
func untilTomorrow(at time.Duration) {
	time.Sleep(time.Until(time.Now().UTC().Truncate(envdb.Day).Add(envdb.Day + at)))
}

func TestRollupSaysWhatADayOfTheLadderCameTo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		odd := `Ünï "q"/x.y`
		time.Sleep(23 * time.Hour)
		for i := range 5 {
			facts := map[string]any{"bytes": int64(1) << (50 + i), "stored": int64(i)}
			past(t, l, ladderBackup("prod"), time.Duration(5-i)*time.Minute, nil, facts)
			past(t, l, ladderBackup(odd), time.Second, nil, nil)
		}
		rest := map[string]ledger.Run{
			"by a person": {Operation: envdb.OpBackup, Environment: "prod"},
			"of a burst":  {Operation: envdb.OpBackup, Environment: "prod", Trigger: ledger.TriggerBurst},
			"of a job":    {Operation: envdb.OpBackup, Environment: "prod", Trigger: ledger.TriggerCalendar, Job: "x"},
			"no backup":   {Operation: envdb.OpVerify, Environment: "prod", Trigger: ledger.TriggerLadder},
		}
		stays := map[string]string{}
		for name, run := range rest {
			stays[past(t, l, run, time.Second, nil, nil)] = name
		}
		stays[past(t, l, ladderBackup("prod"), time.Second, errors.New("disk full"), nil)] = "failed"
		stays[past(t, l, ladderBackup("prod"), time.Second, envdb.ErrInterrupted, nil)] = "interrupted"
		living := work(t, st, "west", "prod", envdb.OpBackup)
		stays[living.id] = "running"
		if done := tidy(t, l); done != (ledger.Tidied{}) {
			t.Errorf("on the same day: %+v", done)
		}
		untilTomorrow(0)
		if done := tidy(t, l); done != (ledger.Tidied{RolledUp: 10}) {
			t.Errorf("a day later: %+v, want 10 rolled up", done)
		}
		for id, name := range stays {
			if run, err := l.Run(t.Context(), id); err != nil {
				t.Errorf("the run that is %s: %+v, %v", name, run, err)
			}
			if text, err := l.Log(t.Context(), id); id != living.id && (err != nil || len(text) == 0) {
				t.Errorf("the log of the run that is %s: %q, %v", name, text, err)
			}
		}
		rollups, err := l.Rollups(t.Context(), "", time.Time{})
		if err != nil || len(rollups) != 2 {
			t.Fatalf("got %+v, %v, want two", rollups, err)
		}
		i := slices.IndexFunc(rollups, func(r ledger.Rollup) bool { return r.Environment == "prod" })
		r := rollups[i]
		if r.Day != "20000101" || r.Operation != envdb.OpBackup || r.Count != 5 || r.Logical != 31<<50 || r.Stored != 10 ||
			r.Shortest != time.Minute || r.Median != 3*time.Minute || r.Longest != 5*time.Minute {
			t.Errorf("got %+v", r)
		}
		if other := rollups[1-i]; other.Environment != odd || other.Count != 5 || other.Logical != 0 {
			t.Errorf("got %+v", other)
		}
		if n := len(st.keys("acme/runs/")); n != 2+2*len(stays)-1 {
			t.Errorf("the store has %q", st.keys("acme/runs/"))
		}
		if again := tidy(t, l); again != (ledger.Tidied{}) {
			t.Errorf("a second time: %+v, want nothing", again)
		}
		for query, want := range map[string]int{"prod": 1, odd: 1, "": 2, "pro": 0, "Prod": 0} {
			if got, err := l.Rollups(t.Context(), query, time.Now().Add(-48*time.Hour)); err != nil || len(got) != want {
				t.Errorf("of %q: %+v, %v, want %d", query, got, err, want)
			}
		}
		finish(t, living.run, nil)
		release(t, living.lease)
		time.Sleep(3 * envdb.Day)
		if got, err := l.Rollups(t.Context(), "", time.Now().Add(-envdb.Day)); err != nil || len(got) != 0 {
			t.Errorf("of the last day: %+v, %v", got, err)
		}
	})
}

// A backup that began before midnight and ends after the day was rolled up is
// added to it.
func TestBackupOverMidnightIsAdded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		time.Sleep(23 * time.Hour)
		past(t, l, ladderBackup("prod"), time.Minute, nil, nil)
		late := ladderBackup("prod")
		late.ID = l.NewRunID()
		lease, err := l.Share(t.Context(), "prod", ledger.Claim{Run: late.ID, Operation: envdb.OpBackup})
		if err != nil {
			t.Fatal(err)
		}
		r := begin(t, l, late)
		untilTomorrow(time.Hour)
		if done := tidy(t, on("west", st)); done.RolledUp != 1 {
			t.Errorf("%+v, want the one that had ended", done)
		}
		finish(t, r, nil)
		release(t, lease)
		if done := tidy(t, on("west", st)); done.RolledUp != 1 {
			t.Errorf("%+v, want the late one", done)
		}
		rollups, err := l.Rollups(t.Context(), "prod", time.Time{})
		if err != nil || len(rollups) != 1 || rollups[0].Count != 2 || rollups[0].Longest < time.Hour {
			t.Errorf("got %+v, %v, want one of two", rollups, err)
		}
	})
}

// A hundred days, tidied up every six hours: what is older than ninety is gone,
// but for what runs; of the others the ladder's backups are rolled up.
func TestHundredDays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		day := map[string]int{} // of each run, by its id
		var running string
		for n := range 100 {
			if n == 3 {
				run := ladderBackup("prod")
				run.Unleased = true // nobody can say that it is dead
				r := begin(t, l, run)
				running = st.keys("acme/runs/20000104/" + r.ID())[0]
				content := st.objects[running].content
				finish(t, r, nil)
				for _, key := range st.keys("acme/runs/20000104/" + r.ID()) {
					if err := st.Delete(t.Context(), key); err != nil {
						t.Fatal(err)
					}
				}
				put(t, st, running, content)
				day[r.ID()] = n
			}
			for range 4 {
				id := past(t, l, ladderBackup("prod"), time.Minute, nil, map[string]any{"bytes": int64(1)})
				day[id] = n
				id = past(t, l, ladderBackup("prod"), time.Minute, errors.New("disk full"), nil)
				day[id] = n
				tidy(t, l)
				time.Sleep(5 * time.Hour)
			}
			untilTomorrow(0)
		}
		// It is the beginning of the hundredth day: ninety days ago is the tenth.
		tidy(t, l)
		found := counts(t, l)
		for id, n := range day {
			want := 1
			if n < 10 && !strings.Contains(running, id) {
				want = 0
			}
			if found[id] != want {
				t.Errorf("the run %s of day %d is counted %d times, want %d", id, n, found[id], want)
			}
		}
		if len(found) != 90*8+1 {
			t.Errorf("there are %d runs, want eight on each of ninety days, and the one that runs", len(found))
		}
		records, logs, rollups := 0, 0, 0
		for _, key := range st.keys("acme/runs/") {
			switch {
			case strings.HasSuffix(key, ".log"):
				logs++
			case strings.HasSuffix(key, ".rollup"):
				rollups++
			default:
				records++
			}
		}
		if records != 90*4+1 || logs != 90*4 || rollups != 90 {
			t.Errorf("the store has %d records, %d logs and %d rollups", records, logs, rollups)
		}
		put(t, st, strings.TrimSuffix(running, "running")+"failed", []byte("{}"))
		if done := tidy(t, l); done.Deleted != 1 || len(st.keys("acme/runs/20000104/")) != 0 {
			t.Errorf("once it has ended: %+v, want it deleted", done)
		}
	})
}

// before is a store with the runs of two days: one that is older than is kept, and
// one that is not. Those on either have all outcomes, and what a crash left.
func before(t *testing.T) (st *memory, old, young map[string]bool) {
	t.Helper()
	st = &memory{}
	l := on("east", st)
	fill := func() map[string]bool {
		ids := map[string]bool{}
		add := func(run ledger.Run, failed error) string {
			id := past(t, l, run, time.Minute, failed, map[string]any{"bytes": int64(100), "stored": int64(1)})
			ids[id] = true
			return id
		}
		for range 3 {
			add(ladderBackup("a"), nil) // whose records are listed before their logs
			add(ladderBackup("prod"), nil)
		}
		add(mirror, nil)
		// Killed between the two writes of their end, they have two records.
		for env, failed := range map[string]error{"prod": nil, "qa": errors.New("disk full")} {
			id := add(ladderBackup(env), failed)
			key := st.keys("acme/runs/" + id[:8] + "/" + id + "." + env)[0]
			put(t, st, key[:strings.LastIndexByte(key, '.')]+".running", st.objects[key].content)
		}
		return ids
	}
	old = fill()
	time.Sleep(50 * envdb.Day)
	young = fill()
	time.Sleep(45 * envdb.Day)
	return st, old, young
}

// contents returns what is under a prefix.
func contents(st *memory, prefix string) map[string]string {
	all := map[string]string{}
	for _, key := range st.keys(prefix) {
		all[key] = string(st.objects[key].content)
	}
	return all
}

// wantTidied holds a store to what a Tidy that nobody disturbed leaves.
func wantTidied(t *testing.T, st *memory, old, young map[string]bool) {
	t.Helper()
	l := on("auditor", st)
	found := counts(t, l)
	for id := range young {
		if found[id] != 1 {
			t.Errorf("the run %s is counted %d times", id, found[id])
		}
	}
	for id := range old {
		if found[id] != 0 {
			t.Errorf("the run %s is still there", id)
		}
	}
	rollups, err := l.Rollups(t.Context(), "", time.Time{})
	if err != nil || len(rollups) != 2 || rollups[0].Environment != "a" || rollups[0].Count != 3 || rollups[1].Count != 4 ||
		rollups[1].Logical != 400 || rollups[1].Stored != 4 || rollups[1].Median != time.Minute {
		t.Errorf("got %+v, %v", rollups, err)
	}
	// The mirror and the backup that failed are there with their logs; the one that
	// failed may have both records.
	for _, key := range st.keys("acme/runs/") {
		if id, isLog := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], ".log"); isLog && records(st, id) == "" {
			t.Errorf("%s is a log without a run", key)
		}
	}
}

func TestTidy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, old, young := before(t)
		if done := tidy(t, on("west", st)); done.RolledUp != 7 || done.Deleted != len(old) {
			t.Errorf("%+v, want 7 rolled up and %d deleted", done, len(old))
		}
		wantTidied(t, st, old, young)
	})
}

// A daemon that dies at any moment of a Tidy loses nothing, has nothing counted
// twice, and brings nothing back to life; the next one finishes it.
func TestTidyThatIsKilledAtAnyCall(t *testing.T) {
	t.Parallel()
	for calls, done := 0, false; !done; calls++ {
		t.Run(fmt.Sprint(calls), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, old, young := before(t)
				outcomes := map[string]ledger.Outcome{}
				all, err := on("auditor", st).Runs(t.Context(), ledger.Filter{})
				if err != nil {
					t.Fatal(err)
				}
				for _, run := range all {
					outcomes[run.ID] = run.Outcome
				}
				_, err = on("west", dying(st, calls)).Tidy(t.Context(), keep)
				if done = err == nil; !done && !errors.Is(err, errDied) {
					t.Fatal(err)
				}
				found := counts(t, on("auditor", st))
				for id := range young {
					if found[id] != 1 {
						t.Errorf("killed, the run %s is counted %d times", id, found[id])
					}
				}
				for id, n := range found {
					if n != 1 || !old[id] && !young[id] {
						t.Errorf("killed, the run %s is counted %d times", id, n)
					}
				}
				left, err := on("auditor", st).Runs(t.Context(), ledger.Filter{})
				if err != nil {
					t.Fatal(err)
				}
				for _, run := range left {
					if run.Outcome != outcomes[run.ID] {
						t.Errorf("killed, the run %s is %s; it was %s", run.ID, run.Outcome, outcomes[run.ID])
					}
				}
				tidy(t, on("north", st))
				wantTidied(t, st, old, young)
				if again := tidy(t, on("north", st)); again != (ledger.Tidied{}) {
					t.Errorf("a third time: %+v, want nothing", again)
				}
			})
		})
		if calls > 500 {
			t.Fatal("it never ends")
		}
	}
}

// So does one that is told of a failure though the store did what it was asked.
func TestTidyWhoseAnswersAreLost(t *testing.T) {
	t.Parallel()
	for lost, done := 1, false; !done; lost++ {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, old, young := before(t)
				n := 0
				st.after = func(string, string) error {
					if n++; n == lost {
						return down("put", "")
					}
					return nil
				}
				_, err := on("west", st).Tidy(t.Context(), keep)
				if done = err == nil; !done && !errors.Is(err, envdb.ErrUnreachable) {
					t.Fatal(err)
				}
				st.after = nil
				tidy(t, on("west", st))
				wantTidied(t, st, old, young)
			})
		})
	}
}

func TestDaemonsTidyAtOnce(t *testing.T) {
	t.Parallel()
	for name, latency := range map[string]time.Duration{"at the same moment": 0, "slowly": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, old, young := before(t)
				st.setFault(func(string, string) error {
					time.Sleep(latency)
					return nil
				})
				var daemons sync.WaitGroup
				for i := range 4 {
					daemons.Go(func() {
						time.Sleep(time.Duration(i) * 3 * latency)
						if _, err := on(fmt.Sprint("machine-", i), st).Tidy(t.Context(), keep); err != nil {
							t.Errorf("tidy: %v", err)
						}
					})
				}
				daemons.Wait()
				st.setFault(nil)
				wantTidied(t, st, old, young)
			})
		})
	}
}

func TestTidyOfAStoreThatIsReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, old, young := before(t)
		was := contents(st, "")
		st.setFault(readOnly)
		done, err := on("west", st).Tidy(t.Context(), keep)
		if !errors.Is(err, envdb.ErrPreflight) || done != (ledger.Tidied{}) {
			t.Errorf("got %+v, %v, want that it could not", done, err)
		}
		if !maps.Equal(contents(st, ""), was) {
			t.Error("something was changed")
		}
		if found := counts(t, on("west", st)); len(found) != len(old)+len(young) {
			t.Errorf("%d runs are seen, want all", len(found))
		}
	})
}

// A rollup that is damaged keeps its own runs from being rolled up, and nothing
// else; it is named, and hides no other.
func TestDamagedRollup(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"empty": "", "cut": `{"day":"2000`, "of nothing": "{}", "of another": `{"day":"20000220","environment":"qa"}`, "of another day": `{"day":"x","environment":"prod"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st, old, young := before(t)
				const damaged = "acme/runs/20000220/ladder.prod.rollup"
				put(t, st, damaged, []byte(content))
				l := on("west", st)
				done, err := l.Tidy(t.Context(), keep)
				if !errors.Is(err, envdb.ErrVerification) || !strings.Contains(err.Error(), damaged) {
					t.Errorf("got %v, want that it names the object", err)
				}
				if state, next := envdb.Advice(err); state == "" || next == "" {
					t.Errorf("state %q, next %q", state, next)
				}
				if done.RolledUp != 3 || done.Deleted != len(old) {
					t.Errorf("%+v, want everything else done", done)
				}
				rollups, err := l.Rollups(t.Context(), "", time.Time{})
				if err != nil || len(rollups) != 2 {
					t.Fatalf("got %+v, %v, want both", rollups, err)
				}
				if r := rollups[1]; r.Environment != "prod" || r.Day != "20000220" || r.Count != 0 || !strings.Contains(r.Unreadable, "damaged") {
					t.Errorf("got %+v, want that it is damaged", r)
				}
				if got, err := l.Rollups(t.Context(), "a", time.Time{}); err != nil || len(got) != 1 || got[0].Unreadable != "" {
					t.Errorf("of another environment: %+v, %v", got, err)
				}
				for id := range young {
					if found := counts(t, l); found[id] != 1 {
						t.Errorf("the run %s is counted %d times", id, found[id])
					}
				}
				if err := st.Delete(t.Context(), damaged); err != nil {
					t.Fatal(err)
				}
				tidy(t, l)
				wantTidied(t, st, old, young)
			})
		})
	}
}

// One that is damaged and too old is deleted like any other.
func TestDamagedRollupGoesInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, old, young := before(t)
		put(t, st, "acme/runs/20000101/ladder.prod.rollup", []byte("{"))
		if done := tidy(t, on("west", st)); done.Deleted != len(old)+1 {
			t.Errorf("%+v, want %d and the rollup deleted", done, len(old))
		}
		wantTidied(t, st, old, young)
	})
}

// Rollups are sealed as records are; who has no key is told that there are some.
func TestRollupsAreSealed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		repo, other := encrypted(t, st), encrypted(t, &memory{})
		l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal)})
		past(t, l, ladderBackup("prod"), time.Minute, nil, map[string]any{"bytes": int64(77777)})
		untilTomorrow(0)
		tidy(t, l)
		for key, content := range contents(st, "acme/runs/") {
			if strings.Contains(content, "77777") || strings.Contains(content, "prod") {
				t.Errorf("%s says what it holds in the open", key)
			}
		}
		if got, err := l.Rollups(t.Context(), "prod", time.Time{}); err != nil || len(got) != 1 || got[0].Logical != 77777 {
			t.Errorf("with the key: %+v, %v", got, err)
		}
		blind := ledger.New(st, "acme", ledger.Config{Seal: atOnce(other.Seal), Unseal: atOnce(other.Unseal)})
		got, err := blind.Rollups(t.Context(), "", time.Time{})
		if err != nil || len(got) != 1 || got[0].Environment != "prod" || got[0].Day != "20000101" || got[0].Unreadable == "" {
			t.Errorf("without the key: %+v, %v", got, err)
		}
	})
}

// What a person put beside the runs, and what a machine wrote whose clock is
// ahead, is left alone.
func TestTidyLeavesWhatIsNotItsBusiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		ahead := ledger.New(st, "acme", ledger.Config{Host: "ahead", Machine: elsewhere("ahead"), Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
		past(t, ahead, ladderBackup("prod"), time.Minute, nil, nil)
		for _, key := range []string{"19990101/notes.txt", "19990101/notes.log", "19990101/x.prod.backup.succeeded", "1999/x", "19991301/20000101-000000-000aaaaa.log", "README"} {
			put(t, st, "acme/runs/"+key, []byte("by a person"))
		}
		put(t, st, "other/runs/19990101/19990101-000000-000aaaaa.prod.backup.succeeded", []byte("of another project"))
		was := contents(st, "")
		untilTomorrow(0)
		if done := tidy(t, on("east", st)); done != (ledger.Tidied{}) {
			t.Errorf("%+v, want nothing", done)
		}
		if !maps.Equal(contents(st, ""), was) {
			t.Error("something was changed")
		}
	})
}

// A record whose content is that of another run is not taken for it.
func TestRecordOfAnotherRunIsNotRolledUp(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"no id":          `{"trigger":"ladder","outcome":"succeeded","operation":"backup","environment":"prod"}`,
		"another run":    `{"id":"19990101-000000-000aaaaa","trigger":"ladder","outcome":"succeeded","operation":"backup","environment":"prod"}`,
		"another's name": `{"id":"ID","trigger":"ladder","outcome":"succeeded","operation":"backup","environment":"qa"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{}
				l := on("east", st)
				id := past(t, l, ladderBackup("prod"), time.Minute, nil, nil)
				key := "acme/runs/" + id[:8] + "/" + id + ".prod.backup.succeeded"
				put(t, st, key, []byte(strings.Replace(content, "ID", id, 1)))
				untilTomorrow(0)
				if done := tidy(t, l); done != (ledger.Tidied{}) {
					t.Errorf("%+v, want nothing", done)
				}
				run, err := l.Run(t.Context(), id)
				if err != nil || run.Environment != "prod" || !strings.Contains(run.Error, "unreadable") {
					t.Errorf("got %+v, %v", run, err)
				}
			})
		})
	}
}

// A rollup that goes while they are listed is none.
func TestRollupThatGoesWhileItIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, _, _ := before(t)
		tidy(t, on("east", st))
		st.setFault(func(op, key string) error {
			if op == "get" && strings.HasSuffix(key, "prod.rollup") {
				st.mu.Lock()
				defer st.mu.Unlock()
				delete(st.objects, key)
			}
			return nil
		})
		got, err := on("west", st).Rollups(t.Context(), "", time.Time{})
		if err != nil || len(got) != 1 || got[0].Environment != "a" {
			t.Errorf("got %+v, %v, want the other one", got, err)
		}
		st.setFault(down)
		if _, err := on("west", st).Rollups(t.Context(), "", time.Time{}); !errors.Is(err, envdb.ErrUnreachable) {
			t.Errorf("of a store that is down: %v", err)
		}
	})
}
