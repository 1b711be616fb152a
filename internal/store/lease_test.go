package store_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store"
	"github.com/envdb/envdb/internal/store/s3"
)

// Machines fight for a lease in a bucket, each on a bad connection to it: they
// take turns, and never two hold it, though answers to the writes that decide
// are lost.
func TestLeasesInABucket(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	url := "s3://" + server.Bucket(t) + "/envdb"
	faults := []s3test.Fault{s3test.Lost, s3test.Unanswered, s3test.SlowDown, s3test.Conflict, s3test.Broken, s3test.ResetBody}
	var inside, turns, injected atomic.Int32
	var group sync.WaitGroup
	for i := range 4 {
		proxy := s3test.NewProxy(t, server)
		proxy.Rule(func(c s3test.Call) s3test.Fault {
			if c.N%3 != i%3 {
				return s3test.Pass
			}
			injected.Add(1)
			return faults[(c.N/3+i)%len(faults)]
		})
		st, err := store.Open(t.Context(), store.Config{URL: url, Endpoint: proxy.URL(), Patience: s3.Patience{Backoff: time.Millisecond}})
		if err != nil {
			t.Fatal(err)
		}
		book := ledger.New(st, "acme", ledger.Config{Host: fmt.Sprint("host", i), Log: slog.New(slog.DiscardHandler)})
		group.Go(func() {
			for range 3 {
				lease, err := book.Exclude(t.Context(), "prod-copy", ledger.Claim{Run: book.NewRunID(), Operation: envdb.OpMirror, Wait: time.Minute})
				if err != nil {
					t.Errorf("host %d: %v", i, err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lease", n)
				}
				turns.Add(1)
				inside.Add(-1)
				if err := lease.Release(t.Context()); err != nil {
					t.Errorf("host %d: %v", i, err)
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d turns, %d faults", turns.Load(), injected.Load())
	if turns.Load() != 12 || injected.Load() < 12 {
		t.Errorf("%d turns with %d faults, want 12 with at least as many", turns.Load(), injected.Load())
	}
}

// The ledger's own probe holds on a bucket, and says which do not do.
func TestLedgerProbesABucket(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	proxy := s3test.NewProxy(t, server)
	c := store.Config{URL: "s3://" + server.Bucket(t), Endpoint: proxy.URL()}
	probe := func(c store.Config) error {
		st, err := store.Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return ledger.Probe(t.Context(), st)
	}
	if err := probe(c); err != nil {
		t.Error(err)
	}
	proxy.FailAll(s3test.Unconditional)
	if _, next := envdb.Advice(probe(c)); next == "" {
		t.Error("conditions are ignored, and nobody said so")
	}
	c.SingleWriter = "host-1"
	if err := probe(c); err != nil {
		t.Errorf("a single writer: %v", err)
	}
}
