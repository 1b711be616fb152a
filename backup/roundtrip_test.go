package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Generations of changing content: each is read back exactly, for ever, and
// stores only what its predecessor did not have.
func TestGenerations(t *testing.T) { inBothModes(t, testGenerations) }

func testGenerations(t *testing.T, in mode) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		repo := in.repository(t, newMemory())
		now := content{}
		var history []content
		for range rapid.IntRange(1, 6).Draw(rt, "generations") {
			mutate(rt, now)
			old := map[string]bool{}
			if len(history) > 0 {
				for _, chunks := range history[len(history)-1] {
					for _, data := range chunks {
						old[string(data)] = true
					}
				}
			}
			history = append(history, clone(now))
			m := mustTake(t, repo, now)
			fresh := map[string]bool{}
			for _, chunks := range now {
				for _, data := range chunks {
					if !old[string(data)] {
						fresh[string(data)] = true
					}
				}
			}
			if got, want := m.Totals.NewChunks, int64(len(fresh)); got < want || (got > want && m.Base == "") {
				rt.Fatalf("%d chunks were stored, want %d", got, want)
			}
		}
		backups := list(t, repo)
		if len(backups) != len(history) {
			rt.Fatalf("got %d backups, want %d", len(backups), len(history))
		}
		for i, b := range backups {
			if err := same(ctx, repo, b.Manifest, history[i]); err != nil {
				rt.Fatalf("generation %d: %v", i, err)
			}
		}
		report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
		if err != nil || report.Err() != nil {
			rt.Fatalf("verify: %v, %+v", err, report)
		}
		if left, err := repo.Leftovers(ctx, "prod", allDead); err != nil || len(left) != 0 {
			rt.Fatalf("leftovers: %v, %v", left, err)
		}
	})
}

// mutate changes, adds and removes parts.
func mutate(t *rapid.T, c content) {
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		part := rapid.SampledFrom([]string{"a", "b", "b/1", "c d", "ü"}).Draw(t, "part")
		switch rapid.IntRange(0, 3).Draw(t, "how") {
		case 0:
			delete(c, part)
		case 1:
			c[part] = append(c[part], rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data"))
		case 2:
			c[part] = append(c[part], bytes.Repeat([]byte("row\n"), rapid.IntRange(0, 50).Draw(t, "rows")))
		case 3:
			if n := len(c[part]); n > 0 {
				c[part][rapid.IntRange(0, n-1).Draw(t, "chunk")] = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
			}
		}
	}
}

func clone(c content) content {
	copied := content{}
	for part, chunks := range c {
		copied[part] = append([][]byte(nil), chunks...)
	}
	return copied
}

func allDead(string) (bool, error) { return true, nil }

func TestManifest(t *testing.T) { inBothModes(t, testManifest) }

func testManifest(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	c := tables(3, 4, 1000)
	first := mustTake(t, repo, c)
	c["table/1"][2] = []byte("changed")
	second := mustTake(t, repo, c)
	for _, test := range []struct {
		name      string
		got, want any
	}{
		{"id", first.ID, envdb.BackupID("20261120-140500")},
		{"id of the second in the same second", second.ID, envdb.BackupID("20261120-140501")},
		{"base", second.Base, first.ID},
		{"no base", first.Base, envdb.BackupID("")},
		{"chunks", second.Totals.Chunks, int64(13)},
		{"new chunks", second.Totals.NewChunks, int64(1)},
		{"new bytes", second.Totals.NewBytes, int64(len("changed"))},
		{"logical bytes", second.Totals.LogicalBytes, int64(11*1000 + 13 + len("changed"))},
		{"packs", len(second.Packs), 2},
		{"note", second.Note, "a note"},
		{"rows", second.Totals.Rows, int64(7)},
		{"point", second.Point, start},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, test.got, test.want)
		}
	}
	if second.Totals.StoredBytes >= first.Totals.StoredBytes/2 {
		t.Errorf("the second stored %d bytes, the first %d", second.Totals.StoredBytes, first.Totals.StoredBytes)
	}
}

// A change of one chunk among thousands writes one block of the index.
func TestIndexBlocksAreShared(t *testing.T) { inBothModes(t, testIndexBlocksAreShared) }

func testIndexBlocksAreShared(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	c := content{}
	for i := range 5000 {
		part := fmt.Sprintf("table/%d", i%7)
		c[part] = append(c[part], fmt.Appendf(nil, "chunk %d", i))
	}
	first := mustTake(t, repo, c)
	c["table/3"][100] = []byte("changed")
	second := mustTake(t, repo, c)
	own := 0
	for _, block := range second.Index {
		if block.Backup == second.ID {
			own++
		}
	}
	if own != 1 || len(second.Index) != len(first.Index) {
		t.Errorf("%d of %d blocks were written, want 1 of %d", own, len(second.Index), len(first.Index))
	}
	if err := same(t.Context(), repo, second, c); err != nil {
		t.Error(err)
	}
	third := mustTake(t, repo, c)
	if third.Totals.StoredBytes != 0 {
		t.Errorf("an unchanged backup stored %d bytes", third.Totals.StoredBytes)
	}
	if err := same(t.Context(), repo, third, c); err != nil {
		t.Error(err)
	}
}

func TestConcurrentPuts(t *testing.T) { inBothModes(t, testConcurrentPuts) }

func testConcurrentPuts(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	repo := in.repository(t, newMemory())
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	c := content{}
	group, gctx := errgroup.WithContext(ctx)
	for worker := range 8 {
		part := fmt.Sprintf("table/%d", worker)
		for i := range 100 {
			data := noise(i%50, 2000) // the workers share half their content
			c[part] = append(c[part], data)
		}
		chunks := c[part]
		group.Go(func() error {
			buf := make([]byte, 2000)
			for i, data := range chunks {
				copy(buf, data)
				if err := w.Put(gctx, chunk(part, i, buf)); err != nil {
					return err
				}
				clear(buf) // Put must not have kept it
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	m, err := w.Commit(ctx, backup.Description{Point: start})
	if err != nil {
		t.Fatal(err)
	}
	if m.Totals.NewChunks != 50 {
		t.Errorf("%d chunks were stored, want 50", m.Totals.NewChunks)
	}
	if err := same(ctx, repo, m, c); err != nil {
		t.Error(err)
	}
}

// Two backups of one environment at once have different ids, and both are
// whole.
func TestTwoWriters(t *testing.T) { inBothModes(t, testTwoWriters) }

func testTwoWriters(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	contents := []content{tables(2, 5, 100), tables(3, 5, 200)}
	manifests := make([]*backup.Manifest, 2)
	var group sync.WaitGroup
	for i, c := range contents {
		group.Go(func() {
			m, err := take(t.Context(), repo, c)
			if err != nil {
				t.Error(err)
			}
			manifests[i] = m
		})
	}
	group.Wait()
	if manifests[0].ID == manifests[1].ID {
		t.Fatalf("both have the id %s", manifests[0].ID)
	}
	for i, m := range manifests {
		if err := same(t.Context(), repo, m, contents[i]); err != nil {
			t.Error(err)
		}
	}
}

// More than a pack holds goes into the next one.
func TestPacksRotate(t *testing.T) { inBothModes(t, testPacksRotate) }

func testPacksRotate(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	c := tables(1, 4, 22<<20)
	m := mustTake(t, repo, c)
	if len(m.Packs) != 2 || m.Packs[0].Size < 64<<20 {
		t.Errorf("got the packs %+v", m.Packs)
	}
	if err := same(t.Context(), repo, m, c); err != nil {
		t.Error(err)
	}
}

func TestGarbageIsRewritten(t *testing.T) { inBothModes(t, testGarbageIsRewritten) }

func testGarbageIsRewritten(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	c := tables(1, 40, 1000)
	first := mustTake(t, repo, c)
	second := tables(1, 100, 1000)
	second["table/0"] = append(second["table/0"][100-60:], c["table/0"][:2]...) // 38 of 40 chunks of the first pack die
	mustTake(t, repo, second)
	third := mustTake(t, repo, second)
	for _, p := range third.Packs {
		if p.Backup == first.ID {
			t.Errorf("the pack of the first backup is still referred to, for 2 of 40 chunks")
		}
	}
	if got := third.Totals.NewChunks; got > 3 {
		t.Errorf("%d chunks were rewritten, want the few that live", got)
	}
	if err := same(t.Context(), repo, third, second); err != nil {
		t.Error(err)
	}
}

func TestMisuse(t *testing.T) { inBothModes(t, testMisuse) }

func testMisuse(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	repo := in.repository(t, newMemory())
	for _, env := range []string{"", "a/b", ".hidden", "..", "a\nb", strings.Repeat("x", 129), "\xff"} {
		if _, err := repo.Create(ctx, env, backup.CreateOptions{Method: backup.Logical}); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("environment %q: got %v, want ErrMisuse", env, err)
		}
	}
	if _, err := repo.Create(ctx, "prod", backup.CreateOptions{}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("without a method: got %v, want ErrMisuse", err)
	}
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []backup.Chunk{{}, {Part: "x", Rows: -1}, {Part: "\xff"}, {Part: strings.Repeat("x", 5000)}} {
		if err := w.Put(ctx, c); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("chunk %+v: got %v, want ErrMisuse", c, err)
		}
	}
	for _, ordinal := range []uint64{math.MaxUint64, 5, 5} {
		if err := w.Put(ctx, backup.Chunk{Part: "x", Ordinal: ordinal, Data: []byte{1}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Commit(ctx, backup.Description{}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("two chunks with one ordinal: got %v, want ErrMisuse", err)
	}
	for range 2 {
		if err := w.Abort(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := w.Put(ctx, backup.Chunk{Part: "x"}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("after abort: got %v, want ErrMisuse", err)
	}
	if got := list(t, repo); len(got) != 0 {
		t.Errorf("got %v, want no backup", got)
	}
}

func TestAbortLeavesNothing(t *testing.T) { inBothModes(t, testAbortLeavesNothing) }

func testAbortLeavesNothing(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	ctx, stop := context.WithCancel(t.Context())
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("x", 0, noise(1, 65<<20))); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := w.Put(ctx, chunk("x", 1, noise(2, 100))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if err := w.Abort(ctx); err != nil {
		t.Error(err)
	}
	if got := st.keys("acme"); len(got) != 1 || got[0] != "acme/heads/prod" {
		t.Errorf("left behind: %q, want only the head", got)
	}
}

// A backup that begins again refers to what it stored before, and keeps no
// pack of what did not come again.
func TestRestart(t *testing.T) { inBothModes(t, testRestart) }

func testRestart(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	gone, kept := noise(1, 65<<20), noise(2, 1000)
	for i, data := range [][]byte{gone, kept} {
		if err := w.Put(ctx, chunk("a", i, data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("a", 0, kept)); err != nil {
		t.Fatal(err)
	}
	m, err := w.Commit(ctx, backup.Description{Point: start})
	if err != nil {
		t.Fatal(err)
	}
	if m.Totals.NewChunks != 1 || m.Totals.NewBytes != 1000 || len(m.Packs) != 1 || len(st.keys("/packs/")) != 1 {
		t.Errorf("got %+v in %+v; the store has %q", m.Totals, m.Packs, st.keys("/packs/"))
	}
	if err := same(ctx, repo, m, content{"a": {kept}}); err != nil {
		t.Error(err)
	}
}

func TestAnEmptyBackup(t *testing.T) { inBothModes(t, testAnEmptyBackup) }

func testAnEmptyBackup(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	m := mustTake(t, repo, content{})
	if err := same(t.Context(), repo, m, content{}); err != nil {
		t.Error(err)
	}
	if m.Totals.StoredBytes != 0 {
		t.Errorf("it stored %d bytes", m.Totals.StoredBytes)
	}
}
