package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

func mustView(t testing.TB, look func(context.Context, string) (*backup.View, error)) *backup.View {
	t.Helper()
	view, err := look(context.Background(), "prod")
	if err != nil {
		t.Fatal(err)
	}
	return view
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestViewShowsWhatIsMarked(t *testing.T) { inBothModes(t, testViewShowsWhatIsMarked) }

func testViewShowsWhatIsMarked(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	repo := in.repository(t, newMemory())
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	must(t, err)
	still := &backup.Stillness{Snapshot: "10:20:11,12", Sequences: "ab"}
	m, err := w.Commit(ctx, backup.Description{
		Point: start.Add(time.Second), Finished: start.Add(time.Minute), Tier: envdb.Production,
		Source: backup.Source{SystemIdentifier: "42"}, Stillness: still, Promised: start.Add(time.Hour),
	})
	must(t, err)
	other := mustTake(t, repo, content{"a": {[]byte("x")}})
	running, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "now"})
	must(t, err)

	must(t, repo.Pin(ctx, "prod", m.ID, "note"))
	must(t, repo.MarkGoodUntil(ctx, "prod", m.ID, start.Add(9*time.Minute)))
	must(t, repo.MarkGoodUntil(ctx, "prod", m.ID, start.Add(10*time.Minute)))
	must(t, repo.Bury(ctx, "prod", other.ID, backup.Tombstone{SweepAfter: start.Add(time.Hour), By: "me", Why: "old", Run: "r", Buried: start}))
	must(t, repo.MarkBurst(ctx, "prod", start))
	must(t, repo.MarkBurst(ctx, "prod", start.Add(time.Hour)))
	must(t, repo.UnmarkBurst(ctx, "prod", start))
	policy := []byte(`{"ladder":"1m"}`)
	hash := backup.PolicyHash(policy)
	must(t, repo.MarkPolicy(ctx, "prod", policy, start, start))
	must(t, repo.MarkPolicy(ctx, "prod", policy, start, start.Add(time.Hour)))
	const job, print = `../mirror/"Ünï" 5%`, "0123456789abcdef"
	must(t, repo.MarkCalendar(ctx, "prod", job, print, start))
	must(t, repo.MarkCalendar(ctx, "prod", job, print, start.Add(time.Hour)))
	must(t, repo.MarkTurn(ctx, "prod", job, start.Add(time.Hour)))
	must(t, repo.MarkTurn(ctx, "prod", job, start))

	view := mustView(t, repo.View)
	if len(view.Incomplete) != 0 {
		t.Errorf("incomplete: %q", view.Incomplete)
	}
	if len(view.Backups) != 2 || view.Backups[0].ID != m.ID || view.Backups[1].ID != other.ID {
		t.Fatalf("got %+v", view.Backups)
	}
	b := view.Find(m.ID)
	if !b.Pinned || !b.Usable() || b.Took != time.Minute || !b.GoodUntil.Equal(start.Add(10*time.Minute)) || !b.Promised.Equal(start.Add(time.Hour)) ||
		b.Tier != envdb.Production || b.Source.SystemIdentifier != "42" || b.Stillness == nil || *b.Stillness != *still || b.Tombstone != nil {
		t.Errorf("got %+v", b)
	}
	want := backup.Tombstone{SweepAfter: start.Add(time.Hour), By: "me", Why: "old", Run: "r", Buried: start}
	if b := view.Find(other.ID); b.Usable() || b.Tombstone == nil || *b.Tombstone != want {
		t.Errorf("got %+v, tombstone %+v", b, b.Tombstone)
	}
	if len(view.Running) != 1 || view.Running[0].ID != running.ID() || view.Running[0].Run != "now" || view.Running[0].Base != other.ID {
		t.Errorf("running: %+v", view.Running)
	}
	if want := []time.Time{start.Add(time.Hour)}; !slices.Equal(view.Bursts, want) {
		t.Errorf("bursts: %v", view.Bursts)
	}
	if want := []backup.PolicyMark{{Hash: hash, First: start, Last: start.Add(time.Hour)}}; !slices.Equal(view.Policies, want) {
		t.Errorf("policies: %v", view.Policies)
	}
	if want := []backup.CalendarMark{{Job: job, Fingerprint: print, Since: start}, {Job: job, Fingerprint: print, Since: start.Add(time.Hour)}}; !slices.Equal(view.Calendars, want) {
		t.Errorf("calendars: %v", view.Calendars)
	}
	slices.SortFunc(view.Turns[job], time.Time.Compare)
	if want := []time.Time{start, start.Add(time.Hour)}; len(view.Turns) != 1 || !slices.Equal(view.Turns[job], want) {
		t.Errorf("turns: %v", view.Turns)
	}
	if body, err := repo.PolicyBody(ctx, "prod", hash); err != nil || string(body) != string(policy) {
		t.Errorf("the policy is %q, %v", body, err)
	}
	must(t, repo.UnmarkPolicy(ctx, "prod", hash))
	if _, err := repo.PolicyBody(ctx, "prod", hash); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	must(t, running.Abort(ctx))
	if view := mustView(t, repo.View); len(view.Running) != 0 {
		t.Errorf("still running: %+v", view.Running)
	}
}

// While nothing changes a view costs one small read, for five minutes; a change
// through another repository is seen by its head, one of this by itself.
func TestViewIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		in, ctx := plain(), t.Context()
		st := &faulty{memory: newMemory()}
		repo := in.repository(t, st)
		other := in.open(t, st.memory)
		m := mustTake(t, repo, content{"a": {[]byte("x")}})
		viewer := repo.Viewer()
		first := mustView(t, viewer.View)
		calls := func(look func(context.Context, string) (*backup.View, error)) (*backup.View, int) {
			before := st.calls
			view := mustView(t, look)
			return view, st.calls - before
		}
		if view, n := calls(viewer.View); view != first || n != 1 {
			t.Errorf("an unchanged view made %d calls, want 1", n)
		}
		if view, n := calls(viewer.Fresh); view == first || n != 4 { // the head, marks, intents, manifests; no manifest is read
			t.Errorf("a fresh view made %d calls, want 4", n)
		}
		must(t, other.MarkProven(ctx, "prod", m.ID))
		if view, _ := calls(viewer.View); !view.Backups[0].Proven {
			t.Error("what another changed is not seen")
		}
		must(t, repo.MarkBad(ctx, "prod", m.ID, "why"))
		if view, _ := calls(viewer.View); !view.Backups[0].Bad {
			t.Error("what this repository changed is not seen")
		}
		// A writer that died before it wrote the head.
		st.change("acme/marks/prod/pinned/"+string(m.ID), func([]byte) []byte { return []byte{} })
		time.Sleep(4 * time.Minute)
		if view, n := calls(viewer.View); view.Backups[0].Pinned || n != 1 {
			t.Errorf("after four minutes: %d calls, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		if view, _ := calls(viewer.View); !view.Backups[0].Pinned {
			t.Error("after six minutes it is not listed anew")
		}
	})
}

// In one look the head is read once, whoever asks; what this repository changed
// meanwhile is seen, and a fresh view is one.
func TestOneLook(t *testing.T) {
	t.Parallel()
	in := plain()
	st := &faulty{memory: newMemory()}
	repo := in.repository(t, st)
	other := in.open(t, st.memory)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	viewer := repo.Viewer()
	mustView(t, viewer.View)
	ctx := backup.OneLook(t.Context())
	calls := func(look func(context.Context, string) (*backup.View, error)) (*backup.View, int) {
		before := st.calls
		view, err := look(ctx, "prod")
		must(t, err)
		return view, st.calls - before
	}
	if _, n := calls(viewer.View); n != 1 {
		t.Errorf("the first view made %d calls, want 1", n)
	}
	if _, n := calls(viewer.View); n != 0 {
		t.Errorf("the second view made %d calls, want none", n)
	}
	must(t, other.MarkProven(t.Context(), "prod", m.ID))
	if view, n := calls(viewer.View); n != 0 || view.Backups[0].Proven {
		t.Errorf("what another changed meanwhile is seen by %d calls", n)
	}
	if view, _ := calls(viewer.Fresh); !view.Backups[0].Proven {
		t.Error("a fresh view does not show what another changed")
	}
	must(t, repo.MarkBad(t.Context(), "prod", m.ID, "why"))
	if view, _ := calls(viewer.View); !view.Backups[0].Bad {
		t.Error("what this repository changed meanwhile is not seen")
	}
	ctx = backup.OneLook(t.Context())
	if _, n := calls(viewer.View); n == 0 {
		t.Error("the next look does not look")
	}
	if view := mustView(t, viewer.View); !view.Backups[0].Bad || !view.Backups[0].Proven {
		t.Errorf("got %+v", view.Backups[0])
	}
}

// headless cannot write heads.
type headless struct{ *memory }

func (s headless) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if strings.Contains(key, "/heads/") {
		return "", envdb.Fail(envdb.ErrPreflight, "access denied")
	}
	return s.memory.Put(ctx, key, body, cond)
}

func TestChangesWithoutHeads(t *testing.T) {
	t.Parallel()
	repo := plain().repository(t, headless{newMemory()})
	viewer := repo.Viewer()
	mustView(t, viewer.View)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	must(t, repo.Pin(t.Context(), "prod", m.ID, ""))
	if view := mustView(t, viewer.View); len(view.Backups) != 1 || !view.Backups[0].Pinned {
		t.Errorf("got %+v", view.Backups)
	}
}

// What cannot be read is named, and hides nothing else.
func TestViewIsIncomplete(t *testing.T) { inBothModes(t, testViewIsIncomplete) }

func testViewIsIncomplete(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	n := mustTake(t, repo, content{"a": {[]byte("y")}})
	viewer := repo.Viewer()
	mustView(t, viewer.View)
	st.change("acme/backups/prod/"+string(m.ID)+"/manifest", cut)
	set := func([]byte) []byte { return []byte("{") }
	st.change("acme/leases/writes/prod/20261120-150000", set)
	st.change("acme/leases/writes/prod/what", set)
	st.change("acme/backups/prod/what/manifest", set)
	st.change("acme/marks/prod/pinned/what", set)
	st.change("acme/marks/prod/tombstone/"+string(n.ID)+"/soon", set)
	st.change("acme/marks/prod/newer-than-this/what", set)
	view := mustView(t, viewer.Fresh)
	if len(view.Incomplete) != 6 {
		t.Errorf("got %d: %q", len(view.Incomplete), view.Incomplete)
	}
	if len(view.Backups) != 2 || view.Backups[0].Err == nil || view.Backups[1].Err != nil || view.Backups[1].Tombstone == nil {
		t.Errorf("got %+v", view.Backups)
	}
}

// Bad packs are rare: manifests are read again when they change, not kept.
func TestViewShowsDamage(t *testing.T) {
	t.Parallel()
	in := plain()
	repo := in.repository(t, newMemory())
	c := content{"a": {noise(1, 100)}}
	first := mustTake(t, repo, c)
	mustTake(t, repo, c)
	viewer := repo.Viewer()
	mustView(t, viewer.View)
	must(t, repo.Mark(t.Context(), "prod", "bad-pack/"+first.Packs[0].ID().String()))
	for _, b := range mustView(t, viewer.View).Backups {
		if len(b.Damaged) != 1 || b.Usable() {
			t.Errorf("%s: damaged %q", b.ID, b.Damaged)
		}
	}
	must(t, repo.Unmark(t.Context(), "prod", "bad-pack/"+first.Packs[0].ID().String()))
	for _, b := range mustView(t, viewer.View).Backups {
		if !b.Usable() {
			t.Errorf("%s: damaged %q", b.ID, b.Damaged)
		}
	}
}

// 10,000 restore points of 200 environments are remembered in less than 64 MiB:
// here 200 viewers of one environment.
func TestViewsAreSmall(t *testing.T) {
	in := plain()
	st := newMemory()
	repo := in.repository(t, st)
	const viewers, points = 200, 50
	for p := range points {
		w, err := repo.Create(t.Context(), "prod", backup.CreateOptions{Method: backup.Logical, Now: start.Add(time.Duration(p) * time.Second)})
		must(t, err)
		must(t, w.Put(t.Context(), chunk("a", 0, []byte{byte(p)})))
		_, err = w.Commit(t.Context(), backup.Description{
			Point: start, Finished: start.Add(time.Minute), Tier: envdb.Production,
			Source:    backup.Source{SystemIdentifier: "7301234567890123456", Database: "prod"},
			Stillness: &backup.Stillness{Snapshot: fmt.Sprintf("1%08d:1%08d:", p, p), Sequences: fmt.Sprintf("%064d", p)},
		})
		must(t, err)
	}
	before := heap()
	var seen []*backup.Viewer
	for range viewers { // one for each environment
		viewer := repo.Viewer()
		if view := mustView(t, viewer.View); len(view.Backups) != points {
			t.Fatalf("%d backups", len(view.Backups))
		}
		seen = append(seen, viewer)
	}
	if used := heap() - before; used > 64<<20 {
		t.Errorf("10,000 restore points take %d MiB", used>>20)
	} else {
		t.Logf("10,000 restore points take %d KiB", used>>10)
	}
	runtime.KeepAlive(seen)
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
