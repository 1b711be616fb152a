package schedule_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestParseLadder(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]": "[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]",
		"1m,2m":                             "[1m, 2m]",
		" [ 90s , 7d ] ":                    "[1m30s, 1w]",
		"1d":                                "[1d]",
	} {
		got, err := schedule.ParseLadder(text)
		if err != nil || got.String() != want {
			t.Errorf("ParseLadder(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestParseLadderRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":          "the ladder has no rung",
		"[]":        "the ladder has no rung",
		"[1m":       `ladder "[1m" has one bracket`,
		"[1m, 0s]":  "the ladder has a rung of 0s",
		"[-1m]":     `duration "-1m" is negative`,
		"[1500ms]":  "the ladder has a rung of 1.5s, which is no whole number of seconds",
		"[1h, 1m]":  "the ladder goes from 1h to 1m, which is not coarser",
		"[1h, 60m]": "the ladder goes from 1h to 1h, which is not coarser",
		"[1m,,1h]":  `duration "" is empty`,
		"[often]":   `duration "often" is not a number with a unit`,
	} {
		_, err := schedule.ParseLadder(text)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("ParseLadder(%q): %v; want %s", text, err, want)
		}
		if _, next := envdb.Advice(err); next == "" {
			t.Errorf("ParseLadder(%q) gives no advice", text)
		}
	}
	if _, err := schedule.NewLadder(-time.Minute); err == nil {
		t.Error("a negative rung is accepted")
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		takes           time.Duration
		duty            float64
		kept, suspended string
	}{
		"nothing measured":       {0, 0.25, "[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]", "[]"},
		"just fits":              {15 * time.Second, 0.25, "[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]", "[]"},
		"a little too slow":      {16 * time.Second, 0.25, "[2m, 5m, 10m, 1h, 3h, 6h, 1d]", "[1m]"},
		"the default duty":       {16 * time.Second, 0, "[2m, 5m, 10m, 1h, 3h, 6h, 1d]", "[1m]"},
		"all the time":           {time.Minute, 1, "[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]", "[]"},
		"slow":                   {50 * time.Minute, 0.25, "[6h, 1d]", "[1m, 2m, 5m, 10m, 1h, 3h]"},
		"slower than the ladder": {30 * time.Hour, 0.25, "[1d]", "[1m, 2m, 5m, 10m, 1h, 3h, 6h]"},
	} {
		kept, suspended := schedule.DefaultLadder().Fit(c.takes, c.duty)
		if kept.String() != c.kept || suspended.String() != c.suspended {
			t.Errorf("%s: kept %s, suspended %s; want %s, %s", name, kept, suspended, c.kept, c.suspended)
		}
	}
	if kept, suspended := schedule.Ladder(nil).Fit(time.Hour, 0.25); len(kept)+len(suspended) != 0 {
		t.Error("an empty ladder has rungs")
	}
}

// Nothing is lost between kept and suspended, what is kept fits, and
// something is always kept.
func TestFitSplits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rungs := rapid.SliceOfNDistinct(rapid.Int64Range(1, 1e6), 1, 12, rapid.ID[int64]).Draw(t, "seconds")
		slices.Sort(rungs)
		var durations []time.Duration
		for _, s := range rungs {
			durations = append(durations, time.Duration(s)*time.Second)
		}
		ladder, err := schedule.NewLadder(durations...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := schedule.ParseLadder(ladder.String())
		if err != nil || !slices.Equal(again, ladder) {
			t.Fatalf("%s is read back as %s, %v", ladder, again, err)
		}
		takes := time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "takes")) * time.Second
		kept, suspended := ladder.Fit(takes, 0.25)
		switch {
		case !slices.Equal(append(slices.Clone(suspended), kept...), ladder):
			t.Fatalf("%s is split into %s and %s", ladder, suspended, kept)
		case len(kept) == 0:
			t.Fatalf("%s keeps nothing", ladder)
		case len(kept) > 1 && kept[0] < 4*takes:
			t.Fatalf("%s keeps %s for backups of %s", ladder, kept[0], takes)
		case len(suspended) > 0 && suspended[len(suspended)-1] >= 4*takes:
			t.Fatalf("%s suspends %s for backups of %s", ladder, suspended, takes)
		}
	})
}

func TestKeepSlots(t *testing.T) {
	t.Parallel()
	ladder := schedule.DefaultLadder()
	for name, c := range map[string]struct {
		keep schedule.Keep
		want []int
	}{
		"auto":    {schedule.Keep{}, []int{4, 5, 4, 8, 5, 4, 6, 30}},
		"all":     {schedule.Keep{All: 7}, []int{7, 7, 7, 7, 7, 7, 7, 7}},
		"one":     {schedule.Keep{Rungs: map[time.Duration]int{envdb.Day: 90}}, []int{4, 5, 4, 8, 5, 4, 6, 90}},
		"and all": {schedule.Keep{All: 3, Rungs: map[time.Duration]int{time.Minute: 60}}, []int{60, 3, 3, 3, 3, 3, 3, 3}},
	} {
		if got := c.keep.Slots(ladder); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if err := c.keep.Check(ladder); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeepCheckRefuses(t *testing.T) {
	t.Parallel()
	ladder := schedule.Ladder{time.Hour, envdb.Day}
	for want, keep := range map[string]schedule.Keep{
		"keep is -1":                {All: -1},
		"keep is 1000000":           {All: 1000000},
		"keep is 0 for the rung 1h": {Rungs: map[time.Duration]int{time.Hour: 0}},
		"keep names the rung 2h, and the ladder is [1h, 1d]": {Rungs: map[time.Duration]int{2 * time.Hour: 3}},
	} {
		if err := keep.Check(ladder); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	far := schedule.Ladder{time.Second, envdb.Day, 30 * envdb.Day}
	if err := (schedule.Keep{}).Check(far); err != nil {
		t.Errorf("%s: %v", far, err)
	}
	far = schedule.Ladder{time.Second, 30 * envdb.Day}
	if err, want := (schedule.Keep{}).Check(far), "the rung 1s would keep 2592002 slots, to reach 30d"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := (schedule.Keep{Rungs: map[time.Duration]int{time.Second: 60}}).Check(far); err != nil {
		t.Errorf("with a number: %v", err)
	}
}
