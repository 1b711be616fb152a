package schedule_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// newestBefore returns the newest good point at or before a moment.
func newestBefore(points []schedule.RestorePoint, moment time.Time) (best schedule.RestorePoint, found bool) {
	for _, p := range points {
		if p.State == schedule.Good && !p.At.After(moment) && (!found || !p.At.Before(best.At)) {
			best, found = p, true
		}
	}
	return best, found
}

// Whatever was taken when: as far back as a rung reaches, what is kept is
// behind what was taken by less than the rung's interval.
func TestAPointAtOrBeforeEveryAge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := drawHistory(t, newYear)
		if len(points) == 0 {
			return
		}
		p := drawPolicy(t)
		now := points[len(points)-1].At
		left := kept(schedule.Rules{Policy: p}, now, points)
		moment := now.Add(-time.Duration(rapid.Int64Range(0, int64(now.Sub(newYear)/time.Second)).Draw(t, "ago")) * time.Second)
		taken, found := newestBefore(points, moment)
		if !found {
			return
		}
		for i, rung := range p.Ladder() {
			if occupiedSince(points, rung, taken.At) > p.Slots()[i] {
				continue // the rung does not reach so far
			}
			got, found := newestBefore(left, moment)
			if !found || taken.At.Sub(got.At) >= rung {
				t.Fatalf("at %s %s was taken, and %s is left (%v); the rung %s reaches so far", moment, taken.At, got.At, found, rung)
			}
			return
		}
	})
}

// occupiedSince counts the slots of a rung that are occupied from a moment on.
func occupiedSince(points []schedule.RestorePoint, rung time.Duration, since time.Time) int {
	slots := map[int64]bool{}
	for _, p := range points {
		if slot := p.At.Unix() / int64(rung/time.Second); slot >= since.Unix()/int64(rung/time.Second) {
			slots[slot] = true
		}
	}
	return len(slots)
}

// Under auto, who asks for one interval ago gets a point that is off by at most
// the next finer rung, if backups were taken whenever they were due.
func TestAutoReachesTheNextRung(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfNDistinct(rapid.Int64Range(60, 3000), 1, 5, rapid.ID[int64]).Draw(t, "rungs")
		slices.Sort(seconds)
		ladder := make(schedule.Ladder, len(seconds))
		for i, s := range seconds {
			ladder[i] = time.Duration(s) * time.Second
		}
		f := schedule.Simulation{
			Policy: policy(t, ladder, schedule.Keep{}), From: newYear, Span: 4 * ladder[len(ladder)-1], Wake: time.Second,
		}.Run()
		finer := ladder[0]
		for _, r := range f.Rungs {
			if r.Worst > r.Rung+finer+time.Second || r.Worst < r.Rung || r.Missing > 0 {
				t.Fatalf("%s ago is %s old at worst, missing for %s", r.Rung, r.Worst, r.Missing)
			}
			finer = r.Rung
		}
	})
}

// The ladder keeps as many points as it has slots, and one: however long
// backups have been taken.
func TestTheCountIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := drawHistory(t, newYear)
		p := drawPolicy(t)
		most := 1
		for _, n := range p.Slots() {
			most += n
		}
		if left := kept(schedule.Rules{Policy: p}, newYear.Add(20*365*envdb.Day), points); len(left) > most {
			t.Fatalf("%d points are left, want at most %d", len(left), most)
		}
	})
}

// Expiring often or once makes no difference: no decision wants a point that
// an earlier one let go.
func TestNoDecisionWantsADeletedPoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := schedule.Rules{Policy: drawPolicy(t)}
		points := drawHistory(t, newYear)
		if rapid.Bool().Draw(t, "burst") {
			rules.Bursts = append(rules.Bursts, schedule.NewBurst(newYear.Add(time.Duration(rapid.IntRange(0, 50_000).Draw(t, "begun"))*time.Second)))
		}
		for i := range points {
			points[i].Pinned = rapid.IntRange(0, 9).Draw(t, "pinned") == 0
			if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
				points[i].State = schedule.Bad
			}
		}
		var left []schedule.RestorePoint
		for i, p := range points {
			left = append(left, p)
			if rapid.Bool().Draw(t, "expire") {
				left = kept(rules, p.At, left)
			}
			if once := ids(kept(rules, p.At, points[:i+1])); !slices.Equal(ids(kept(rules, p.At, left)), once) {
				t.Fatalf("at %s: %v are left, want %v", p.At, ids(kept(rules, p.At, left)), once)
			}
		}
	})
}

// Silence, however long, expires nothing.
func TestSilenceExpiresNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := schedule.Rules{Policy: drawPolicy(t), Bursts: []schedule.Burst{schedule.NewBurst(newYear)}}
		points := drawHistory(t, newYear)
		if len(points) == 0 {
			return
		}
		now := points[len(points)-1].At
		if before, after := kept(rules, now, points), kept(rules, now.Add(10*365*envdb.Day), points); !slices.Equal(ids(before), ids(after)) {
			t.Fatalf("%d points are left of %d", len(after), len(before))
		}
	})
}

// What was promised when a point was written is kept, whatever is taken later;
// for a representative that is at least N-1 intervals.
func TestPromisesAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		rules := schedule.Rules{Policy: p}
		var left []schedule.RestorePoint
		for _, next := range drawHistory(t, newYear) {
			next.Promised = p.Promise(next, left)
			checkPromise(t, p, next, left)
			left = append(left, next)
			for _, d := range rules.Keep(next.At, left) {
				i := slices.IndexFunc(left, func(q schedule.RestorePoint) bool { return q.ID == d.ID })
				if !d.Kept() && left[i].Promised.After(next.At) {
					t.Fatalf("%s goes at %s, and was promised until %s", d.ID, next.At, left[i].Promised)
				}
			}
			left = kept(rules, next.At, left)
		}
	})
}

func checkPromise(t *rapid.T, p schedule.Policy, next schedule.RestorePoint, others []schedule.RestorePoint) {
	for i, rung := range p.Ladder() {
		seconds := int64(rung / time.Second)
		first := !slices.ContainsFunc(others, func(q schedule.RestorePoint) bool { return q.At.Unix()/seconds == next.At.Unix()/seconds })
		if least := time.Duration(p.Slots()[i]-1) * rung; first && next.Promised.Sub(next.At) < least {
			t.Fatalf("%s represents a slot of %s and is promised for %s, want %s", next.ID, rung, next.Promised.Sub(next.At), least)
		}
	}
}

// The order of what is given does not matter, and nothing of it changes.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rules := schedule.Rules{Policy: drawPolicy(t)}
		points := drawHistory(t, newYear)
		if len(points) == 0 {
			return
		}
		now := points[len(points)-1].At
		shuffled := rapid.Permutation(points).Draw(t, "order")
		if reasons(rules.Keep(now, points)) != reasons(rules.Keep(now, shuffled)) {
			t.Fatal("another order decides otherwise")
		}
		due, again := rules.Due(now.Add(time.Minute), points), rules.Due(now.Add(time.Minute), shuffled)
		if !slices.Equal(due.Rungs, again.Rungs) || due.Next != again.Next {
			t.Fatalf("%s and %s are due", due.Rungs, again.Rungs)
		}
	})
}

// Whatever is given, some things hold: bad points stand for nothing, what is
// pinned, running or unreadable stays, and so does the newest good point.
func TestWhateverIsGiven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		points := drawAnything(t)
		now := drawMoment(t, "now")
		rules := schedule.Rules{Policy: drawPolicy(t), Bursts: []schedule.Burst{schedule.NewBurst(drawMoment(t, "burst")), {}}}
		if rapid.Bool().Draw(t, "changed") {
			rules.Before = append(rules.Before, schedule.Superseded{Policy: drawPolicy(t), At: drawMoment(t, "at")})
		}
		decisions := rules.Keep(now, points)
		byID := map[envdb.BackupID]bool{}
		for i, d := range decisions {
			p := points[i]
			byID[p.ID] = d.Kept()
			if mustStay := p.Pinned || p.State == schedule.Running || p.State == schedule.Unreadable || p.At.After(now.Add(schedule.StopSkew)); mustStay && !d.Kept() {
				t.Fatalf("%+v goes", p)
			}
			for _, r := range d.Reasons {
				if p.State != schedule.Good && slices.Contains([]schedule.Why{schedule.Represents, schedule.NewestGood, schedule.NewestProven, schedule.OldPolicy, schedule.InBurst}, r.Why) {
					t.Fatalf("%+v stays as %s", p, r)
				}
			}
		}
		if newest, found := newestBefore(points, now.Add(schedule.StopSkew)); found && !byID[newest.ID] {
			t.Fatalf("the newest good point %+v goes", newest)
		}
		for i, p := range points {
			for _, base := range p.DependsOn {
				if stays, there := byID[base]; decisions[i].Kept() && there && !stays {
					t.Fatalf("%s stays without %s", p.ID, base)
				}
			}
		}
		rules.Due(now, points)
		rules.Policy.Answers(now, points)
		for _, p := range points {
			rules.Policy.Promise(p, points)
		}
	})
}

// drawMoment draws moments that are close to each other, and absurd ones.
func drawMoment(t *rapid.T, name string) time.Time {
	seconds := rapid.OneOf(rapid.Int64Range(0, 100_000), rapid.Int64Range(-63e9, 250e9)).Draw(t, name)
	if seconds == 0 {
		return time.Time{}
	}
	return newYear.Add(time.Duration(seconds%100_000)*time.Second).AddDate(int(seconds/100_000/3600), 0, 0)
}

func drawAnything(t *rapid.T) []schedule.RestorePoint {
	points := make([]schedule.RestorePoint, rapid.IntRange(0, 40).Draw(t, "points"))
	for i := range points {
		points[i] = schedule.RestorePoint{
			ID:        envdb.NewBackupID(newYear.Add(time.Duration(i) * time.Second)),
			State:     rapid.SampledFrom([]schedule.State{schedule.Good, schedule.Good, schedule.Bad, schedule.Running, schedule.Unreadable}).Draw(t, "state"),
			At:        drawMoment(t, "moment"),
			GoodUntil: drawMoment(t, "good until"),
			Started:   drawMoment(t, "started"),
			Took:      time.Duration(rapid.Int64Range(-1e12, 1e14).Draw(t, "took")),
			Pinned:    rapid.IntRange(0, 9).Draw(t, "pinned") == 0,
			Proven:    rapid.IntRange(0, 9).Draw(t, "proven") == 0,
		}
		if rapid.IntRange(0, 2).Draw(t, "depends") == 0 {
			j := rapid.IntRange(0, len(points)-1).Draw(t, "on")
			points[i].DependsOn = []envdb.BackupID{envdb.NewBackupID(newYear.Add(time.Duration(j) * time.Second))}
		}
	}
	return points
}
