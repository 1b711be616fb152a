package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// Objectives are what recovery may take, and lose. Zero asks for nothing.
type Objectives struct {
	RTO time.Duration `json:"rto_ns,omitempty"`
	RPO time.Duration `json:"rpo_ns,omitempty"`
}

// Measured is what a drill measured.
type Measured struct {
	// RTO is the time from the request until the database was checked and its
	// statistics usable.
	RTO time.Duration `json:"rto_ns"`
	// Behind is how far before the moment that was asked for the restored state
	// lies. It is 0 where the point names no moment.
	Behind time.Duration `json:"behind_ns"`
	// Freshness is how far before that moment the newest row lies that the
	// user's query found in the restored data; nil without a query.
	Freshness *time.Duration `json:"freshness_ns,omitempty"`
	// WorstGap is the longest time within the window that no restore point
	// covers, Window how far back was looked. Nil if there is one point only.
	WorstGap *time.Duration `json:"worst_gap_ns,omitempty"`
	Window   time.Duration  `json:"window_ns,omitempty"`
}

// Verdict is an objective and whether it was met.
type Verdict struct {
	Name    string        `json:"name"` // "RTO", "RPO", "RPO (freshness)"
	Limit   time.Duration `json:"limit_ns"`
	Got     time.Duration `json:"got_ns"`
	Outcome Outcome       `json:"outcome"`
}

// Judge holds what was measured to the objectives.
func (o Objectives) Judge(m Measured) []Verdict {
	all := []Verdict{}
	judge := func(name string, limit, got time.Duration) {
		v := Verdict{Name: name, Limit: limit, Got: got, Outcome: Pass}
		if got > limit {
			v.Outcome = Fail
		}
		all = append(all, v)
	}
	if o.RTO > 0 {
		judge("RTO", o.RTO, m.RTO)
	}
	if o.RPO > 0 {
		judge("RPO", o.RPO, m.Behind)
		if m.Freshness != nil {
			judge("RPO (freshness)", o.RPO, *m.Freshness)
		}
	}
	return all
}

// Gap returns the longest time within the window before now that no point
// covers. A point covers what lies between its moment and its good-until.
func Gap(points []Covered, now time.Time, window time.Duration) (time.Duration, bool) {
	begin := now.Add(-window)
	all := slices.Clone(points)
	slices.SortFunc(all, func(a, b Covered) int { return a.From.Compare(b.From) })
	var worst time.Duration
	var until time.Time // what is covered without a gap, so far
	for _, p := range all {
		if p.From.After(now) {
			break
		}
		if from := later(until, begin); !until.IsZero() && p.From.After(from) {
			worst = max(worst, p.From.Sub(from))
		}
		until = later(until, later(p.From, p.Until))
	}
	if until.IsZero() {
		return 0, false
	}
	return max(worst, now.Sub(later(until, begin))), true
}

// Covered is a stretch of time for which a restore point is exact.
type Covered struct{ From, Until time.Time }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Past is what an earlier drill of the same name measured.
type Past struct {
	Number  int           `json:"number"`
	Run     string        `json:"run"`
	At      time.Time     `json:"at"`
	Outcome Outcome       `json:"outcome"`
	RTO     time.Duration `json:"rto_ns"`
}

// The trend looks this far ahead, and needs that many drills.
const (
	TrendAhead = 30 * envdb.Day
	trendNeeds = 5
)

// Trend is where RTO is heading.
type Trend struct {
	// PerDay is the median of the slopes between all pairs of drills (Theil 1950,
	// Sen 1968): one slow night does not bend it.
	PerDay time.Duration `json:"per_day_ns"`
	Drills int           `json:"drills"`
	// Crosses is when it will pass the objective, if that is within TrendAhead.
	Crosses *time.Time `json:"crosses,omitempty"`
}

// TrendOf returns the trend of drills that passed, oldest first or not; nil if
// there are too few, or they lie within a day.
func TrendOf(past []Past, limit time.Duration, now time.Time) *Trend {
	ran := slices.DeleteFunc(slices.Clone(past), func(p Past) bool { return p.RTO <= 0 || p.Outcome != Pass })
	slices.SortFunc(ran, func(a, b Past) int { return a.At.Compare(b.At) })
	if len(ran) < trendNeeds || ran[len(ran)-1].At.Sub(ran[0].At) < envdb.Day {
		return nil
	}
	var slopes []float64
	for i, a := range ran {
		for _, b := range ran[i+1:] {
			if days := b.At.Sub(a.At).Hours() / 24; days > 0 {
				slopes = append(slopes, float64(b.RTO-a.RTO)/days)
			}
		}
	}
	slope := median(slopes)
	var levels []float64 // of the line through them, now
	for _, p := range ran {
		levels = append(levels, float64(p.RTO)+slope*now.Sub(p.At).Hours()/24)
	}
	t := &Trend{PerDay: time.Duration(slope), Drills: len(ran)}
	level := median(levels)
	if limit > 0 && slope > 0 {
		days := max(0, (float64(limit)-level)/slope)
		if at := now.Add(time.Duration(days * float64(envdb.Day))); at.Sub(now) <= TrendAhead {
			t.Crosses = &at
		}
	}
	return t
}

// Warning says of a trend what somebody should know, or "".
func (t *Trend) Warning() string {
	if t == nil || t.Crosses == nil {
		return ""
	}
	return fmt.Sprintf("RTO grows by %s a day, and passes its objective about %s", envdb.FormatDuration(t.PerDay.Round(time.Millisecond)), t.Crosses.UTC().Format(time.DateOnly))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
