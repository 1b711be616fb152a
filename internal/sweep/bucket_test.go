package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/dir"
	"github.com/envdb/envdb/internal/store/s3"
)

// bucket is a store on an S3 server, behind a proxy that makes requests fail.
// Each round has a folder of its own.
type bucket struct {
	server *s3test.Server
	proxy  *s3test.Proxy
	name   string
	folder string
}

// patient bounds what the store waits for, so that a fault that lasts ends
// soon.
var patient = s3.Patience{Throttled: 2 * time.Second, Unreachable: 2 * time.Second, Stalled: time.Second, Backoff: 5 * time.Millisecond}

// toBucket moves a scene's frozen store into a bucket.
func (s *scene) toBucket(t *testing.T) *scene {
	t.Helper()
	server := s3test.Start(t)
	s.bucket = &bucket{server: server, proxy: s3test.NewProxy(t, server), name: server.Bucket(t)}
	return s
}

// thaw copies the frozen store into a new folder, and returns that as a store.
func (b *bucket) thaw(t *testing.T, frozen string) envdb.Store {
	t.Helper()
	from, err := dir.Open(frozen)
	if err != nil {
		t.Fatal(err)
	}
	b.proxy.Rule(nil)
	b.folder = fmt.Sprintf("round/%d", serial.Add(1))
	st := b.open(t, b.server.URL())
	for object, err := range from.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := from.Get(t.Context(), object.Key, envdb.Span{})
		if err == nil {
			_, err = st.Put(t.Context(), object.Key, body, envdb.Condition{})
			err = errors.Join(err, body.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// open returns the round's store, at the server's or the proxy's address.
func (b *bucket) open(t *testing.T, endpoint string) envdb.Store {
	t.Helper()
	st, err := s3.Open(t.Context(), s3.Config{Bucket: b.name, Prefix: b.folder, Endpoint: endpoint, Patience: patient})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// requestFault is how a request fails: once, or all from it on.
type requestFault struct {
	fault s3test.Fault
	on    bool
}

func (f requestFault) String() string {
	if f.on {
		return f.fault.String() + " from here on"
	}
	return f.fault.String()
}

// requestFaults are all the ways. What an unlucky network does once, the
// store's own retries survive.
func requestFaults() []requestFault {
	all := []requestFault{{s3test.SlowDown, true}, {s3test.Refused, true}, {s3test.Unanswered, true}, {s3test.Refuse200Done, false}}
	for _, f := range s3test.Faults() {
		all = append(all, requestFault{f, false})
	}
	return all
}

// requestBound is how long an operation may take that is told to slow down
// for ever: the patience of the store for the call, and for each that tidies
// up.
const requestBound = 60 * time.Second

// Every request to a bucket fails in turn.
func TestSweepBucket(t *testing.T) {
	t.Parallel()
	for _, op := range append(operations(), inParts()) {
		if op.requests == 0 && !everything() {
			continue
		}
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			var sum tally
			t.Run("sweep", func(t *testing.T) {
				shards := op.spread() / op.shards // one, but in `make sweep-all`
				for shard := range shards {
					t.Run(fmt.Sprint(shard+1), func(t *testing.T) {
						t.Parallel()
						s := op.scene(t).toBucket(t)
						requests := s.requests(t, op)
						sum.counted(len(requests))
						kinds := requestFaults()
						for i, at := range requests {
							for j, f := range kinds {
								mine := (i*len(kinds)+j)%shards == shard
								if mine && (everything() || completes(at) || i%op.requests == 0 && j == (i/op.requests)%len(kinds)) {
									sum.add(s.failRequest(t, op, i, at, f))
								}
							}
						}
					})
				}
			})
			sum.log(t, op.name+" on S3", "requests", len(requestFaults()))
		})
	}
}

// completes reports whether a request makes an object of its parts: it fails in
// every way, also in that S3 says 200 and means an error.
func completes(at step) bool { return strings.Contains(at.text, "CompleteMultipartUpload") }

// requests lists those of an undisturbed run.
func (s *scene) requests(t *testing.T, op operation) (all []step) {
	t.Helper()
	for i := range 2 {
		r := s.begin(t, op, "undisturbed on S3")
		var seen counter
		s.bucket.proxy.Rule(func(c s3test.Call) s3test.Fault { seen.next(s.bucket.text(c)); return s3test.Pass })
		s.proxy.arm(nil)
		err := s.do(t.Context(), s.bucket.open(t, s.bucket.proxy.URL()), r.command)
		r.answered(err)
		r.converges(0)
		if err != nil || t.Failed() {
			t.Fatalf("%s: undisturbed on S3: %s", op.name, problem(err))
		}
		if all == nil {
			all = seen.steps()
		}
		if i == 1 {
			all = inBoth(all, seen.steps())
		}
	}
	return all
}

func (b *bucket) text(c s3test.Call) string {
	return c.Operation + " " + strings.TrimPrefix(c.Key, b.folder+"/")
}

// failRequest runs the operation with a request failing.
func (s *scene) failRequest(t *testing.T, op operation, n int, at step, f requestFault) (outcome, time.Duration) {
	t.Helper()
	r := s.begin(t, op, fmt.Sprintf("%s at request %s", f, at))
	var seen counter
	var happened atomic.Bool
	s.bucket.proxy.Rule(func(c s3test.Call) s3test.Fault {
		if seen.next(s.bucket.text(c)) == at || f.on && happened.Load() {
			happened.Store(true)
			return f.fault
		}
		return s3test.Pass
	})
	s.proxy.arm(nil)
	began := time.Now()
	err := within(t.Context(), requestBound, func(ctx context.Context) error {
		return s.do(ctx, s.bucket.open(t, s.bucket.proxy.URL()), r.command)
	})
	took := time.Since(began)
	if errors.Is(err, errTooLong) {
		r.errorf("it took %s: %s", took, problem(err))
	}
	if err != nil && happened.Load() && !f.on && f.fault != s3test.Refuse200Done {
		r.errorf("one such answer is not survived: %s", problem(err))
	}
	r.answered(err)
	r.converges(n)
	return outcomeOf(happened.Load(), err), took
}
