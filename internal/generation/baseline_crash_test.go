package generation_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
)

// TestCutWireWhileCopying loses the run's connection at every step of a seal, a
// clone and a spare, before and after the server got the statement, as a killed
// process would. The next run finds the live version as it was, drops what was
// left, and can do what the other could not.
func TestCutWireWhileCopying(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, c := range []struct {
		what string
		cuts []string
		do   func(*testing.T, world, *generation.Generations, generation.Version) error
	}{
		{"seal", []string{"allow_connections false", "template", "comment on database"},
			func(t *testing.T, w world, g *generation.Generations, _ generation.Version) error {
				d, err := g.Find(t.Context(), "next")
				if err == nil {
					_, err = g.Seal(t.Context(), w.target(t), envdb.OpMirror, d)
				}
				return err
			}},
		{"clone", []string{"template", "comment on database"},
			func(t *testing.T, w world, g *generation.Generations, b generation.Version) error {
				_, err := g.Clone(t.Context(), w.target(t), envdb.OpReset, b, "clone")
				return err
			}},
		{"spare", []string{"template", "comment on database"},
			func(t *testing.T, w world, g *generation.Generations, b generation.Version) error {
				_, err := g.Spare(t.Context(), w.target(t), envdb.OpReset, b, "spare")
				return err
			}},
	} {
		for _, at := range c.cuts {
			for _, deliver := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at %s delivered %t", c.what, at, deliver), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, s, "")
					line := w.lay(t)
					run := fmt.Sprintf("cut-%d", serial.Add(1))
					g := w.locked(t, run)
					b := w.found(t, g, "a")
					w.build(t, g, "next")
					line.deliver.Store(deliver)
					line.cutAt.Store(at)
					if err := c.do(t, w, g, b); err == nil {
						t.Fatal("it did not notice")
					}
					if line.cutAt.Load() != "" {
						t.Fatalf("it was not cut at %q", at)
					}
					next := w.open(t, "next run")
					eventually(t, "the lock", func() bool { return next.Lock(t.Context()) == nil })
					recorded := func(name string) bool {
						return name == next.BaselineName("next") || name == next.DarkName("clone") || name == next.SpareName("spare")
					}
					if _, err := next.CleanUp(t.Context(), w.target(t), envdb.OpMirror, func(id string) bool { return id != run }, recorded); err != nil {
						t.Fatal(problem(err))
					}
					got := strings.TrimSuffix(states(t, next), " spare:spare") // whose comment was delivered
					if want := "live:a baseline:a"; got != want || w.serves(t) != "a" {
						t.Errorf("got %q, want %q; %q serves", got, want, w.serves(t))
					}
					d, err := next.Clone(t.Context(), w.target(t), envdb.OpReset, baseline(t, next), "again")
					if err != nil {
						t.Fatal(problem(err))
					}
					if _, err := next.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{}); err != nil {
						t.Fatal(problem(err))
					}
				})
			}
		}
	}
}

// TestBaselineComesWithItsVersion cuts the connection in the promote of a
// version with a baseline: what is in force is always that of what is live.
func TestBaselineComesWithItsVersion(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, at := range []string{"owner to", "comment on database", "rename to", "commit\x00"} {
		for _, deliver := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s delivered %t", strings.TrimRight(at, "\x00"), deliver), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, s, "")
				line := w.lay(t)
				run := fmt.Sprintf("cut-%d", serial.Add(1))
				g := w.locked(t, run)
				w.found(t, g, "a")
				d := w.build(t, g, "b")
				sealed, err := g.Seal(t.Context(), w.target(t), envdb.OpMirror, d.Version)
				if err != nil {
					t.Fatal(problem(err))
				}
				line.deliver.Store(deliver)
				line.cutAt.Store(at)
				_, err = g.Promote(t.Context(), w.target(t), d.Name, generation.PromoteOptions{Baseline: sealed.Name})
				next := w.open(t, "next run")
				eventually(t, "the lock", func() bool { return next.Lock(t.Context()) == nil })
				if _, err := next.CleanUp(t.Context(), w.target(t), envdb.OpMirror, func(id string) bool { return id != run }, nil); err != nil {
					t.Fatal(problem(err))
				}
				if got := baseline(t, next).ID; got != w.serves(t) {
					t.Errorf("%q serves, and the baseline is that of %q; the promote said %s", w.serves(t), got, problem(err))
				}
			})
		}
	}
}
