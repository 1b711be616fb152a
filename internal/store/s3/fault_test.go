package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
)

// hasty is patience for tests: short, and yet long enough for a machine that
// is busy with other tests.
var hasty = s3.Patience{Throttled: 10 * time.Second, Unreachable: 6 * time.Second, Stalled: 5 * time.Second, Backoff: 2 * time.Millisecond}

// watchful sees soon that a connection stands still, where a fault lets it.
func watchful(faults ...s3test.Fault) func(*s3.Config) {
	return func(c *s3.Config) {
		for _, f := range faults {
			if f == s3test.Stall || f == s3test.StallBody || f == s3test.StallUpload {
				c.Patience.Stalled = 600 * time.Millisecond
			}
		}
	}
}

// scene is a store behind a proxy.
type scene struct {
	*s3.Store
	proxy  *s3test.Proxy
	direct *s3.Store // past the proxy
	config s3.Config
	log    *bytes.Buffer
}

func newScene(t testing.TB, change ...func(*s3.Config)) *scene {
	t.Helper()
	server := s3test.Start(t)
	sc := &scene{proxy: s3test.NewProxy(t, server), log: &bytes.Buffer{}}
	sc.config = s3.Config{Bucket: server.Bucket(t), Endpoint: server.URL(), Patience: hasty, Profile: s3.VersityGW}
	sc.direct = open(t, sc.config)
	sc.config.Endpoint = sc.proxy.URL()
	for _, c := range change {
		c(&sc.config)
	}
	sc.Store = open(t, sc.config)
	return sc
}

func (sc *scene) put(t testing.TB, key, content string, cond envdb.Condition) envdb.Tag {
	t.Helper()
	tag, err := sc.Put(t.Context(), key, strings.NewReader(content), cond)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return tag
}

// content reads an object past the proxy; "<none>" if there is none.
func (sc *scene) content(t testing.TB, key string) string {
	t.Helper()
	text, err := read(t.Context(), sc.direct, key, envdb.Span{})
	if errors.Is(err, fs.ErrNotExist) {
		return "<none>"
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func read(ctx context.Context, st envdb.Store, key string, span envdb.Span) (string, error) {
	body, _, err := st.Get(ctx, key, span)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(body)
	return string(content), errors.Join(err, body.Close())
}

// wantProblem wants an error of a kind that says what to do.
func wantProblem(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	state, next := envdb.Advice(err)
	if !errors.Is(err, kind) || state == "" || next == "" {
		t.Errorf("got %v\nstate %q, next %q; want %v with advice", err, state, next, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+"\n"+state+"\n"+next, word) {
			t.Errorf("got %v\nstate %q, next %q; want %q in it", err, state, next, word)
		}
	}
}

// What happens once is survived by every operation, and changes no outcome.
func TestOneFaultIsSurvived(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", s3.PartSize/16) + "two parts"
	for _, fault := range s3test.Faults() {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, watchful(fault))
			first := sc.put(t, "lease", "one", envdb.Condition{})
			before := sc.proxy.Count()
			run := func() {
				second := sc.put(t, "lease", "two", envdb.IfMatch(first))
				first = sc.put(t, "lease", "one", envdb.IfMatch(second))
				sc.put(t, "intent", "mine", envdb.IfAbsent())
				sc.put(t, "pack", large, envdb.IfAbsent())
				if got, err := read(t.Context(), sc, "pack", envdb.Span{Offset: 5, Length: 1 << 20}); err != nil || got != large[5:5+1<<20] {
					t.Errorf("read: got %d bytes, %v", len(got), err)
				}
				var keys []string
				for object, err := range sc.List(t.Context(), "") {
					if err != nil {
						t.Errorf("list: %v", err)
					}
					keys = append(keys, object.Key)
				}
				if fmt.Sprint(keys) != "[intent lease pack]" {
					t.Errorf("list: got %v", keys)
				}
				for _, key := range []string{"intent", "pack"} {
					if err := sc.Delete(t.Context(), key); err != nil {
						t.Errorf("delete: %v", err)
					}
				}
			}
			run()
			calls := sc.proxy.Count() - before
			for n := 1; n <= calls; n++ {
				sc.proxy.FailNth(n, fault)
				run()
				if t.Failed() {
					t.Fatalf("call %d of %d: %v", n, calls, sc.proxy.Calls()[before:])
				}
				before = sc.proxy.Count()
			}
			t.Logf("%s: %d calls, each failed in turn", fault, calls)
		})
	}
}

// Our own write, whose answer was lost, is no other's; another's is.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	first := sc.put(t, "k", "one", envdb.Condition{})
	sc.proxy.FailFirst("PutObject", 1, s3test.Lost)
	second := sc.put(t, "k", "two", envdb.IfMatch(first))
	sc.proxy.Rule(nil)
	sc.put(t, "k", "three", envdb.IfMatch(second)) // the tag is the real one

	sc.proxy.FailFirst("PutObject", 1, s3test.Unanswered)
	if _, err := sc.direct.Put(t.Context(), "k", strings.NewReader("four"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	if _, err := sc.Put(t.Context(), "k", strings.NewReader("five"), envdb.IfMatch(second)); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("over another's write: got %v, want ErrCondition", err)
	}
	sc.proxy.FailFirst("PutObject", 1, s3test.Unanswered)
	if _, err := sc.Put(t.Context(), "k", strings.NewReader("six"), envdb.IfAbsent()); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("over another's write: got %v, want ErrCondition", err)
	}
	if got := sc.content(t, "k"); got != "four" {
		t.Errorf("got %q", got)
	}
	// Ours came through and was replaced before we asked again: it is lost.
	lost := false
	sc.proxy.Rule(func(c s3test.Call) s3test.Fault {
		if c.Operation == "PutObject" && !lost {
			lost = true
			return s3test.Lost
		}
		if c.Operation == "PutObject" {
			if _, err := sc.direct.Put(context.Background(), "k2", strings.NewReader("theirs"), envdb.Condition{}); err != nil {
				t.Error(err)
			}
		}
		return s3test.Pass
	})
	if _, err := sc.Put(t.Context(), "k2", strings.NewReader("mine"), envdb.IfAbsent()); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("replaced at once: got %v, want ErrCondition", err)
	}
}

// A multipart upload is complete when the object is there, not when S3 says so.
func TestComplete(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", s3.PartSize+1)
	for _, c := range []struct {
		name  string
		fault s3test.Fault
		times int
		kind  error // nil: it is written
	}{
		{"200 with an error, once", s3test.Refuse200, 1, nil},
		{"200 with an error, though it was done", s3test.Refuse200Done, 1, nil},
		{"a lost answer", s3test.Lost, 1, nil},
		{"200 with an error, though it was done, always", s3test.Refuse200Done, 0, nil},
		{"lost answers, always", s3test.Lost, 0, nil},
		{"200 with an error, always", s3test.Refuse200, 0, envdb.ErrUnreachable},
		{"conflict, once", s3test.Conflict, 1, nil},
		{"refused", s3test.Refused, 0, envdb.ErrPreflight},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, func(config *s3.Config) {
				if c.times == 0 {
					config.Patience.Unreachable = time.Second
				}
			})
			sc.proxy.FailFirst("CompleteMultipartUpload", c.times, c.fault)
			tag, err := sc.Put(t.Context(), "k", strings.NewReader(content), envdb.IfAbsent())
			if c.kind != nil {
				wantProblem(t, err, c.kind)
				if got := sc.content(t, "k"); got != "<none>" {
					t.Errorf("got an object of %d bytes", len(got))
				}
				if sc.proxy.Counts()["AbortMultipartUpload"] == 0 {
					t.Error("the parts were left behind")
				}
				return
			}
			if err != nil || sc.content(t, "k") != content {
				t.Fatalf("got %v", err)
			}
			sc.proxy.Rule(nil)
			sc.put(t, "k", "small", envdb.IfMatch(tag))
		})
	}
}

// What was assembled of parts is read back, however S3 answered: here another
// write stands there by then.
func TestWhatWasAssembledIsReadBack(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	sc.proxy.Rule(func(c s3test.Call) s3test.Fault {
		if c.Operation == "HeadObject" {
			if _, err := sc.direct.Put(context.Background(), "k", strings.NewReader("theirs"), envdb.Condition{}); err != nil {
				t.Error(err)
			}
		}
		return s3test.Pass
	})
	_, err := sc.Put(t.Context(), "k", strings.NewReader(strings.Repeat("x", s3.PartSize+1)), envdb.Condition{})
	wantProblem(t, err, envdb.ErrBusy, "replaced")
}

// A connection that breaks in the middle of a body is taken up where it broke,
// for the same state of the object.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	content := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(content) // never fails
	for _, fault := range []s3test.Fault{s3test.ResetBody, s3test.ShortBody, s3test.StallBody} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, watchful(fault))
			sc.put(t, "k", string(content), envdb.Condition{})
			sc.proxy.FailFirst("GetObject", 3, fault)
			got, err := read(t.Context(), sc, "k", envdb.Span{Offset: 100})
			if err != nil || got != string(content[100:]) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
			// It always breaks: an error, and never a short read.
			sc.proxy.FailFirst("GetObject", 0, fault)
			_, err = read(t.Context(), sc, "k", envdb.Span{Length: 3000})
			wantProblem(t, err, envdb.ErrUnreachable)
			// Another object stands there when it goes on.
			sc.proxy.Rule(func(c s3test.Call) s3test.Fault {
				if c.Operation != "GetObject" {
					return s3test.Pass
				}
				return fault
			})
			body, _, err := sc.Get(t.Context(), "k", envdb.Span{})
			if err != nil {
				t.Fatal(err)
			}
			sc.proxy.Rule(nil)
			if _, err := sc.direct.Put(t.Context(), "k", bytes.NewReader(make([]byte, len(content))), envdb.Condition{}); err != nil {
				t.Fatal(err)
			}
			_, err = io.ReadAll(body)
			wantProblem(t, err, envdb.ErrBusy, "replaced")
		})
	}
}

// A range of which half came, with a length that fits that half, is half read.
func TestHalfRanges(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	content := strings.Repeat("0123456789", 10000)
	sc.put(t, "k", content, envdb.Condition{})
	span := envdb.Span{Offset: 10, Length: 90000}
	sc.proxy.FailFirst("GetObject", 3, s3test.HalfList)
	if got, err := read(t.Context(), sc, "k", span); err != nil || got != content[10:90010] {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	sc.proxy.FailFirst("GetObject", 0, s3test.HalfList)
	_, err := read(t.Context(), sc, "k", span)
	wantProblem(t, err, envdb.ErrUnreachable)
}

// Half of a listing is an error, or is asked for again; never a short list.
func TestHalfListings(t *testing.T) {
	t.Parallel()
	for _, fault := range []s3test.Fault{s3test.HalfList, s3test.FewerKeys, s3test.EndlessList, s3test.ShortBody, s3test.ResetBody, s3test.StallBody} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, watchful(fault), func(c *s3.Config) { c.Patience.Unreachable = 1500 * time.Millisecond })
			for i := range 8 {
				sc.put(t, fmt.Sprintf("k%d", i), "x", envdb.Condition{})
			}
			count := func(times int) (keys int, failed error) {
				sc.proxy.FailFirst("ListObjectsV2", times, fault)
				for _, err := range sc.List(t.Context(), "k") {
					if failed = err; err == nil {
						keys++
					}
				}
				return keys, failed
			}
			if keys, err := count(1); keys != 8 || err != nil {
				t.Errorf("once: got %d keys, %v", keys, err)
			}
			keys, err := count(0)
			if keys != 0 {
				t.Errorf("always: got %d keys", keys)
			}
			wantProblem(t, err, envdb.ErrUnreachable)
		})
	}
}

// What an endpoint says for good is said to the person, at once.
func TestRefusals(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	sc.put(t, "k", "x", envdb.Condition{})
	for _, c := range []struct {
		fault s3test.Fault
		kind  error
		word  string
	}{
		{s3test.Refused, envdb.ErrPreflight, "policy"},
		{s3test.Full, envdb.ErrPreflight, "full"},
		{s3test.Redirect, envdb.ErrPreflight, "store.region"},
	} {
		sc.proxy.FailAll(c.fault)
		before := sc.proxy.Count()
		_, err := sc.Put(t.Context(), "k", strings.NewReader("y"), envdb.Condition{})
		wantProblem(t, err, c.kind, c.word)
		_, _, err = sc.Get(t.Context(), "k", envdb.Span{})
		wantProblem(t, err, c.kind, c.word)
		wantProblem(t, sc.Delete(t.Context(), "k"), c.kind, c.word)
		for _, err := range sc.List(t.Context(), "") {
			wantProblem(t, err, c.kind, c.word)
		}
		if got := sc.proxy.Count() - before; got != 4 {
			t.Errorf("%s: %d calls, want 4: a refusal is not repeated", c.fault, got)
		}
	}
	sc.proxy.FailAll(s3test.NotImplemented)
	_, err := sc.Put(t.Context(), "new", strings.NewReader("y"), envdb.IfAbsent())
	wantProblem(t, err, envdb.ErrPreflight, "single_writer")
}

// Throttling is waited out up to patience, and then is an error.
func TestThrottling(t *testing.T) {
	t.Parallel()
	for _, fault := range []s3test.Fault{s3test.SlowDown, s3test.TooMany} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, func(c *s3.Config) { c.Patience.Throttled = time.Second })
			sc.proxy.FailFirst("PutObject", 6, fault)
			sc.put(t, "k", "x", envdb.IfAbsent())
			if got := sc.Calls(); got["PutObject"] != 7 || got["retries"] != 6 {
				t.Errorf("counted %v, want 7 PutObject and 6 retries", got)
			}
			sc.proxy.FailAll(fault)
			begun := time.Now()
			_, err := sc.Put(t.Context(), "k", strings.NewReader("y"), envdb.Condition{})
			wantProblem(t, err, envdb.ErrUnreachable, "slow down")
			if spent := time.Since(begun); spent > 2*time.Second {
				t.Errorf("it took %s", spent)
			}
			ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer stop()
			if _, err := sc.Put(ctx, "k", strings.NewReader("y"), envdb.Condition{}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's error", err)
			}
		})
	}
}

// A small object that is replaced while the connection breaks is read as it is
// now: leases are such objects.
func TestSmallObjectReplacedWhileItIsRead(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	sc.put(t, "k", strings.Repeat("old", 1000), envdb.Condition{})
	var reads atomic.Int32
	sc.proxy.Rule(func(c s3test.Call) s3test.Fault {
		if c.Operation != "GetObject" {
			return s3test.Pass
		}
		switch reads.Add(1) {
		case 1:
			return s3test.ResetBody
		case 2: // asks for the rest
			if _, err := sc.direct.Put(context.Background(), "k", strings.NewReader("new"), envdb.Condition{}); err != nil {
				t.Error(err)
			}
		}
		return s3test.Pass
	})
	got, err := read(t.Context(), sc, "k", envdb.Span{})
	if err != nil || got != "new" {
		t.Errorf("got %d bytes, %v; want what replaced them", len(got), err)
	}
}
