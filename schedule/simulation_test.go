package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// fromFive is the standard ladder without its finest rungs: a year of it is
// simulated in a fifth of the time.
var fromFive = schedule.DefaultLadder()[2:]

// In fair weather a rung's question is answered off by at most the next finer
// rung, plus what the loop and a backup take; and the finest by itself.
func TestFairWeather(t *testing.T) {
	t.Parallel()
	took := 10 * time.Second
	f := schedule.Simulation{Policy: standard(t), From: newYear, Span: 5 * envdb.Day, Took: took}.Run()
	finer := time.Minute
	for _, r := range f.Rungs {
		if most := r.Rung + finer; r.Worst > most || r.Worst < r.Rung || r.Missing > 0 {
			t.Errorf("%s ago is %s old at worst, want at most %s; missing for %s", r.Rung, r.Worst, most, r.Missing)
		}
		finer = r.Rung
	}
	switch {
	case f.RPO != time.Minute+took:
		t.Errorf("the RPO is %s", f.RPO)
	case f.Backups != 5*24*60 || f.Failed+f.Bad+f.Unchanged+f.Broken+f.Suspended > 0:
		t.Errorf("%+v", f)
	case f.Most > 66:
		t.Errorf("%d restore points at once", f.Most)
	}
}

func TestForecastOfManyRungs(t *testing.T) {
	t.Parallel()
	f := policy(t, schedule.Ladder{time.Minute, time.Hour, 365 * envdb.Day}, schedule.Keep{}).Forecast(0)
	if f.Rungs[1].Worst != time.Hour+time.Minute || f.Rungs[2].Worst != 0 {
		t.Errorf("%+v", f.Rungs)
	}
	if f := (schedule.Policy{}).Forecast(time.Hour); len(f.Rungs) != 0 {
		t.Errorf("no ladder gives %+v", f)
	}
}

func TestSlowBackupsSuspendRungs(t *testing.T) {
	t.Parallel()
	took := 3*time.Minute + 40*time.Second
	f := schedule.Simulation{Policy: standard(t), From: newYear, Span: 3 * envdb.Day, Took: took}.Run()
	if f.Suspended != 4 || f.RPO != time.Hour+took {
		t.Errorf("%d rungs are suspended, the RPO is %s", f.Suspended, f.RPO)
	}
}

// weather draws spells of each kind.
type weather struct {
	from  time.Time
	span  time.Duration
	below func(limit time.Duration) time.Duration // a number by chance
}

func (w weather) spells(kind schedule.SpellKind, n int, longest, by time.Duration) []schedule.Spell {
	spells := make([]schedule.Spell, n)
	for i := range spells {
		from := w.moment()
		spells[i] = schedule.Spell{Kind: kind, From: from, Until: from.Add(w.below(longest) + time.Second), By: by}
	}
	return spells
}

func (w weather) moment() time.Time { return w.from.Add(w.below(w.span)) }

func (w weather) moments(n int) []time.Time {
	moments := make([]time.Time, n)
	for i := range moments {
		moments[i] = w.moment()
	}
	return moments
}

// bad are n spells of everything that can happen, and some in which the given
// clocks are wrong.
func (w weather) bad(n int, clocks ...schedule.SpellKind) []schedule.Spell {
	spells := slices.Concat(
		w.spells(schedule.Down, n, 8*time.Hour, 0),
		w.spells(schedule.Failing, n, 3*time.Hour, 0),
		w.spells(schedule.Damaging, n, time.Hour, 0),
		w.spells(schedule.Slow, n, 12*time.Hour, 4*time.Minute),
		w.spells(schedule.Idle, n, 3*envdb.Day, 0))
	for _, by := range []time.Duration{40 * time.Second, time.Hour, 365 * envdb.Day} {
		for _, clock := range clocks {
			spells = append(spells, w.spells(clock, n/4+1, 2*time.Hour, by)...)
			spells = append(spells, w.spells(clock, n/4+1, 2*time.Hour, -min(by, time.Hour))...)
		}
	}
	return spells
}

// checkBounds holds what a rung gives to what it promises in any weather: what
// expiry costs is less than the next finer rung, and beyond that only what
// nobody could take is missing.
func checkBounds(t interface{ Errorf(string, ...any) }, f schedule.Forecast) {
	finer := f.Rungs[0].Rung
	for _, r := range f.Rungs {
		if r.Thinned >= finer || r.Missing > 0 {
			t.Errorf("%s ago: expiry cost %s, want less than %s; missing for %s", r.Rung, r.Thinned, finer, r.Missing)
		}
		if most := r.Rung + finer + f.RPO; r.Worst > most {
			t.Errorf("%s ago is %s old at worst, want at most %s", r.Rung, r.Worst, most)
		}
		finer = r.Rung
	}
}

// theYear is a year of everything that happens to a team, and what it comes
// to.
var theYear = sync.OnceValue(func() schedule.Forecast {
	t := panics{}
	chance := rand.New(rand.NewPCG(2026, 5))
	w := weather{from: newYear, span: 365 * envdb.Day, below: func(limit time.Duration) time.Duration {
		return time.Duration(chance.Int64N(int64(limit))).Truncate(time.Second)
	}}
	usual := policy(t, fromFive, schedule.Keep{})
	fewer := policy(t, fromFive, schedule.Keep{Rungs: map[time.Duration]int{envdb.Day: 5}})
	holidays := newYear.Add(200 * envdb.Day)
	return schedule.Simulation{
		Policy: usual, From: w.from, Span: w.span, Took: 5 * time.Second,
		Spells: append(w.bad(20, schedule.SourceClock, schedule.DaemonClock),
			schedule.Spell{Kind: schedule.Idle, From: holidays, Until: holidays.Add(5 * envdb.Week)},
			schedule.Spell{Kind: schedule.Down, From: holidays.Add(50 * envdb.Day), Until: holidays.Add(60 * envdb.Day)}),
		Changes: []schedule.Change{{At: newYear.Add(90 * envdb.Day), Policy: fewer}, {At: newYear.Add(120 * envdb.Day), Policy: usual}},
		Pins:    w.moments(10), Bursts: w.moments(10),
	}.Run()
})

// panics fails outside of a test.
type panics struct{}

func (panics) Helper()           {}
func (panics) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestAYear(t *testing.T) {
	t.Parallel()
	f := theYear()
	checkBounds(t, f)
	if f.RPO < 10*envdb.Day || f.Backups < 60_000 || f.Failed == 0 || f.Bad == 0 || f.Unchanged == 0 || f.Pinned != 10 || f.Suspended == 0 {
		t.Errorf("not everything happened: %+v", f)
	}
	for _, r := range f.Rungs {
		t.Logf("%8s ago: %s old at worst (%s), %s of it from expiry", r.Rung, r.Worst, r.At.Format(time.DateTime), r.Thinned)
	}
	t.Logf("%+v", f)
}

// If the clocks of the source and the daemon are wrong together, points of next
// year look real and move the rungs on. Each loses no more slots than the wrong
// time filled: after two hours, the rung 1h has real ones left, and answers for
// the finer ones.
func TestBothClocksWrong(t *testing.T) {
	t.Parallel()
	wrong := newYear.Add(10 * envdb.Day)
	f := schedule.Simulation{
		Policy: policy(t, fromFive, schedule.Keep{}), From: newYear, Span: 13 * envdb.Day, Took: 5 * time.Second,
		Spells: []schedule.Spell{
			{Kind: schedule.SourceClock, From: wrong, Until: wrong.Add(2 * time.Hour), By: 365 * envdb.Day},
			{Kind: schedule.DaemonClock, From: wrong, Until: wrong.Add(2 * time.Hour), By: 365 * envdb.Day},
		},
	}.Run()
	for _, r := range f.Rungs {
		if r.Thinned >= max(r.Rung, time.Hour) || r.Missing > 0 {
			t.Errorf("%s ago: expiry cost %s, missing for %s", r.Rung, r.Thinned, r.Missing)
		}
	}
}

func TestAnyWeather(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := weather{from: newYear, span: 2 * envdb.Day, below: func(limit time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(limit/time.Second)-1).Draw(t, "seconds")) * time.Second
		}}
		// Both clocks may not be wrong together: see TestBothClocksWrong.
		clock := rapid.SampledFrom([]schedule.SpellKind{schedule.SourceClock, schedule.DaemonClock}).Draw(t, "clock")
		ladder := schedule.Ladder{10 * time.Minute, 45 * time.Minute, 2 * time.Hour, 12 * time.Hour}
		f := schedule.Simulation{
			Policy: policy(t, ladder, schedule.Keep{}), From: w.from, Span: w.span,
			Took:   time.Duration(rapid.Int64Range(0, 150).Draw(t, "took")) * time.Second,
			Spells: w.bad(rapid.IntRange(0, 2).Draw(t, "n"), clock),
			Pins:   w.moments(2), Bursts: w.moments(1),
		}.Run()
		checkBounds(t, f)
	})
}
