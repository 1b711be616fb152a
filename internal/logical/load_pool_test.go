package logical

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/envdb/envdb/backup"
)

// TestPoolKeepsOrderAndLocks runs random graphs of steps: each runs once,
// after what it waits for, and never beside one whose lock excludes it.
func TestPoolKeepsOrderAndLocks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 25).Draw(t, "steps")
		steps := make([]*step, n)
		before := make([][]int, n)
		for i := range steps {
			steps[i] = &step{name: fmt.Sprint(i), weight: int64(i % 3)}
			for j := range i {
				if rapid.IntRange(0, 5).Draw(t, "edge") == 0 {
					steps[i].after(steps[j])
					before[i] = append(before[i], j)
				}
			}
			for k := range rapid.IntRange(0, 2).Draw(t, "locks") {
				steps[i].locks = append(steps[i].locks, lock{key: lockKey{entry: k}, exclusive: rapid.Bool().Draw(t, "exclusive")})
			}
		}
		var mu sync.Mutex
		done, running := map[int]bool{}, map[int]bool{}
		pool := newPool(context.Background(), steps, 4, nil)
		defer pool.stop()
		group, ctx := errgroup.WithContext(context.Background())
		index := map[*step]int{}
		for i, s := range steps {
			index[s] = i
		}
		for range 4 {
			group.Go(func() error {
				for {
					s, err := pool.take(ctx)
					if s == nil || err != nil {
						return err
					}
					i := index[s]
					mu.Lock()
					for _, j := range before[i] {
						if !done[j] {
							err = fmt.Errorf("step %d ran before %d", i, j)
						}
					}
					for j := range running {
						if excludes(s.locks, steps[j].locks) {
							err = fmt.Errorf("steps %d and %d ran together", i, j)
						}
					}
					running[i] = true
					mu.Unlock()
					if err != nil {
						return err
					}
					mu.Lock()
					delete(running, i)
					done[i] = true
					mu.Unlock()
					pool.finish(s)
				}
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(done) != n || pool.stuck() != nil {
			t.Fatalf("%d of %d steps ran, %v", len(done), n, pool.stuck())
		}
	})
}

func excludes(a, b []lock) bool {
	for _, x := range a {
		for _, y := range b {
			if x.key == y.key && (x.exclusive || y.exclusive) {
				return true
			}
		}
	}
	return false
}

func TestCircleIsReported(t *testing.T) {
	t.Parallel()
	a, b := &step{name: "a"}, &step{name: "b"}
	a.after(b)
	b.after(a)
	pool := newPool(t.Context(), []*step{a, b}, 4, nil)
	defer pool.stop()
	if s, err := pool.take(t.Context()); s != nil || err != nil {
		t.Errorf("took %v, %v", s, err)
	}
	if pool.stuck() == nil {
		t.Error("the circle is not reported")
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	var refs []backup.Ref
	for i := range 100 {
		refs = append(refs, backup.Ref{Ordinal: uint64(i), Size: pieceBytes / 10})
	}
	got, next := pieces(refs), uint64(0)
	if len(got) != 10 {
		t.Errorf("got %d pieces, want 10", len(got))
	}
	for _, p := range got {
		for _, r := range p {
			if r.Ordinal != next {
				t.Fatalf("chunk %d where %d should be", r.Ordinal, next)
			}
			next++
		}
	}
}

func TestParseACLItem(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`reader=r/owner`:               `{reader owner [{SELECT false}]}`,
		`=rw/owner`:                    `{ owner [{SELECT false} {UPDATE false}]}`,
		`"a ""b"" =/"=r*w/"Odd owner"`: `{a "b" =/ Odd owner [{SELECT true} {UPDATE false}]}`,
		`owner=CTc/owner`:              `{owner owner [{CREATE false} {TEMPORARY false} {CONNECT false}]}`,
		`nonsense`:                     `{nonsense  []}`,
		`"unterminated`:                `{unterminated  []}`,
	}
	for text, want := range tests {
		if got := fmt.Sprint(parseACLItem(text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestPoolCallsForHelp offers the sessions that have nothing of weight to do to
// an index that is built last.
func TestPoolCallsForHelp(t *testing.T) {
	t.Parallel()
	rows, index, other, tiny := &step{weight: 100}, &step{weight: 50}, &step{weight: 40}, &step{weight: 1}
	index.after(rows)
	other.after(rows)
	tiny.after(rows)
	pool := newPool(t.Context(), []*step{rows, index, other, tiny}, 3, nil)
	defer pool.stop()
	for _, want := range []struct {
		step  *step
		spare int
		done  bool
	}{{rows, 2, true}, {index, 1, false}, {other, 1, false}} {
		got, err := pool.take(t.Context())
		if err != nil || got != want.step || got.spare != want.spare {
			t.Fatalf("took the step of weight %d with %d to spare, %v; want %d and %d", got.weight, got.spare, err, want.step.weight, want.spare)
		}
		if want.done {
			pool.finish(got)
		}
	}
	if rows.path != 150 {
		t.Errorf("the longest path is %d; want 150", rows.path)
	}
}
