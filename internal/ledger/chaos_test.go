package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
)

// flaky is one machine's way to the store: it is cut at times, and answers get
// lost on it.
type flaky struct {
	envdb.Store
	mu     sync.Mutex
	random *rand.Rand
	cut    atomic.Bool
}

func (f *flaky) chance(of float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.Float64() < of
}

func (f *flaky) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if f.cut.Load() || f.chance(0.03) {
		return nil, envdb.Object{}, down("get", key)
	}
	return f.Store.Get(ctx, key, span)
}

func (f *flaky) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if f.cut.Load() || f.chance(0.03) {
		return "", down("put", key)
	}
	tag, err := f.Store.Put(ctx, key, body, cond)
	switch {
	case f.chance(0.05): // done, but the answer is lost
		return "", down("put", key)
	case err == nil && f.chance(0.05): // done, and done again by a client that lost the answer
		return "", envdb.ErrCondition
	}
	return tag, err
}

// TestNeverTwoWriters lets machines with bad connections fight for a lease for
// hours: at no moment may two of them, or one and a reader, work under it.
func TestNeverTwoWriters(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { fight(t, seed) })
		})
	}
}

func fight(t *testing.T, seed uint64) {
	st := &memory{}
	var writers, readers, worked, taken, lost atomic.Int32
	var wg sync.WaitGroup
	end := time.Now().Add(2 * time.Hour)
	for m := range uint64(5) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, m))
			way := &flaky{Store: st, random: rand.New(rand.NewPCG(seed, m+100))}
			l := on(fmt.Sprint("machine-", m), way)
			for time.Now().Before(end) {
				time.Sleep(time.Duration(random.Int64N(int64(20 * time.Second))))
				way.cut.Store(false)
				mine, others, acquire := &writers, &readers, l.Exclude
				if random.Float64() < 0.3 {
					mine, others, acquire = &readers, &writers, l.Share
				}
				lease, err := acquire(t.Context(), "prod", claim(fmt.Sprint("run-", m)))
				if err != nil {
					if !errors.Is(err, envdb.ErrBusy) && !errors.Is(err, envdb.ErrUnreachable) {
						t.Errorf("acquire: %v", err)
					}
					continue
				}
				taken.Add(int32(len(lease.TakenOver())))
				if n := mine.Add(1); others.Load() > 0 || mine == &writers && n > 1 {
					t.Errorf("%d writers and %d readers at once", writers.Load(), readers.Load())
				}
				worked.Add(1)
				way.cut.Store(random.Float64() < 0.3)
				select {
				case <-time.After(time.Duration(random.Int64N(int64(time.Minute)))):
				case <-lease.Context().Done():
					lost.Add(1)
				}
				mine.Add(-1)
				_ = lease.Release(t.Context()) // fails when the way is cut
			}
		})
	}
	wg.Wait()
	t.Logf("%d leases, %d lost, %d taken over", worked.Load(), lost.Load(), taken.Load())
	if worked.Load() < 50 || lost.Load() == 0 || taken.Load() == 0 {
		t.Errorf("%d leases, %d lost, %d taken over: too little happened", worked.Load(), lost.Load(), taken.Load())
	}
}
