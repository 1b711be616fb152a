// Package storetest is the conformance suite of envdb.Store: every
// implementation runs it, so that the rest of envdb need not know which one it
// speaks to.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/envdb/envdb"
)

// Run tests the stores that open returns: every call of one open in one test
// is a new, empty store. Stores that can be opened twice are tested with
// several handles as well, see RunShared.
func Run(t *testing.T, open func(testing.TB) envdb.Store) {
	RunShared(t, func(tb testing.TB) func() envdb.Store {
		st := open(tb)
		return func() envdb.Store { return st }
	})
}

// RunShared is Run for stores that can be opened several times: create returns
// a function that opens another handle of one new, empty store.
func RunShared(t *testing.T, create func(testing.TB) func() envdb.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func() envdb.Store)
	}{
		{"PutThenGet", putThenGet},
		{"Replace", replace},
		{"Missing", missing},
		{"Spans", spans},
		{"Keys", keys},
		{"BadKeys", badKeys},
		{"ListOrder", listOrder},
		{"ListStops", listStops},
		{"IfAbsent", ifAbsent},
		{"IfMatch", ifMatch},
		{"TagsTellEqualSizes", tagsTellEqualSizes},
		{"BodyError", bodyError},
		{"Cancel", cancel},
		{"LargeObject", largeObject},
		{"OneWinner", oneWinner},
		{"CountUp", countUp},
		{"ReadersSeeWholeObjects", readersSeeWholeObjects},
		{"PutAgainstDelete", putAgainstDelete},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, create(t))
		})
	}
}

func put(t *testing.T, st envdb.Store, key, content string) envdb.Tag {
	t.Helper()
	tag, err := st.Put(t.Context(), key, strings.NewReader(content), envdb.Condition{})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return tag
}

func get(ctx context.Context, st envdb.Store, key string, span envdb.Span) (string, envdb.Object, error) {
	body, object, err := st.Get(ctx, key, span)
	if err != nil {
		return "", object, err
	}
	content, err := io.ReadAll(body)
	return string(content), object, errors.Join(err, body.Close())
}

func list(t *testing.T, st envdb.Store, prefix string) []string {
	t.Helper()
	found := []string{}
	for object, err := range st.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		found = append(found, object.Key)
	}
	return found
}

func wantContent(t *testing.T, st envdb.Store, key, want string) {
	t.Helper()
	got, _, err := get(t.Context(), st, key, envdb.Span{})
	if err != nil || got != want {
		t.Errorf("get %q: got %q, %v; want %q", key, got, err, want)
	}
}

func wantAbsent(t *testing.T, st envdb.Store, key string) {
	t.Helper()
	if _, _, err := get(t.Context(), st, key, envdb.Span{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get %q: got %v, want fs.ErrNotExist", key, err)
	}
	if got := list(t, st, key); len(got) != 0 {
		t.Errorf("list %q: got %q, want nothing", key, got)
	}
}

func putThenGet(t *testing.T, open func() envdb.Store) {
	tag := put(t, open(), "a/b/c", "hello")
	if tag == "" {
		t.Error("put: the tag is empty")
	}
	got, object, err := get(t.Context(), open(), "a/b/c", envdb.Span{})
	if err != nil || got != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	if object.Key != "a/b/c" || object.Size != 5 || object.Tag != tag || object.Modified.IsZero() {
		t.Errorf("got %+v, want key a/b/c, size 5, tag %s and a time", object, tag)
	}
	for listed, err := range open().List(t.Context(), "") {
		if err != nil || listed.Key != "a/b/c" || listed.Size != 5 || listed.Modified.IsZero() || (listed.Tag != "" && listed.Tag != tag) {
			t.Errorf("list: got %+v, %v", listed, err)
		}
	}
	put(t, open(), "empty", "")
	wantContent(t, open(), "empty", "")
}

func replace(t *testing.T, open func() envdb.Store) {
	first := put(t, open(), "k", "one, and long")
	second := put(t, open(), "k", "two")
	if first == second {
		t.Error("the tag did not change with the content")
	}
	wantContent(t, open(), "k", "two")
}

func missing(t *testing.T, open func() envdb.Store) {
	st := open()
	wantAbsent(t, st, "no")
	put(t, st, "a/b", "x")
	wantAbsent(t, st, "a/b/c") // below an object
	if _, _, err := get(t.Context(), st, "a", envdb.Span{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("get of a mere prefix: got %v, want fs.ErrNotExist", err)
	}
	for _, key := range []string{"no", "a/b/c", "a/b", "a/b"} {
		if err := st.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	wantAbsent(t, st, "a/b")
	put(t, st, "a/b", "again")
	wantContent(t, st, "a/b", "again")
}

func spans(t *testing.T, open func() envdb.Store) {
	st := open()
	put(t, st, "k", "0123456789")
	for _, test := range []struct {
		span envdb.Span
		want string
	}{
		{envdb.Span{}, "0123456789"},
		{envdb.Span{Offset: 4}, "456789"},
		{envdb.Span{Length: 3}, "012"},
		{envdb.Span{Offset: 2, Length: 3}, "234"},
		{envdb.Span{Offset: 8, Length: 9}, "89"},
		{envdb.Span{Offset: 10}, ""},
		{envdb.Span{Offset: 11, Length: 2}, ""},
	} {
		got, object, err := get(t.Context(), st, "k", test.span)
		if err != nil || got != test.want {
			t.Errorf("%+v: got %q, %v; want %q", test.span, got, err, test.want)
		}
		if object.Size != 10 {
			t.Errorf("%+v: the whole has %d bytes, want 10", test.span, object.Size)
		}
	}
}

func keys(t *testing.T, open func() envdb.Store) {
	st := open()
	names := []string{
		"plain", "with space/and more", "ünïcödé/数据库", "😀", `quote"s'and\back`, "percent%2Fslash", "a:b", "dots...", ".hidden/x",
		"UPPER", "x/" + strings.Repeat("s", 200), "trailing.", "new-line\nin it", "*?[x]", "-", "~", "a/b/c/d/e/f/g/h",
	}
	for _, name := range names {
		put(t, st, name, name)
	}
	for _, name := range names {
		wantContent(t, st, name, name)
	}
	slices.Sort(names)
	if got := list(t, st, ""); !slices.Equal(got, names) {
		t.Errorf("list: got %q, want %q", got, names)
	}
}

func badKeys(t *testing.T, open func() envdb.Store) {
	st := open()
	for _, key := range []string{"", "/", "/abs", "a//b", "a/", "..", "../up", "a/../b", ".", "a/./b", "nul\x00", "bad\xff"} {
		if _, err := st.Put(t.Context(), key, strings.NewReader("x"), envdb.Condition{}); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("put %q: got %v, want ErrMisuse", key, err)
		}
		if _, _, err := get(t.Context(), st, key, envdb.Span{}); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("get %q: got %v, want ErrMisuse", key, err)
		}
		if err := st.Delete(t.Context(), key); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("delete %q: got %v, want ErrMisuse", key, err)
		}
	}
	if got := list(t, st, ""); len(got) != 0 {
		t.Errorf("list: got %q, want nothing", got)
	}
}

func listOrder(t *testing.T, open func() envdb.Store) {
	st := open()
	all := []string{"a-b", "a.c", "a/b", "a/b-c/d", "a/bb/x", "a0", "aa/x", "b", "ä", "A"}
	for _, key := range all {
		put(t, st, key, "")
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/bb", "a/b-", "b", "c", "a/b-c/d", "a/b-c/d/e", "ä", "/", "..", "a//"} {
		var want []string
		for _, key := range all {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		if got := list(t, st, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q: got %q, want %q", prefix, got, want)
		}
	}
}

func listStops(t *testing.T, open func() envdb.Store) {
	st := open()
	for i := range 5 {
		put(t, st, fmt.Sprintf("d%d/k", i), "")
	}
	seen := 0
	for range st.List(t.Context(), "") {
		if seen++; seen == 2 {
			break
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	results := 0
	for _, err := range st.List(ctx, "") {
		results++
		if !errors.Is(err, context.Canceled) {
			t.Errorf("list after cancel: got %v, want context.Canceled", err)
		}
	}
	if results != 1 {
		t.Errorf("list after cancel yielded %d times, want once", results)
	}
}

func ifAbsent(t *testing.T, open func() envdb.Store) {
	st := open()
	if _, err := st.Put(t.Context(), "k", strings.NewReader("one"), envdb.IfAbsent()); err != nil {
		t.Fatal(err)
	}
	if _, err := open().Put(t.Context(), "k", strings.NewReader("two"), envdb.IfAbsent()); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("got %v, want ErrCondition", err)
	}
	wantContent(t, st, "k", "one")
	if err := st.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(t.Context(), "k", strings.NewReader("three"), envdb.IfAbsent()); err != nil {
		t.Errorf("after a delete: %v", err)
	}
}

func ifMatch(t *testing.T, open func() envdb.Store) {
	st := open()
	if _, err := st.Put(t.Context(), "k", strings.NewReader("x"), envdb.IfMatch("anything")); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("of a missing object: got %v, want ErrCondition", err)
	}
	wantAbsent(t, st, "k")
	first := put(t, st, "k", "one")
	second, err := open().Put(t.Context(), "k", strings.NewReader("two"), envdb.IfMatch(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(t.Context(), "k", strings.NewReader("three"), envdb.IfMatch(first)); !errors.Is(err, envdb.ErrCondition) {
		t.Errorf("with an old tag: got %v, want ErrCondition", err)
	}
	wantContent(t, st, "k", "two")
	if _, err := st.Put(t.Context(), "k", strings.NewReader("four"), envdb.IfMatch(second)); err != nil {
		t.Errorf("with the tag that Put returned: %v", err)
	}
}

// Objects of one size that are written as fast as the store can must differ in
// their tags, small ones and large ones.
func tagsTellEqualSizes(t *testing.T, open func() envdb.Store) {
	st := open()
	for _, size := range []int{8, 300_000} {
		seen := map[envdb.Tag]bool{}
		for i := range 50 {
			tag := put(t, st, "k", fmt.Sprintf("%0*d", size, i))
			if seen[tag] {
				t.Fatalf("two objects of %d bytes have the tag %s", size, tag)
			}
			seen[tag] = true
			if _, object, err := get(t.Context(), st, "k", envdb.Span{Length: 1}); err != nil || object.Tag != tag {
				t.Fatalf("get has the tag %s, %v; put had %s", object.Tag, err, tag)
			}
		}
	}
}

func bodyError(t *testing.T, open func() envdb.Store) {
	st := open()
	broken := errors.New("broken")
	body := func() io.Reader {
		return io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(broken))
	}
	if _, err := st.Put(t.Context(), "new/k", body(), envdb.Condition{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the body's error", err)
	}
	wantAbsent(t, st, "new/k")
	put(t, st, "old", "kept")
	if _, err := st.Put(t.Context(), "old", body(), envdb.Condition{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the body's error", err)
	}
	wantContent(t, st, "old", "kept")
}

func cancel(t *testing.T, open func() envdb.Store) {
	st := open()
	put(t, st, "k", "kept")
	done, stop := context.WithCancel(t.Context())
	stop()
	if _, err := st.Put(done, "k", strings.NewReader("x"), envdb.Condition{}); !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, want context.Canceled", err)
	}
	if _, _, err := get(done, st, "k", envdb.Span{}); !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v, want context.Canceled", err)
	}
	if err := st.Delete(done, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: got %v, want context.Canceled", err)
	}
	wantContent(t, st, "k", "kept")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	endless := readerFunc(func(p []byte) (int, error) { stop(); return len(p), nil })
	if _, err := st.Put(ctx, "endless", endless, envdb.Condition{}); !errors.Is(err, context.Canceled) {
		t.Errorf("put of an endless body: got %v, want context.Canceled", err)
	}
	wantAbsent(t, st, "endless")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func largeObject(t *testing.T, open func() envdb.Store) {
	st := open()
	const size = 70 << 20
	body := func() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }
	if _, err := st.Put(t.Context(), "large", body(), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	got, object, err := st.Get(t.Context(), "large", envdb.Span{})
	if err != nil {
		t.Fatal(err)
	}
	if object.Size != size {
		t.Errorf("got %d bytes, want %d", object.Size, size)
	}
	want, a, b := body(), make([]byte, 1<<20), make([]byte, 1<<20)
	for range size >> 20 {
		_, errA := io.ReadFull(got, a)
		_, errB := io.ReadFull(want, b)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("the content differs: %v, %v", errA, errB)
		}
	}
	if err := got.Close(); err != nil {
		t.Error(err)
	}
}

const racers = 16

// race runs the racers, each with a handle of its own, and waits for them.
func race(open func() envdb.Store, run func(i int, st envdb.Store)) {
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i := range racers {
		st := open()
		group.Go(func() {
			<-begin
			run(i, st)
		})
	}
	close(begin)
	group.Wait()
}

func oneWinner(t *testing.T, open func() envdb.Store) {
	for round := range 10 {
		key := fmt.Sprintf("dir/%d", round)
		var winners atomic.Int64
		var winner atomic.Int64
		race(open, func(i int, st envdb.Store) {
			_, err := st.Put(t.Context(), key, strings.NewReader(fmt.Sprint(i)), envdb.IfAbsent())
			switch {
			case err == nil:
				winners.Add(1)
				winner.Store(int64(i))
			case !errors.Is(err, envdb.ErrCondition):
				t.Errorf("racer %d: %v", i, err)
			}
		})
		if winners.Load() != 1 {
			t.Errorf("%d racers won, want 1", winners.Load())
		}
		wantContent(t, open(), key, fmt.Sprint(winner.Load()))
	}
}

// Every racer adds to a counter by IfMatch until it succeeded: none is lost.
func countUp(t *testing.T, open func() envdb.Store) {
	put(t, open(), "n", "0")
	race(open, func(_ int, st envdb.Store) {
		for {
			content, object, err := get(t.Context(), st, "n", envdb.Span{})
			if err != nil {
				t.Error(err)
				return
			}
			var n int
			if _, err := fmt.Sscan(content, &n); err != nil {
				t.Error(err)
				return
			}
			_, err = st.Put(t.Context(), "n", strings.NewReader(fmt.Sprint(n+1)), envdb.IfMatch(object.Tag))
			if err == nil {
				return
			}
			if !errors.Is(err, envdb.ErrCondition) {
				t.Error(err)
				return
			}
		}
	})
	wantContent(t, open(), "n", fmt.Sprint(racers))
}

// While an object is replaced, readers see one content or the other.
func readersSeeWholeObjects(t *testing.T, open func() envdb.Store) {
	const size = 200_000
	content := func(i int) string { return strings.Repeat(string(rune('a'+i)), size) }
	put(t, open(), "k", content(0))
	race(open, func(i int, st envdb.Store) {
		for range 5 {
			if i%2 == 0 {
				if _, err := st.Put(t.Context(), "k", strings.NewReader(content(i)), envdb.Condition{}); err != nil {
					t.Error(err)
				}
				continue
			}
			got, _, err := get(t.Context(), st, "k", envdb.Span{})
			if err != nil || len(got) != size || strings.Trim(got, got[:1]) != "" {
				t.Errorf("a torn object of %d bytes, %v", len(got), err)
			}
		}
	})
}

// Neighbours come and go while objects are written: none is lost.
func putAgainstDelete(t *testing.T, open func() envdb.Store) {
	race(open, func(i int, st envdb.Store) {
		for round := range 5 {
			key := fmt.Sprintf("p/q/r/%d", i)
			if _, err := st.Put(t.Context(), key, strings.NewReader("x"), envdb.Condition{}); err != nil {
				t.Errorf("put: %v", err)
			}
			if _, _, err := get(t.Context(), st, key, envdb.Span{}); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			if err := st.Delete(t.Context(), key); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
	})
	if got := list(t, open(), ""); len(got) != 0 {
		t.Errorf("got %q, want nothing", got)
	}
}
