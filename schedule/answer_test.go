package schedule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/envdb/envdb/schedule"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	p := policy(t, schedule.Ladder{time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour}, schedule.Keep{})
	points := pointsAt(-4*time.Hour, -2*time.Hour, -90*time.Second, -30*time.Second, time.Hour)
	points[1].GoodUntil = newYear.Add(-70 * time.Minute)
	points[2].State = schedule.Bad
	want := []schedule.Answer{
		{Asked: time.Minute, Point: "20251231-220000", Age: 70 * time.Minute},
		{Asked: time.Hour, Point: "20251231-220000", Age: 70 * time.Minute},
		{Asked: 3 * time.Hour, Point: "20251231-200000", Age: 4 * time.Hour},
		{Asked: 6 * time.Hour},
	}
	if got := p.Answers(newYear, points); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	points[1].GoodUntil = newYear.Add(-30 * time.Minute)
	if got := p.Answers(newYear, points)[1]; got.Age != time.Hour {
		t.Errorf("inside of its good-until a point is %s old, want 1h", got.Age)
	}
}
