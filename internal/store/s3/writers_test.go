package s3_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
	"github.com/envdb/envdb/internal/store/storetest"
)

// On an endpoint that ignores conditions a single writer keeps the contract.
func TestSingleWriterContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(tb testing.TB) envdb.Store {
		sc := newScene(tb, func(c *s3.Config) { c.SingleWriter, c.Prefix, c.Patience = "host-1", "folder", s3.Patience{} })
		sc.proxy.FailAll(s3test.Unconditional)
		return sc
	})
}

func TestAnotherWriter(t *testing.T) {
	t.Parallel()
	sc := newScene(t, func(c *s3.Config) { c.SingleWriter = "host-1" })
	sc.put(t, "k", "x", envdb.IfAbsent())
	if got := sc.hidden(t, "writers/"); !slices.Equal(got, []string{"writers/host-1"}) {
		t.Errorf("recorded %q", got)
	}
	sc.put(t, "k2", "x", envdb.Condition{})
	if n := sc.proxy.Counts()["ListObjectsV2"]; n != 2 {
		t.Errorf("looked %d times, want twice: around the record", n)
	}

	c := sc.config
	c.SingleWriter = "host-2"
	other := open(t, c)
	refused := func(err error) {
		t.Helper()
		wantProblem(t, err, envdb.ErrRefused, `"host-1"`, "nothing was written")
	}
	_, err := other.Put(t.Context(), "k", strings.NewReader("y"), envdb.Condition{})
	refused(err)
	refused(other.Delete(t.Context(), "k"))
	_, err = other.Clean(t.Context())
	refused(err)
	_, err = other.Probe(t.Context())
	refused(err)
	if got, err := read(t.Context(), other, "k", envdb.Span{}); err != nil || got != "x" {
		t.Errorf("reading is free: got %q, %v", got, err)
	}
	if got := sc.hidden(t, "writers/"); !slices.Equal(got, []string{"writers/host-1"}) {
		t.Errorf("recorded %q", got)
	}
	// A day later, by the endpoint's clock, the other one may.
	sc.proxy.Skew(25 * time.Hour)
	later := open(t, c)
	if _, err := later.Put(t.Context(), "k", strings.NewReader("y"), envdb.Condition{}); err != nil {
		t.Error(err)
	}
	for object, err := range later.List(t.Context(), "") {
		if err != nil || strings.HasPrefix(object.Key, ".envdb") {
			t.Errorf("the list shows %q, %v", object.Key, err)
		}
	}
	if _, err := later.Put(t.Context(), ".envdb/writers/x", strings.NewReader("y"), envdb.Condition{}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("got %v, want ErrMisuse", err)
	}
}
