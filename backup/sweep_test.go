package backup_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// everything is a sweep of whatever has a tombstone whose time has come.
func everything(now time.Time) backup.SweepRequest {
	return backup.SweepRequest{
		Now: now, Dead: allDead,
		Go: func(view *backup.View) (map[envdb.BackupID]bool, error) {
			may := map[envdb.BackupID]bool{}
			for _, b := range view.Backups {
				may[b.ID] = true
			}
			return may, nil
		},
		Held: func(context.Context, envdb.BackupID) (bool, error) { return false, nil },
	}
}

func bury(t testing.TB, repo *backup.Repository, ids ...envdb.BackupID) {
	t.Helper()
	for _, id := range ids {
		must(t, repo.Bury(context.Background(), "prod", id, backup.Tombstone{SweepAfter: start, By: "test"}))
	}
}

// series takes backups that share packs, and returns their contents.
func series(t testing.TB, repo *backup.Repository, n int) ([]envdb.BackupID, map[envdb.BackupID]content) {
	t.Helper()
	var ids []envdb.BackupID
	contents := map[envdb.BackupID]content{}
	now := tables(3, 3, 200)
	for i := range n {
		now = clone(now)
		now[fmt.Sprintf("table/%d", i%3)][i%2] = noise(1000+i, 300)
		m := mustTake(t, repo, now)
		ids, contents[m.ID] = append(ids, m.ID), now
	}
	return ids, contents
}

// intact returns an error unless every backup that there is can be read to its
// last byte.
func intact(ctx context.Context, repo *backup.Repository, contents map[envdb.BackupID]content) (map[envdb.BackupID]bool, error) {
	backups, err := repo.List(ctx, "prod")
	if err != nil {
		return nil, err
	}
	there := map[envdb.BackupID]bool{}
	for _, b := range backups {
		there[b.ID()] = true
		if b.Err != nil || len(b.Damaged) > 0 {
			return nil, fmt.Errorf("%s: %w %q", b.ID(), b.Err, b.Damaged)
		}
		if err := same(ctx, repo, b.Manifest, contents[b.ID()]); err != nil {
			return nil, fmt.Errorf("%s: %w", b.ID(), err)
		}
	}
	return there, nil
}

// orphans returns what is in the store and belongs to no backup.
func orphans(t testing.TB, repo *backup.Repository, st *memory) []string {
	t.Helper()
	known := map[string]bool{"acme/heads/prod": true}
	there := map[string]bool{}
	for _, b := range list(t, repo) {
		there[string(b.ID())] = true
		known["acme/backups/prod/"+string(b.ID())+"/manifest"] = true
		for _, p := range b.Manifest.Packs {
			known["acme/packs/prod/"+p.ID().String()] = true
		}
		for _, block := range b.Manifest.Index {
			known["acme/backups/prod/"+string(block.Backup)+"/index"] = true
		}
	}
	return slices.DeleteFunc(st.keys("acme/"), func(key string) bool {
		if rest, mark := strings.CutPrefix(key, "acme/marks/prod/"); mark {
			return there[strings.Split(rest, "/")[1]]
		}
		return known[key] || string(st.objects[key]) == "envdbvd1"
	})
}

func TestSweep(t *testing.T) { inBothModes(t, testSweep) }

func testSweep(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	ids, contents := series(t, repo, 6)
	bury(t, repo, ids[0], ids[2], ids[4])
	must(t, repo.Mark(ctx, "prod", "bad-pack/"+string(ids[2])+"/000099"))

	early := everything(start.Add(-time.Second))
	if swept, err := repo.Sweep(ctx, "prod", early); err != nil || len(swept.Gone) != 0 {
		t.Errorf("before the time: %+v, %v", swept, err)
	}
	swept, err := repo.Sweep(ctx, "prod", everything(start))
	if err != nil || !slices.Equal(swept.Gone, []envdb.BackupID{ids[0], ids[2], ids[4]}) || len(swept.Stays) != 0 {
		t.Errorf("got %+v, %v", swept, err)
	}
	there, err := intact(ctx, repo, contents)
	if err != nil || len(there) != 3 {
		t.Errorf("%d are left, %v", len(there), err)
	}
	must(t, repo.Unmark(ctx, "prod", "bad-pack/"+string(ids[2])+"/000099"))
	if left := orphans(t, repo, st); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if err := repo.Exhume(ctx, "prod", ids[0]); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("undelete of what is gone: %v", err)
	}
	// All of them: nothing stays.
	bury(t, repo, ids[1], ids[3], ids[5])
	if _, err := repo.Sweep(ctx, "prod", everything(start)); err != nil {
		t.Error(err)
	}
	if got := st.keys("acme/"); !slices.Equal(got, []string{"acme/heads/prod"}) {
		t.Errorf("left behind: %q", got)
	}
}

func TestBuryAndExhume(t *testing.T) { inBothModes(t, testBuryAndExhume) }

func testBuryAndExhume(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	ids, contents := series(t, repo, 3)
	first, last := ids[0], ids[2]
	must(t, repo.Pin(ctx, "prod", first, ""))
	if err := repo.Bury(ctx, "prod", first, backup.Tombstone{SweepAfter: start}); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("a pinned one: %v", err)
	}
	if err := repo.Exhume(ctx, "prod", last); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("one that is not deleted: %v", err)
	}
	must(t, repo.Bury(ctx, "prod", last, backup.Tombstone{SweepAfter: start.Add(time.Hour), By: "me"}))
	must(t, repo.Bury(ctx, "prod", last, backup.Tombstone{SweepAfter: start, By: "another"}))
	if b := list(t, repo)[2]; b.Usable() || b.Tombstone == nil || b.Tombstone.By != "me" || !b.Tombstone.SweepAfter.Equal(start.Add(time.Hour)) {
		t.Errorf("got %+v", b.Tombstone)
	}
	if err := repo.Pin(ctx, "prod", last, ""); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("to pin a deleted one: %v", err)
	}
	if m := mustTake(t, repo, contents[last]); m.Base != ids[1] {
		t.Errorf("the base is %s, want %s: what is deleted is no base", m.Base, ids[1])
	}
	must(t, repo.Exhume(ctx, "prod", last))
	if b := list(t, repo)[2]; !b.Usable() {
		t.Errorf("after undelete: %+v", b)
	}
	if got := append(st.keys("/tombstone/"), st.keys("/fate/")...); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	// A sweep that finds it held has begun, and cannot be undone any more.
	bury(t, repo, last)
	asked := 0
	req := everything(start)
	req.Held = func(context.Context, envdb.BackupID) (bool, error) { asked++; return asked > 1, nil }
	swept, err := repo.Sweep(ctx, "prod", req)
	if err != nil || len(swept.Gone) != 0 || len(swept.Stays) != 1 {
		t.Errorf("held: %+v, %v", swept, err)
	}
	if err := repo.Exhume(ctx, "prod", last); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("undelete after it began: %v", err)
	}
	if view := mustView(t, repo.View); !view.Find(last).Tombstone.Begun {
		t.Error("the view does not show that it has begun")
	}
}

// What is needed stays: pinned, read, a base of what is being taken, or needed
// by a new plan.
func TestSweepSpares(t *testing.T) { inBothModes(t, testSweepSpares) }

func testSweepSpares(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	ids, contents := series(t, repo, 5)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "running"})
	must(t, err)
	bury(t, repo, ids...)
	must(t, repo.Mark(ctx, "prod", "pinned/"+string(ids[0]))) // by who read the marks before
	req := everything(start)
	req.Dead = func(string) (bool, error) { return false, nil }
	req.Held = func(_ context.Context, id envdb.BackupID) (bool, error) { return id == ids[1], nil }
	plan := req.Go
	req.Go = func(v *backup.View) (map[envdb.BackupID]bool, error) {
		may, err := plan(v)
		delete(may, ids[2])
		return may, err
	}
	swept, err := repo.Sweep(ctx, "prod", req)
	if err != nil || !slices.Equal(swept.Gone, ids[3:4]) || len(swept.Stays) != 4 {
		t.Errorf("got %+v, %v", swept, err)
	}
	now := clone(contents[ids[4]])
	for part, chunks := range now {
		for i, data := range chunks {
			must(t, w.Put(ctx, chunk(part, i, data)))
		}
	}
	m, err := w.Commit(ctx, backup.Description{Point: start, Finished: start})
	must(t, err)
	contents[m.ID] = now
	if there, err := intact(ctx, repo, contents); err != nil || len(there) != 5 {
		t.Errorf("%d are left, %v", len(there), err)
	}
}

// A writer that died keeps nothing, and cannot commit any more.
func TestSweepAfterAWriterDied(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := plain().repository(t, st)
	ids, _ := series(t, repo, 1)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "dead"})
	must(t, err)
	bury(t, repo, ids...)
	swept, err := repo.Sweep(ctx, "prod", everything(start))
	if err != nil || len(swept.Gone) != 1 || swept.Abandoned != 1 {
		t.Errorf("got %+v, %v", swept, err)
	}
	if _, err := w.Commit(ctx, backup.Description{}); err == nil {
		t.Error("the dead writer committed")
	}
	if got := orphans(t, repo, st); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// half is a store whose listings of some keys end with an error.
type half struct {
	*memory
	what string
}

func (s half) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	return func(yield func(envdb.Object, error) bool) {
		n := 0
		for object, err := range s.memory.List(ctx, prefix) {
			if n++; s.what != "" && strings.Contains(prefix, s.what) && n > 1 {
				yield(envdb.Object{}, errFault)
				return
			}
			if !yield(object, err) {
				return
			}
		}
		if s.what != "" && strings.Contains(prefix, s.what) {
			yield(envdb.Object{}, errFault)
		}
	}
}

// While anything cannot be read, nothing is deleted.
func TestSweepRefuses(t *testing.T) { inBothModes(t, testSweepRefuses) }

func testSweepRefuses(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	original := newMemory()
	repo := in.repository(t, original)
	ids, _ := series(t, repo, 3)
	bury(t, repo, ids[0])
	set := func([]byte) []byte { return []byte("{") }
	for name, breaks := range map[string]func(*half){
		"half of the marks":      func(st *half) { st.what = "/marks/" },
		"half of the backups":    func(st *half) { st.what = "/backups/" },
		"half of the intents":    func(st *half) { st.what = "/leases/" },
		"a manifest":             func(st *half) { st.change("acme/backups/prod/"+string(ids[1])+"/manifest", cut) },
		"a manifest of nobody":   func(st *half) { st.change("acme/backups/prod/x/manifest", set) },
		"an intent":              func(st *half) { st.change("acme/leases/writes/prod/20261120-000000", set) },
		"an intent with no name": func(st *half) { st.change("acme/leases/writes/prod/x", set) },
		"a pin":                  func(st *half) { st.change("acme/marks/prod/pinned/x", set) },
	} {
		st := &half{memory: &memory{objects: maps.Clone(original.objects)}}
		broken := in.open(t, st)
		breaks(st)
		before := maps.Clone(st.objects)
		swept, err := broken.Sweep(ctx, "prod", everything(start))
		if !errors.Is(err, envdb.ErrRefused) || len(swept.Gone) != 0 {
			t.Errorf("%s: got %+v, %v", name, swept, err)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("%s: no next step", name)
		}
		if !maps.EqualFunc(before, st.objects, slices.Equal) {
			t.Errorf("%s: the store changed", name)
		}
	}
}

// What cannot be read and was deleted by a person stands in nobody's way once
// its time has come.
func TestSweepOfTheUnreadable(t *testing.T) { inBothModes(t, testSweepOfTheUnreadable) }

func testSweepOfTheUnreadable(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	ids, contents := series(t, repo, 4)
	bury(t, repo, ids[1], ids[2])
	st.change("acme/backups/prod/"+string(ids[1])+"/manifest", cut)
	if swept, err := repo.Sweep(ctx, "prod", everything(start)); err != nil || len(swept.Gone) != 2 {
		t.Fatalf("got %+v, %v", swept, err)
	}
	cleanUp(t, repo)
	if there, err := intact(ctx, repo, contents); err != nil || len(there) != 2 {
		t.Errorf("%d are left, %v", len(there), err)
	}
	if left := orphans(t, repo, st); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func cleanUp(t testing.TB, repo *backup.Repository) {
	t.Helper()
	left, err := repo.Leftovers(context.Background(), "prod", allDead)
	must(t, err)
	for _, l := range left {
		must(t, repo.RemoveLeftover(context.Background(), "prod", l))
	}
}

// Every store call of a deletion fails in turn, in four ways: from the
// tombstone on, with one that is taken back, to the sweep. All backups stay
// whole, and the next sweep finishes it.
func TestEveryStoreCallOfASweepFails(t *testing.T) { inBothModes(t, testEveryStoreCallOfASweepFails) }

func testEveryStoreCallOfASweepFails(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	original := newMemory()
	repo := in.repository(t, original)
	ids, contents := series(t, repo, 5)
	must(t, repo.MarkProven(ctx, "prod", ids[1]))
	must(t, repo.MarkGoodUntil(ctx, "prod", ids[1], start.Add(time.Hour)))
	bury(t, repo, ids[3])
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "dead"})
	must(t, err)
	must(t, w.Put(ctx, chunk("x", 0, noise(5, 65<<20)))) // a pack of a dead writer
	copied := func() *memory { return &memory{objects: maps.Clone(original.objects)} }
	work := func(repo *backup.Repository) error {
		if err := repo.Bury(ctx, "prod", ids[1], backup.Tombstone{SweepAfter: start}); err != nil {
			return err
		}
		if err := repo.Bury(ctx, "prod", ids[4], backup.Tombstone{SweepAfter: start}); err != nil {
			return err
		}
		if err := repo.Exhume(ctx, "prod", ids[4]); err != nil {
			return err
		}
		_, err := repo.Sweep(ctx, "prod", everything(start))
		return err
	}
	clean := &faulty{memory: copied()}
	must(t, work(in.open(t, clean)))
	total := clean.calls
	t.Logf("two deletions, an undelete and a sweep make %d store calls", total)
	for _, mode := range []struct {
		name         string
		dead, effect bool
	}{{"error", false, false}, {"lost answer", false, true}, {"killed before", true, false}, {"killed after", true, true}} {
		for nth := 2; nth <= total; nth++ { // the first call opens the repository
			st := &faulty{memory: copied(), nth: nth, dead: mode.dead, effect: mode.effect}
			_ = work(in.open(t, st)) // it fails on purpose, or survives
			after := in.open(t, st.memory)
			where := fmt.Sprintf("%s at call %d", mode.name, nth)
			there, err := intact(ctx, after, contents)
			if err != nil || !there[ids[0]] || !there[ids[2]] || !there[ids[4]] {
				t.Fatalf("%s: %v, %v", where, there, err)
			}
			swept, err := after.Sweep(ctx, "prod", everything(start))
			if err != nil {
				t.Fatalf("%s: the next sweep: %v", where, err)
			}
			cleanUp(t, after)
			there, err = intact(ctx, after, contents)
			if err != nil || !there[ids[0]] || !there[ids[2]] || there[ids[3]] {
				t.Fatalf("%s: after the next sweep: %v, %v, %+v", where, there, err, swept)
			}
			if left := orphans(t, after, st.memory); len(left) != 0 {
				t.Fatalf("%s: left behind: %q", where, left)
			}
		}
	}
}

// Whatever is taken, pinned, deleted, brought back, swept and killed in
// between: each backup that there is can be read to its last byte, and
// afterwards nothing is left that belongs to none.
func TestSweepProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		in := plain()
		st := newMemory()
		in.repository(t, st)
		contents := map[envdb.BackupID]content{}
		pinned := map[envdb.BackupID]bool{}
		now := tables(2, 2, 100)
		clock := start
		steps := rapid.IntRange(5, 30).Draw(rt, "steps")
		for step := range steps {
			clock = clock.Add(time.Minute)
			f := &faulty{memory: st}
			repo := in.open(t, f)
			f.calls, f.dead, f.effect = 0, true, rapid.Bool().Draw(rt, "effect")
			backups := list(t, in.open(t, st))
			var one envdb.BackupID
			if len(backups) > 0 {
				one = rapid.SampledFrom(backups).Draw(rt, "which").ID()
			}
			action := rapid.SampledFrom([]string{"take", "take", "take", "bury", "bury", "exhume", "pin", "unpin", "sweep", "sweep", "clean"}).Draw(rt, "action")
			if rapid.IntRange(0, 2).Draw(rt, "killed") == 0 {
				f.nth = rapid.IntRange(1, 60).Draw(rt, "at")
			}
			switch {
			case action == "take":
				now = clone(now)
				now[fmt.Sprintf("table/%d", step%2)][step%2] = noise(5000+step, 150)
				if w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: clock, Run: "run"}); err == nil {
					contents[w.ID()] = now
					_ = fillAndCommit(ctx, w, now) // its end may be fatal
				}
			case action == "clean":
				if left, err := repo.Leftovers(ctx, "prod", allDead); err == nil {
					for _, l := range left {
						_ = repo.RemoveLeftover(ctx, "prod", l)
					}
				}
			case one == "":
			case action == "bury":
				_ = repo.Bury(ctx, "prod", one, backup.Tombstone{SweepAfter: clock.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "grace")) * time.Minute)})
			case action == "exhume":
				_ = repo.Exhume(ctx, "prod", one)
			case action == "pin":
				if repo.Pin(ctx, "prod", one, "") == nil {
					pinned[one] = true
				}
			case action == "unpin":
				delete(pinned, one)
				_ = repo.Unpin(ctx, "prod", one)
			case action == "sweep":
				_, _ = repo.Sweep(ctx, "prod", everything(clock))
			}
			there, err := intact(ctx, in.open(t, st), contents)
			if err != nil {
				rt.Fatalf("after %s: %v", action, err)
			}
			for id := range pinned {
				if !there[id] {
					rt.Fatalf("after %s: %s was pinned and is gone", action, id)
				}
			}
		}
		repo := in.open(t, st)
		if _, err := repo.Sweep(ctx, "prod", everything(clock.Add(time.Hour))); err != nil {
			rt.Fatal(err)
		}
		cleanUp(t, repo)
		if _, err := intact(ctx, repo, contents); err != nil {
			rt.Fatal(err)
		}
		if left := orphans(t, repo, st); len(left) != 0 {
			rt.Fatalf("left behind: %q", left)
		}
	})
}

func fillAndCommit(ctx context.Context, w *backup.Writer, c content) error {
	for part, chunks := range c {
		for i, data := range chunks {
			if err := w.Put(ctx, chunk(part, i, data)); err != nil {
				return err
			}
		}
	}
	_, err := w.Commit(ctx, backup.Description{Point: start, Finished: start})
	return err
}
