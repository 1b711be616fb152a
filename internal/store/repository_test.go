package store_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store"
)

func TestMain(m *testing.M) { s3test.Main(m) }

// bucket returns the configuration of a store in a new bucket.
func bucket(t testing.TB) store.Config {
	server := s3test.Start(t)
	return store.Config{URL: "s3://" + server.Bucket(t) + "/envdb", Endpoint: server.URL()}
}

// A repository in a real store: two generations, read back byte for byte.
func TestRepository(t *testing.T) {
	t.Parallel()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		repository(t, store.Config{URL: "file://" + t.TempDir() + "/store"})
	})
	t.Run("bucket", func(t *testing.T) {
		t.Parallel()
		repository(t, bucket(t))
	})
}

func repository(t *testing.T, c store.Config) {
	ctx := t.Context()
	st, err := store.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := backup.Init(ctx, st, "acme", backup.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	chunks := make([][]byte, 20)
	for i := range chunks {
		chunks[i] = make([]byte, 4<<20)
		_, _ = random.Read(chunks[i]) // never fails
	}
	now := time.Date(2026, 11, 20, 14, 5, 0, 0, time.UTC)
	for generation := range 2 {
		w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		for i, data := range chunks {
			if err := w.Put(ctx, backup.Chunk{Part: "table/1", Ordinal: uint64(i), Rows: 1, Data: data}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Put(ctx, backup.Chunk{Part: "catalogue", Data: fmt.Appendf(nil, "generation %d", generation)}); err != nil {
			t.Fatal(err)
		}
		m, err := w.Commit(ctx, backup.Description{Point: now, Finished: now})
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(21 - 20*generation); m.Totals.NewChunks != want {
			t.Errorf("generation %d stored %d chunks, want %d", generation, m.Totals.NewChunks, want)
		}
	}
	backups, err := repo.List(ctx, "prod")
	if err != nil || len(backups) != 2 {
		t.Fatalf("got %d backups, %v", len(backups), err)
	}
	if got, want := backups[1].ID(), envdb.BackupID("20261120-140501"); got != want {
		t.Errorf("the second backup is %s, want the next second %s", got, want)
	}
	reader, err := repo.Open(ctx, backups[1].Manifest)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(reader.Stream(ctx, "table/1"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, bytes.Join(chunks, nil)) {
		t.Error("the part that was read is not the part that was written")
	}
}
