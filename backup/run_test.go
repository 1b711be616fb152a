package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// counted counts the reads of a store.
type counted struct {
	*memory
	gets atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	c.gets.Add(1)
	return c.memory.Get(ctx, key, span)
}

// fetchRuns fetches a part run by run.
func fetchRuns(t *testing.T, reader *backup.Reader, refs []backup.Ref) ([]byte, error) {
	t.Helper()
	var all, buf []byte
	for _, run := range backup.Runs(refs, 8<<20) {
		plain, err := reader.FetchRun(t.Context(), run, buf)
		if err != nil {
			return nil, err
		}
		all, buf = append(all, plain...), plain
	}
	return all, nil
}

func TestNeighboursAreReadTogether(t *testing.T) {
	inBothModes(t, func(t *testing.T, m mode) {
		st := &counted{memory: newMemory()}
		repo := m.repository(t, st)
		rows := content{"rows": {}}
		for i := range 40 {
			rows["rows"] = append(rows["rows"], noise(i+1, 1<<20))
		}
		reader, err := repo.Open(t.Context(), mustTake(t, repo, rows))
		if err != nil {
			t.Fatal(err)
		}
		refs := reader.Chunks("rows")
		st.gets.Store(0)
		got, err := fetchRuns(t, reader, refs)
		if err != nil || !bytes.Equal(got, bytes.Join(rows["rows"], nil)) {
			t.Fatalf("got %d bytes and %v", len(got), err)
		}
		if n := st.gets.Load(); n != 5 {
			t.Errorf("40 chunks of 1 MiB took %d reads, want 5 of 8 MiB each", n)
		}
	})
}

func TestRunsKeepOrderAndPacks(t *testing.T) {
	t.Parallel()
	pack := func(n int) backup.Pack { return backup.Pack{Backup: "20261120-140500", Number: n} }
	ref := func(p int, offset, length, size int64) backup.Ref {
		return backup.Ref{Pack: pack(p), Offset: offset, Length: length, Size: size}
	}
	refs := []backup.Ref{
		ref(1, 8, 100, 1<<20), ref(1, 108, 100, 1<<20), ref(1, 300, 100, 1<<20), // a small gap
		ref(1, 400+1<<20, 100, 1<<20),                                         // a large one
		ref(2, 400+1<<20+100, 100, 1<<20),                                     // another pack
		ref(2, 8, 100, 1<<20),                                                 // backwards
		ref(2, 108, 100, 9<<20),                                               // too large to share
		ref(2, 208, 100, 4<<20), ref(2, 308, 100, 4<<20), ref(2, 408, 100, 1), // 8 MiB, and more
	}
	var lengths []int
	var joined []backup.Ref
	for _, run := range backup.Runs(refs, 8<<20) {
		lengths, joined = append(lengths, len(run)), append(joined, run...)
	}
	if want := []int{3, 1, 1, 1, 1, 2, 1}; !slices.Equal(lengths, want) {
		t.Errorf("got runs of %v chunks, want %v", lengths, want)
	}
	if !slices.Equal(joined, refs) {
		t.Error("the runs are not the chunks in their order")
	}
	var sparse []backup.Ref // small chunks in a pack of which little is left
	for i := range int64(1000) {
		sparse = append(sparse, ref(1, 8+i*60<<10, 100, 100))
	}
	for _, run := range backup.Runs(sparse, 8<<20) {
		if last := run[len(run)-1]; last.Offset+last.Length-run[0].Offset > 9<<20 {
			t.Errorf("a run of %d chunks reads %d bytes", len(run), last.Offset+last.Length-run[0].Offset)
		}
	}
	if backup.Runs(nil, 1) != nil {
		t.Error("no chunks make a run")
	}
}

func TestDamageInARunIsFound(t *testing.T) {
	inBothModes(t, func(t *testing.T, m mode) {
		st := newMemory()
		repo := m.repository(t, st)
		manifest := mustTake(t, repo, content{"rows": {noise(1, 1000), noise(2, 1000), noise(3, 1000)}})
		reader, err := repo.Open(t.Context(), manifest)
		if err != nil {
			t.Fatal(err)
		}
		refs := reader.Chunks("rows")
		st.change("acme/packs/prod/"+string(manifest.ID)+"/000001", func(data []byte) []byte {
			data[refs[1].Offset+refs[1].Length/2] ^= 1
			return data
		})
		_, err = fetchRuns(t, reader, refs)
		var damaged *backup.DamagedError
		if !errors.As(err, &damaged) || !strings.Contains(err.Error(), `chunk 1 of part "rows"`) {
			t.Fatalf("got %v, want a damaged pack and its chunk", err)
		}
		report, err := repo.Verify(t.Context(), "prod", "", backup.VerifyOptions{ReadData: true})
		if err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("chunk %d at byte %d", refs[1].Index, refs[1].Offset)
		if found := strings.Join(report.Backups[0].Problems, "; "); !strings.Contains(found, where) || report.Chunks != 2 {
			t.Errorf("verify read %d chunks and found %q, want %q and 2 that are whole", report.Chunks, found, where)
		}
		if b, err := repo.Find(t.Context(), "prod", manifest.ID); err != nil || len(b.Damaged) == 0 {
			t.Errorf("the damage is not recorded: %+v, %v", b.Damaged, err)
		}
	})
}

// What came damaged once, by one request for several chunks, is read again.
func TestDamageOnTheWayOfARun(t *testing.T) {
	inBothModes(t, func(t *testing.T, m mode) {
		st := &flaky{memory: newMemory()}
		repo := m.repository(t, st)
		rows := content{"rows": {noise(1, 1000), noise(2, 1000), noise(3, 1000)}}
		reader, err := repo.Open(t.Context(), mustTake(t, repo, rows))
		if err != nil {
			t.Fatal(err)
		}
		st.flips = 1
		if got, err := fetchRuns(t, reader, reader.Chunks("rows")); err != nil || !bytes.Equal(got, bytes.Join(rows["rows"], nil)) {
			t.Errorf("got %d bytes and %v", len(got), err)
		}
		if got := st.keys("/marks/"); len(got) != 0 {
			t.Errorf("marked %q", got)
		}
	})
}
