package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// skewed is a clock that is off by d and shows whole seconds, as S3 does.
func skewed(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d).Truncate(time.Second) }
}

// skews are how far a store's clock may be off.
var skews = map[string]time.Duration{
	"right": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour, "two days ahead": 48 * time.Hour, "two days behind": -48 * time.Hour,
}

func TestStoreSkew(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(1700 * time.Millisecond)
				st := &memory{clock: skewed(skew)}
				got, err := on("east", st).StoreSkew(t.Context())
				if off := (got - skew).Abs(); err != nil || off > time.Second {
					t.Errorf("got %s, %v, want %s to a second", got, err, skew)
				}
				if skew == 0 && got != 0 {
					t.Errorf("a clock that is right is %s off", got)
				}
			})
		})
	}
}

// A store that is slow does not look like one whose clock is wrong.
func TestStoreSkewOfASlowStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{clock: skewed(0)}
		st.setFault(func(op, _ string) error {
			time.Sleep(20 * time.Second)
			return nil
		})
		if got, err := on("east", st).StoreSkew(t.Context()); got != 0 || err != nil {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

func TestStoreSkewOfAStoreThatDoesNotTell(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(op, key string) error
		want  error
	}{
		"read-only": {readOnly, envdb.ErrPreflight}, "down": {down, envdb.ErrUnreachable},
		"cut in between": {func(op, key string) error {
			if op == "get" {
				return down(op, key)
			}
			return nil
		}, envdb.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := &memory{fault: c.fault}
			if got, err := on("east", st).StoreSkew(t.Context()); got != 0 || !errors.Is(err, c.want) {
				t.Errorf("got %s, %v, want %v", got, err, c.want)
			}
		})
	}
	t.Run("no times", func(t *testing.T) {
		t.Parallel()
		st := &memory{clock: func() time.Time { return time.Time{} }}
		if got, err := on("east", st).StoreSkew(t.Context()); got != 0 || err != nil {
			t.Errorf("got %s, %v, want nothing", got, err)
		}
	})
}

// Reading the clock leaves one object, however often it is read, and no lease
// that anybody holds.
func TestStoreSkewLeavesLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		l := on("east", st)
		for range 5 {
			if _, err := l.StoreSkew(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if keys := st.keys(""); len(keys) != 1 {
			t.Errorf("the store has %q", keys)
		}
		if held, err := l.Leases(t.Context()); len(held) != 0 || err != nil {
			t.Errorf("leases %v, %v", held, err)
		}
	})
}

// A store whose clock is wrong makes no daemon dead that lives, none alive that
// is dead, and forgets none that lives.
func TestDaemonsWhenTheStoresClockIsOff(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{clock: skewed(skew)}
				kill := announce(t, st, "east", "a")
				announce(t, st, "west", "b")
				observer := on("north", st)
				for range 20 {
					wantLives(t, observer, "a alive, b alive")
					time.Sleep(7 * time.Second)
				}
				kill()
				time.Sleep(ledger.PresenceTTL + 2*time.Second)
				wantLives(t, observer, "a dead, b alive")
				wantLives(t, on("south", st), "a dead, b alive")
				time.Sleep(80 * time.Hour)
				wantLives(t, observer, "b alive")
			})
		})
	}
}

// A run that lives on another machine is never called interrupted because the
// store's clock is wrong: what belongs to a dead run is cleared away. One that is
// dead is called so after five minutes.
func TestRunsWhenTheStoresClockIsOff(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := &memory{clock: skewed(skew)}
				way := &cutOff{Store: st}
				east := on("east", way)
				run := mirror
				run.ID = east.NewRunID()
				lease, err := east.Exclude(t.Context(), run.Environment, claim(run.ID))
				if err != nil {
					t.Fatal(err)
				}
				r := begin(t, east, run)
				look := func(want ledger.Outcome) {
					t.Helper()
					got, err := on("west", st).Run(t.Context(), run.ID)
					if err != nil || got.Outcome != want {
						t.Errorf("got %+v, %v, want %s", got, err, want)
					}
				}
				for range 20 {
					look(ledger.Running)
					time.Sleep(time.Minute)
				}
				if _, err := on("west", st).Tidy(t.Context(), 90*envdb.Day); err != nil {
					t.Fatal(err)
				}
				look(ledger.Running)
				way.off.Store(true)
				time.Sleep(4 * time.Minute)
				look(ledger.Running)
				time.Sleep(90 * time.Second)
				look(ledger.Interrupted)
				way.off.Store(false)
				_ = lease.Release(t.Context()) // its context has ended long ago
				finish(t, r, nil)
			})
		})
	}
}

// Who may not write cannot ask the store's clock, and goes by their own.
func TestRunOfTheDeadInAStoreThatIsReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := &memory{}
		way := &cutOff{Store: st}
		east := on("east", way)
		run := mirror
		run.ID = east.NewRunID()
		lease, err := east.Exclude(t.Context(), run.Environment, claim(run.ID))
		if err != nil {
			t.Fatal(err)
		}
		r := begin(t, east, run)
		way.off.Store(true)
		st.setFault(readOnly)
		time.Sleep(6 * time.Minute)
		got, err := on("west", st).Run(t.Context(), run.ID)
		if err != nil || got.Outcome != ledger.Interrupted || !strings.Contains(got.Error, "east gives no sign of life") {
			t.Errorf("got %+v, %v, want that it is interrupted", got, err)
		}
		st.setFault(func(op, key string) error { // it can be read, and not be written just now
			if op == "put" {
				return down(op, key)
			}
			return nil
		})
		got, err = on("west", st).Run(t.Context(), run.ID)
		if err != nil || got.Outcome != ledger.Running {
			t.Errorf("got %+v, %v, want that nobody knows better", got, err)
		}
		st.setFault(nil)
		way.off.Store(false)
		_ = lease.Release(t.Context())
		finish(t, r, nil)
	})
}
