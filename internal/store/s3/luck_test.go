package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
)

// everyCall makes one call of each kind.
func everyCall(t *testing.T, st envdb.Store, check func(verb string, err error)) {
	t.Helper()
	_, err := st.Put(t.Context(), "k", strings.NewReader("x"), envdb.IfAbsent())
	check("put", err)
	_, err = st.Put(t.Context(), "large", strings.NewReader(strings.Repeat("x", s3.PartSize+1)), envdb.Condition{})
	check("put in parts", err)
	_, _, err = st.Get(t.Context(), "k", envdb.Span{})
	check("get", err)
	for _, err := range st.List(t.Context(), "") {
		check("list", err)
	}
	check("delete", st.Delete(t.Context(), "k"))
}

func wantEvery(t *testing.T, st envdb.Store, kind error, words ...string) {
	t.Helper()
	verbs := 0
	everyCall(t, st, func(verb string, err error) {
		verbs++
		if errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v looks like a missing object", verb, err)
		}
		wantProblem(t, err, kind, words...)
	})
	if verbs != 5 {
		t.Errorf("%d calls, want 5: one of them said nothing", verbs)
	}
}

func TestBadLuck(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	access, secret := server.Keys()
	config := func() s3.Config { return s3.Config{Bucket: server.Bucket(t), Endpoint: server.URL(), Patience: hasty} }

	t.Run("no such bucket", func(t *testing.T) {
		t.Parallel()
		c := config()
		c.Bucket = "envdb-is-not-here"
		wantEvery(t, open(t, c), envdb.ErrPreflight, "no bucket envdb-is-not-here", "create the bucket")
	})
	t.Run("not a bucket's name", func(t *testing.T) {
		t.Parallel()
		c := config()
		c.Bucket = "Not_A_Bucket"
		wantEvery(t, open(t, c), envdb.ErrMisuse, "store.url")
	})
	t.Run("wrong region", func(t *testing.T) {
		t.Parallel()
		c := config()
		c.Region = "eu-central-1"
		wantEvery(t, open(t, c), envdb.ErrPreflight, "region eu-central-1", "store.region")
	})
	for _, c := range []struct{ name, access, secret, word string }{
		{"unknown access key", "nobody", secret, "access key"},
		{"wrong secret key", access, "wrong", "secret key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st, err := s3.OpenAs(t.Context(), config(), c.access, c.secret, "")
			if err != nil {
				t.Fatal(err)
			}
			wantEvery(t, st, envdb.ErrPreflight, c.word, "AWS_PROFILE")
			everyCall(t, st, func(verb string, err error) {
				if state, next := envdb.Advice(err); strings.Contains(err.Error()+state+next, secret) {
					t.Errorf("%s: the secret is printed", verb)
				}
			})
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		t.Parallel()
		st, err := s3.OpenAs(t.Context(), config(), "", "", "")
		if err != nil {
			t.Fatal(err)
		}
		wantEvery(t, st, envdb.ErrPreflight, "no credentials", "AWS_ACCESS_KEY_ID")
	})
	for _, c := range []struct {
		fault s3test.Fault
		word  string
	}{{s3test.Expired, "expired"}, {s3test.Skewed, "clock"}, {s3test.Full, "full"}} {
		t.Run(c.fault.String(), func(t *testing.T) {
			t.Parallel()
			sc := newScene(t)
			sc.proxy.FailAll(c.fault)
			wantEvery(t, sc, envdb.ErrPreflight, c.word)
			everyCall(t, sc, func(verb string, err error) {
				if _, next := envdb.Advice(err); strings.Contains(next, "envdb expire") {
					t.Errorf("%s: %q names a command that this version lacks", verb, next)
				}
			})
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c := config()
		c.Endpoint = "http://" + l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wantEvery(t, open(t, c), envdb.ErrUnreachable, " does not answer, tried for ", "store.endpoint")
	})
	t.Run("no such host", func(t *testing.T) {
		t.Parallel()
		c := config()
		c.Endpoint = "http://envdb-test.invalid"
		wantEvery(t, open(t, c), envdb.ErrUnreachable, "store.endpoint")
	})
	for name, answer := range map[string]http.HandlerFunc{
		"not S3, 404":    http.NotFound,
		"not S3, a page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html><body>Welcome!</body></html>") },
		"not S3, silent": func(http.ResponseWriter, *http.Request) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := httptest.NewServer(answer)
			t.Cleanup(page.Close)
			c := config()
			c.Endpoint, c.Patience.Unreachable = page.URL, 500*time.Millisecond
			verbs := 0
			everyCall(t, open(t, c), func(verb string, err error) {
				verbs++
				// A 200 without a body is all that S3 says to a delete.
				if errors.Is(err, fs.ErrNotExist) || err == nil && verb != "delete" {
					t.Errorf("%s: got %v", verb, err)
				}
				if _, next := envdb.Advice(err); err != nil && !strings.Contains(next, "store.endpoint") {
					t.Errorf("%s: got %v, next %q", verb, err, next)
				}
			})
			if verbs != 5 {
				t.Errorf("%d calls, want 5: one of them said nothing", verbs)
			}
		})
	}
}

// Keys that may only read, or not delete, are told apart from broken ones.
func TestPolicies(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	c := s3.Config{Bucket: server.Bucket(t), Endpoint: server.URL(), Patience: hasty}
	owner := open(t, c)
	if _, err := owner.Put(t.Context(), "k", strings.NewReader("x"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	as := func(statements ...s3test.Statement) *s3.Store {
		u := server.User(t, c.Bucket, statements...)
		st, err := s3.OpenAs(t.Context(), c, u.AccessKey, u.SecretKey, "")
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	list := s3test.Statement{Actions: []string{"s3:ListBucket"}, Resources: []string{""}}
	outcome := func(st envdb.Store) map[string]error {
		errs := map[string]error{}
		everyCall(t, st, func(verb string, err error) { errs[verb] = err })
		return errs
	}

	errs := outcome(as(list, s3test.Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"*"}}))
	if errs["get"] != nil || errs["list"] != nil {
		t.Errorf("read-only: %v", errs)
	}
	for _, verb := range []string{"put", "put in parts", "delete"} {
		wantProblem(t, errs[verb], envdb.ErrPreflight, "do not allow", "policy")
	}

	errs = outcome(as(list, s3test.Statement{Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: []string{"*"}}))
	if errs["get"] != nil || errs["list"] != nil || errs["put in parts"] != nil || !errors.Is(errs["put"], envdb.ErrCondition) {
		t.Errorf("no delete: %v", errs)
	}
	wantProblem(t, errs["delete"], envdb.ErrPreflight, "do not allow", "policy")

	for _, err := range outcome(as(s3test.Statement{Actions: []string{"s3:GetObject"}, Resources: []string{"other/*"}})) {
		wantProblem(t, err, envdb.ErrPreflight, "policy")
	}
}

// A clock that is off is corrected for by the endpoint's, and is said once.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	sc := newScene(t, func(c *s3.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	sc.proxy.Skew(3 * time.Hour)
	everyCall(t, sc, func(verb string, err error) {
		if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	})
	if n := strings.Count(log.String(), "clock differs"); n != 1 {
		t.Errorf("said %d times: %s", n, log.String())
	}
	found, err := sc.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one := found.List[0]; one.Name != "clock" || one.Can != s3.Cannot || !strings.Contains(one.Detail, "3h0m0s") || found.Err() != nil {
		t.Errorf("got %+v, %v", one, found.Err())
	}
}

// Slow is not dead: what moves goes on, what stands still or trickles is cut
// and tried again, and in the end is an error and not a hang.
func TestSlowUploads(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", s3.PartSize+s3.PartSize/2)
	for _, c := range []struct {
		name  string
		fault s3test.Fault
		times int
		rate  int64
		fails bool
	}{
		{"stalls once", s3test.StallUpload, 1, 0, false},
		{"stalls always", s3test.StallUpload, 0, 0, true},
		{"slow but steady", s3test.Trickle, 0, 0, false},
		{"too slow", s3test.Trickle, 0, 6 << 20, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, watchful(c.fault), func(config *s3.Config) {
				config.Patience.Unreachable, config.Patience.Rate = 3*time.Second, c.rate
				if c.rate > 0 {
					config.Patience.Stalled = 600 * time.Millisecond
				}
			})
			sc.put(t, "other", "x", envdb.Condition{})
			sc.proxy.FailFirst("UploadPart", c.times, c.fault)
			begun := time.Now()
			_, err := sc.Put(t.Context(), "k", strings.NewReader(content), envdb.IfAbsent())
			if spent := time.Since(begun); spent > 30*time.Second {
				t.Errorf("it took %s", spent)
			}
			if !c.fails {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantProblem(t, err, envdb.ErrUnreachable, "network")
			if got := sc.content(t, "k"); got != "<none>" {
				t.Errorf("got an object of %d bytes", len(got))
			}
		})
	}
}

// The server is restarted in the middle of an upload.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := s3test.StartOwn(t)
	patient := hasty
	patient.Unreachable = 30 * time.Second
	st := open(t, s3.Config{Bucket: server.Bucket(t), Endpoint: server.URL(), Patience: patient})
	half := strings.Repeat("x", 2*s3.PartSize)
	body := io.MultiReader(strings.NewReader(half), readerFunc(func([]byte) (int, error) {
		if err := errors.Join(server.Stop(), server.Restart(t.Context())); err != nil {
			t.Error(err)
		}
		return 0, io.EOF
	}), strings.NewReader(half))
	if _, err := st.Put(t.Context(), "k", body, envdb.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), st, "k", envdb.Span{}); err != nil || got != half+half {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	down := open(t, s3.Config{Bucket: "envdb-any", Endpoint: server.URL(), Patience: hasty})
	_, _, err := down.Get(t.Context(), "k", envdb.Span{})
	wantProblem(t, err, envdb.ErrUnreachable)
}

// An endpoint that refuses a condition and hangs up before it has read the body
// sends an answer that never arrives; what stands under the key says the same.
func TestRefusalThatDoesNotArrive(t *testing.T) {
	t.Parallel()
	sc := newScene(t)
	first := sc.put(t, "k", "one", envdb.IfAbsent())
	sc.put(t, "k", "two", envdb.IfMatch(first))
	sc.proxy.FailFirst("PutObject", 0, s3test.Unanswered)
	for name, cond := range map[string]envdb.Condition{"absent": envdb.IfAbsent(), "match": envdb.IfMatch(first)} {
		if _, err := sc.Put(t.Context(), "k", strings.NewReader("three"), cond); !errors.Is(err, envdb.ErrCondition) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := sc.Put(t.Context(), "other", strings.NewReader("three"), envdb.IfAbsent())
	wantProblem(t, err, envdb.ErrUnreachable)
	if got := sc.content(t, "k"); got != "two" {
		t.Errorf("got %q", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A large object whose body fails, or whose context ends, leaves neither an
// object nor parts.
func TestAbandonedUploads(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		end  func(stop func()) error
		want error
	}{
		{"body fails", func(func()) error { return broken }, broken},
		{"stopped", func(stop func()) error { stop(); return nil }, context.Canceled},
		{"stopped, and then the body fails", func(stop func()) error { stop(); return broken }, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := newScene(t)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			body := io.MultiReader(strings.NewReader(strings.Repeat("x", 2*s3.PartSize+9)), readerFunc(func(p []byte) (int, error) {
				return len(p), c.end(stop)
			}))
			if _, err := sc.Put(ctx, "k", body, envdb.IfAbsent()); !errors.Is(err, c.want) && !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got := sc.content(t, "k"); got != "<none>" {
				t.Errorf("got an object of %d bytes", len(got))
			}
			if n := sc.proxy.Counts(); n["CreateMultipartUpload"] != 1 || n["AbortMultipartUpload"] != 1 {
				t.Errorf("calls: %v, want one upload begun and aborted", n)
			}
			sc.proxy.Skew(25 * time.Hour)
			if left, err := sc.Leftovers(t.Context()); err != nil || len(left) != 0 {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
}

// A listing of several pages is in order, whole, or an error.
func TestPages(t *testing.T) {
	t.Parallel()
	sc := newScene(t, func(c *s3.Config) { c.Prefix, c.Patience.Unreachable = "folder", 2*time.Second })
	const keys = 1100
	var group errgroup.Group
	group.SetLimit(8)
	for i := range keys {
		group.Go(func() error {
			_, err := sc.direct.Put(t.Context(), fmt.Sprintf("folder/p/%04d", i), strings.NewReader(""), envdb.Condition{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fault s3test.Fault
		times int
		whole bool
	}{{s3test.Pass, 0, true}, {s3test.ResetBody, 1, true}, {s3test.FewerKeys, 1, true}, {s3test.FewerKeys, 0, false}, {s3test.ShortBody, 0, false}, {s3test.Refused, 0, false}} {
		page, failed := 0, 0
		sc.proxy.Rule(func(call s3test.Call) s3test.Fault {
			if call.Operation != "ListObjectsV2" {
				return s3test.Pass
			}
			if page++; page == 1 {
				return s3test.Pass
			}
			if failed++; c.times > 0 && failed > c.times {
				return s3test.Pass
			}
			return c.fault
		})
		seen, last := 0, error(nil)
		for object, err := range sc.List(t.Context(), "p/") {
			if last != nil {
				t.Fatalf("%s: it went on after an error", c.fault)
			}
			if last = err; err == nil {
				if want := fmt.Sprintf("p/%04d", seen); object.Key != want {
					t.Fatalf("%s: got %s, want %s", c.fault, object.Key, want)
				}
				seen++
			}
		}
		if c.whole != (last == nil) || c.whole && seen != keys {
			t.Errorf("%s, %d times: got %d keys, %v", c.fault, c.times, seen, last)
		}
	}
}

// Parts of a writer that died are found when they are a day old, and removed.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	sc := newScene(t, func(c *s3.Config) { c.Prefix = "folder" })
	sc.proxy.Rule(func(c s3test.Call) s3test.Fault {
		if c.Operation == "AbortMultipartUpload" || c.Operation == "CompleteMultipartUpload" {
			return s3test.Refused // as if the writer was killed
		}
		return s3test.Pass
	})
	if _, err := sc.Put(t.Context(), "a b/k", strings.NewReader(strings.Repeat("x", s3.PartSize+7)), envdb.Condition{}); err == nil {
		t.Fatal("it was written")
	}
	sc.proxy.Rule(nil)
	if found, err := sc.Leftovers(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("at once: got %v, %v", found, err)
	}
	sc.proxy.Skew(25 * time.Hour)
	found, err := sc.Leftovers(t.Context())
	if err != nil || len(found) != 1 || found[0].Path != "a b/k" || found[0].Size != s3.PartSize+7 {
		t.Fatalf("got %+v, %v", found, err)
	}
	if removed, err := sc.Clean(t.Context()); err != nil || len(removed) != 1 {
		t.Errorf("got %+v, %v", removed, err)
	}
	if found, err := sc.Leftovers(t.Context()); err != nil || len(found) != 0 {
		t.Errorf("afterwards: got %v, %v", found, err)
	}
	if got := sc.content(t, "a b/k"); got != "<none>" {
		t.Errorf("got an object of %d bytes", len(got))
	}
}

// Configurations that cannot be meant are refused, and keys are not repeated.
func TestConfigurations(t *testing.T) {
	t.Parallel()
	for _, c := range []s3.Config{
		{}, {Bucket: "a/b"}, {Bucket: "b", Endpoint: "host:9000"}, {Bucket: "b", Endpoint: "https://key:hidden@host"}, {Bucket: "b", Endpoint: "ftp://host"},
		{Bucket: "b", Profile: "nonsense"}, {Bucket: "b", Prefix: "a/../b"}, {Bucket: "b", SingleWriter: "a/b"}, {Bucket: "b", Endpoint: "https://host?x=hidden"},
	} {
		_, err := s3.Open(t.Context(), c)
		if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrMisuse) || next == "" || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%+v: got %v, next %q", c, err, next)
		}
	}
	for endpoint, want := range map[string]s3.Profile{
		"": s3.AWS, "https://s3.eu-central-1.amazonaws.com": s3.AWS, "https://abc.r2.cloudflarestorage.com": s3.R2, "https://abc.eu.r2.cloudflarestorage.com": s3.R2,
		"https://s3.us-west-004.backblazeb2.com": s3.B2, "http://127.0.0.1:9000": s3.Generic, "https://notamazonaws.com": s3.Generic,
	} {
		if _, got := open(t, s3.Config{Bucket: "b", Endpoint: endpoint}).Endpoint(); got != want {
			t.Errorf("%s: got %s, want %s", endpoint, got, want)
		}
	}
	for _, profile := range s3.Profiles() {
		if _, got := open(t, s3.Config{Bucket: "b", Endpoint: "http://127.0.0.1:1", Profile: profile}).Endpoint(); got != profile {
			t.Errorf("got %s, want %s", got, profile)
		}
	}
}

// Every profile keeps the contract of conditions, whatever the endpoint is.
func TestProfiles(t *testing.T) {
	t.Parallel()
	server := s3test.Start(t)
	for _, profile := range s3.Profiles() {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			style := true // versitygw has no names of buckets in its host name
			st := open(t, s3.Config{Bucket: server.Bucket(t), Endpoint: server.URL(), Profile: profile, PathStyle: &style, Region: "us-east-1", Patience: hasty})
			for _, size := range []int{0, 3, s3.PartSize - 1, s3.PartSize, s3.PartSize + 1} {
				content := strings.Repeat("x", size)
				tag, err := st.Put(t.Context(), "k", strings.NewReader(content), envdb.IfAbsent())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := st.Put(t.Context(), "k", strings.NewReader(content), envdb.IfAbsent()); !errors.Is(err, envdb.ErrCondition) {
					t.Errorf("%d bytes: got %v, want ErrCondition", size, err)
				}
				if _, err := st.Put(t.Context(), "k", strings.NewReader(content+"y"), envdb.IfMatch(tag)); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
				if _, err := st.Put(t.Context(), "k", strings.NewReader(content), envdb.IfMatch(tag)); !errors.Is(err, envdb.ErrCondition) {
					t.Errorf("%d bytes: got %v, want ErrCondition", size, err)
				}
				if got, err := read(t.Context(), st, "k", envdb.Span{}); err != nil || got != content+"y" {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
				if err := st.Delete(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The tests' keys are the only ones in sight.
func TestEnvironmentIsTheTests(t *testing.T) {
	t.Parallel()
	access, _ := s3test.Start(t).Keys()
	if os.Getenv("AWS_ACCESS_KEY_ID") != access || os.Getenv("AWS_SESSION_TOKEN") != "" || os.Getenv("AWS_PROFILE") != "" {
		t.Error("the environment has other credentials")
	}
}
