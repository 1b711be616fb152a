package schedule_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestExpire(t *testing.T) {
	t.Parallel()
	rules := schedule.Rules{Policy: policy(t, schedule.Ladder{envdb.Day}, schedule.Keep{All: 1})}
	points := every(time.Hour, 10, newYear.Add(-time.Hour)) // from 14:00 to 23:00, all in one slot
	points[3].Promised = newYear.Add(time.Hour)
	points[4].Promised = newYear.Add(-time.Hour)
	slices.Reverse(points)
	got, err := rules.Expire(newYear, 0, points)
	if err != nil {
		t.Fatal(err)
	}
	wantGoes := []envdb.BackupID{"20251231-150000", "20251231-160000", "20251231-180000", "20251231-190000", "20251231-200000"}
	wantAsks := []schedule.HeldBack{
		{ID: "20251231-170000", Promised: newYear.Add(time.Hour)},
		{ID: "20251231-210000", Last: true},
		{ID: "20251231-220000", Last: true},
	}
	if !slices.Equal(got.Goes, wantGoes) || !slices.Equal(got.Asks, wantAsks) {
		t.Errorf("got %v, %v\nwant %v, %v", got.Goes, got.Asks, wantGoes, wantAsks)
	}
}

func TestExpireStops(t *testing.T) {
	t.Parallel()
	rules := schedule.Rules{Policy: standard(t)}
	unreadable := every(time.Minute, 100, newYear)
	unreadable[50].State = schedule.Unreadable
	for want, c := range map[string]struct {
		skew   schedule.Skew
		points []schedule.RestorePoint
	}{
		"nothing expires: the source's clock is 1m1s ahead":      {schedule.Skew(61 * time.Second), every(time.Minute, 100, newYear)},
		"nothing expires: the source's clock is 1h behind":       {schedule.Skew(-time.Hour), every(time.Minute, 100, newYear)},
		"nothing expires: backup 20251231-231100 cannot be read": {0, unreadable},
	} {
		got, err := rules.Expire(newYear, c.skew, c.points)
		if err == nil || err.Error() != want || !errors.Is(err, envdb.ErrRefused) || got.Goes != nil || got.Asks != nil {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	if _, err := rules.Expire(newYear, schedule.Skew(time.Minute), every(time.Minute, 100, newYear)); err != nil {
		t.Error(err)
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		ahead        time.Duration
		warns, stops bool
	}{
		"the clocks agree":                  {0, false, false},
		"the source's clock is 5s ahead":    {5 * time.Second, false, false},
		"the source's clock is 6s behind":   {-6 * time.Second, true, false},
		"the source's clock is 1m ahead":    {time.Minute, true, false},
		"the source's clock is 1m1s behind": {-61 * time.Second, true, true},
		"the source's clock is 365d ahead":  {365 * envdb.Day, true, true},
	} {
		s := schedule.SkewOf(newYear.Add(c.ahead), newYear)
		if s.Warns() != c.warns || s.Stops() != c.stops {
			t.Errorf("%s: warns %v, stops %v", want, s.Warns(), s.Stops())
		}
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
