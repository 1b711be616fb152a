package s3_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store/s3"
)

// cannot returns the names of what a probe found missing.
func cannot(t *testing.T, c s3.Capabilities) []string {
	t.Helper()
	names := []string{}
	for _, one := range c.List {
		t.Logf("%-22s %-8s %s", one.Name, one.Can, one.Detail)
		if one.Can != s3.Can {
			names = append(names, one.Name)
		}
	}
	return names
}

func TestProbe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rule   func(s3test.Call) s3test.Fault
		single bool
		want   []string
		next   string // "": envdb can work with it
	}{
		{name: "all", want: []string{}},
		{name: "conditions ignored", rule: always(s3test.Unconditional), want: []string{"conditional create", "conditional replace", "conditional race", "conditional multipart"}, next: "single_writer"},
		{name: "conditions not implemented", rule: always(s3test.NotImplemented), want: []string{"conditional create", "conditional replace", "conditional race", "conditional multipart"}, next: "single_writer"},
		{name: "conditions ignored, single writer", rule: always(s3test.Unconditional), single: true, want: []string{"conditional create", "conditional replace", "conditional race", "conditional multipart"}},
		{name: "ranges ignored", rule: always(s3test.WholeObject), want: []string{"byte ranges"}, next: "another endpoint"},
		{name: "no delete", rule: on("DeleteObject", s3test.Refused), want: []string{"delete"}, next: "policy"},
		{name: "no multipart", rule: on("CreateMultipartUpload", s3test.Refused), want: []string{"multipart", "conditional multipart"}, next: "policy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := newScene(t, func(config *s3.Config) {
				if c.single {
					config.SingleWriter = "host-1"
				}
			})
			sc.proxy.Rule(c.rule)
			found, err := sc.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := cannot(t, found); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.next == "" && found.Err() != nil {
				t.Errorf("got %v", found.Err())
			}
			if c.next != "" {
				wantProblem(t, found.Err(), envdb.ErrPreflight, c.next)
			}
			if c.name == "no delete" {
				return
			}
			sc.proxy.Rule(nil)
			for object, err := range sc.List(t.Context(), "") {
				t.Errorf("left behind: %v, %v", object.Key, err)
			}
			if left := sc.hidden(t, "probe/"); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func always(f s3test.Fault) func(s3test.Call) s3test.Fault {
	return func(s3test.Call) s3test.Fault { return f }
}

func on(operation string, f s3test.Fault) func(s3test.Call) s3test.Fault {
	return func(c s3test.Call) s3test.Fault {
		if c.Operation == operation {
			return f
		}
		return s3test.Pass
	}
}

// hidden lists what the store does not show, through a store without a folder.
func (sc *scene) hidden(t *testing.T, prefix string) []string {
	t.Helper()
	var keys []string
	c := sc.config
	c.SingleWriter, c.Prefix, c.Endpoint = "", ".envdb", s3test.Start(t).URL()
	for object, err := range open(t, c).List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

// A probe that cannot even begin says why.
func TestProbeOfNothing(t *testing.T) {
	t.Parallel()
	sc := newScene(t, func(c *s3.Config) { c.Bucket = "envdb-" + strings.Repeat("x", 20) })
	_, err := sc.Probe(t.Context())
	wantProblem(t, err, envdb.ErrPreflight, "no bucket")
}
