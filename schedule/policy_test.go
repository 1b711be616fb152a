package schedule_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

func TestNewPolicyRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ladder schedule.Ladder
		keep   schedule.Keep
		duty   float64
	}{
		"no rung":         {nil, schedule.Keep{}, 0},
		"a rung of zero":  {schedule.Ladder{0}, schedule.Keep{}, 0},
		"below a second":  {schedule.Ladder{time.Millisecond}, schedule.Keep{}, 0},
		"negative":        {schedule.Ladder{-time.Hour}, schedule.Keep{}, 0},
		"unordered":       {schedule.Ladder{time.Hour, time.Minute}, schedule.Keep{}, 0},
		"keep too few":    {schedule.Ladder{time.Hour}, schedule.Keep{All: -1}, 0},
		"keep too many":   {schedule.Ladder{time.Hour}, schedule.Keep{All: 1 << 40}, 0},
		"keep 0 of one":   {schedule.Ladder{time.Hour}, schedule.Keep{Rungs: map[time.Duration]int{time.Hour: 0}}, 0},
		"negative duty":   {schedule.Ladder{time.Hour}, schedule.Keep{}, -0.1},
		"more than whole": {schedule.Ladder{time.Hour}, schedule.Keep{}, 1.1},
	} {
		if _, err := schedule.NewPolicy(c.ladder, c.keep, c.duty); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPolicyCannotBeChangedFromOutside(t *testing.T) {
	t.Parallel()
	ladder := schedule.DefaultLadder()
	p := policy(t, ladder, schedule.Keep{})
	ladder[0], p.Ladder()[1], p.Slots()[0] = 0, 0, 0
	if !p.Equal(standard(t)) {
		t.Errorf("%s keeps %v", p.Ladder(), p.Slots())
	}
}

func TestPolicyInJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var again schedule.Policy
		if err := json.Unmarshal(text, &again); err != nil || !again.Equal(p) {
			t.Fatalf("%s: %v", text, err)
		}
	})
	text, err := json.Marshal(standard(t))
	want := `{"ladder":"[1m, 2m, 5m, 10m, 1h, 3h, 6h, 1d]","slots":[4,5,4,8,5,4,6,30],"max_duty":0.25}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	var none schedule.Policy
	if err := json.Unmarshal([]byte("null"), &none); err != nil || !none.IsZero() {
		t.Errorf("null is %s, %v", none.Ladder(), err)
	}
	if text, err := json.Marshal(none); err != nil || string(text) != "null" {
		t.Errorf("no policy is %s, %v", text, err)
	}
	for _, text := range []string{`[]`, `{}`, `{"ladder":"[1h]","slots":[]}`, `{"ladder":"[1h]","slots":[0]}`, `{"ladder":"[1h, 1m]","slots":[1,1]}`} {
		if json.Unmarshal([]byte(text), &none) == nil || !none.IsZero() {
			t.Errorf("%s is a policy", text)
		}
	}
}
