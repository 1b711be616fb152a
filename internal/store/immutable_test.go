package store_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store"
)

// A service that takes packs, indexes and manifests only under the condition
// that they are not there yet, as docs/policies/immutable.json has AWS do,
// takes all that envdb writes: backups in one request and in parts, and the
// void of one that was given up.
func TestBackupsAreWrittenOnce(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	kinds := map[string]int{}
	proxy.Rule(func(c s3test.Call) s3test.Fault { // one at a time
		isBackup := strings.Contains(c.Key, "/packs/") || strings.Contains(c.Key, "/backups/")
		creates := c.Operation == "PutObject" || c.Operation == "CompleteMultipartUpload"
		switch {
		case !isBackup || !creates:
			return s3test.Pass
		case !c.Absent:
			return s3test.Refused
		}
		kinds[c.Operation+" "+c.Key[strings.LastIndexByte(c.Key, '/')+1:]]++
		return s3test.Pass
	})
	st, err := store.Open(ctx, store.Config{URL: "s3://" + server.Bucket(t) + "/envdb", Endpoint: proxy.URL(), Profile: "aws", PathStyle: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	repo, err := backup.Init(ctx, st, "acme", backup.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 14, 5, 0, 0, time.UTC)
	random := rand.NewChaCha8([32]byte{1})
	begin := func() *backup.Writer {
		w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: now, Run: "dead"})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, size := range []int{100, 9 << 20} { // a request, and parts of 6 MiB
		w, data := begin(), make([]byte, size)
		_, _ = random.Read(data) // never fails
		if err := w.Put(ctx, backup.Chunk{Part: "table/1", Rows: 1, Data: data}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Commit(ctx, backup.Description{Point: now, Finished: now}); err != nil {
			t.Fatal(err)
		}
	}
	begin() // and dies
	left, err := repo.Leftovers(ctx, "prod", func(string) (bool, error) { return true, nil })
	if err != nil || len(left) != 1 {
		t.Fatalf("leftovers: got %+v, %v, want one", left, err)
	}
	if err := repo.RemoveLeftover(ctx, "prod", left[0]); err != nil {
		t.Fatal(err)
	}
	report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
	if err != nil || !report.OK() || len(report.Backups) != 2 {
		t.Errorf("verify: got %+v, %v", report, err)
	}
	for kind, want := range map[string]int{"PutObject 000001": 1, "CompleteMultipartUpload 000001": 1, "PutObject index": 2, "PutObject manifest": 3} {
		if kinds[kind] != want {
			t.Errorf("%s: %d, want %d; all: %v", kind, kinds[kind], want, kinds)
		}
	}
}
