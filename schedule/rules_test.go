package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestAPolicyThatShrinksWaitsADay(t *testing.T) {
	t.Parallel()
	ladder := schedule.Ladder{time.Hour, envdb.Day}
	points := every(time.Hour, 24*5, newYear)
	changed := newYear.Add(10 * time.Minute)
	old := policy(t, ladder, schedule.Keep{All: 4})
	rules := schedule.Rules{
		Policy: policy(t, ladder, schedule.Keep{All: 2}),
		Before: []schedule.Superseded{{Policy: old, At: changed}},
	}
	under := schedule.Rules{Policy: old}
	bites := changed.Add(24 * time.Hour)
	for _, now := range []time.Time{changed.Add(-time.Hour), changed, bites.Add(-time.Second)} {
		if got, want := ids(kept(rules, now, points)), ids(kept(under, now, points)); !slices.Equal(got, want) {
			t.Errorf("at %s %v are left, want %v", now, got, want)
		}
	}
	var leaving []string
	for _, d := range rules.Keep(changed, points) {
		if until, leaves := d.Leaves(); leaves {
			leaving = append(leaving, string(d.ID)+" at "+until.Format(time.DateTime))
		}
	}
	slices.Sort(leaving)
	want := "20251229-000000 at 2026-01-02 00:10:00, 20251230-000000 at 2026-01-02 00:10:00, " +
		"20251231-210000 at 2026-01-02 00:10:00, 20251231-220000 at 2026-01-02 00:10:00"
	if got := strings.Join(leaving, ", "); got != want {
		t.Errorf("leaving are %s\nwant %s", got, want)
	}
	now := schedule.Rules{Policy: rules.Policy}
	if got, want := ids(kept(rules, bites, points)), ids(kept(now, bites, points)); !slices.Equal(got, want) {
		t.Errorf("after a day %v are left, want %v", got, want)
	}
}

func TestALadderWhereThereWasNoneWaitsADay(t *testing.T) {
	t.Parallel()
	points := every(time.Hour, 24*5, newYear)
	rules := schedule.Rules{Policy: policy(t, schedule.Ladder{envdb.Day}, schedule.Keep{All: 1}), Before: []schedule.Superseded{{At: newYear}}}
	decisions := rules.Keep(newYear, points)
	if got := len(kept(rules, newYear, points)); got != len(points) {
		t.Errorf("%d points are left", got)
	}
	if got, want := reasons(decisions[:1]), "20251227-010000: no ladder until lately, kept until 2026-01-02"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// For a day after a change everything stays that either policy keeps, and then
// what the new one keeps.
func TestChangesKeepBoth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := drawHistory(t, newYear)
		before, after := drawPolicy(t), drawPolicy(t)
		changed := newYear.Add(time.Duration(rapid.Int64Range(0, 4e6).Draw(t, "changed")) * time.Second)
		rules := schedule.Rules{Policy: after, Before: []schedule.Superseded{{Policy: before, At: changed}}}
		now := changed.Add(time.Duration(rapid.Int64Range(0, 2*86400).Draw(t, "later")) * time.Second)
		want := ids(kept(schedule.Rules{Policy: after}, now, points))
		if now.Sub(changed) < schedule.ShrinkWait {
			want = append(want, ids(kept(schedule.Rules{Policy: before}, now, points))...)
			slices.Sort(want)
			want = slices.Compact(want)
		}
		if got := ids(kept(rules, now, points)); !slices.Equal(got, want) {
			t.Fatalf("%v are left, want %v", got, want)
		}
	})
}
