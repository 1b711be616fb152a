package notify_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/notify"
)

// side is one of two trackers that go their own ways: what it sees, a minute after
// the other.
type side struct {
	*notify.Tracker
	told []string
}

func (s *side) see(now time.Time, subject string, ok bool) {
	for _, e := range s.Observe(now, notify.Observation{Subject: subject, Environment: "prod", OK: ok, Text: "broken"}) {
		s.told = append(s.told, string(e.Kind)+" "+e.Subject)
	}
}

func (s *side) tick(now time.Time) {
	for _, e := range s.Tick(now) {
		s.told = append(s.told, string(e.Kind)+" "+e.Subject)
	}
}

// What two saw apart becomes what both know.
func TestMerge(t *testing.T) {
	t.Parallel()
	const fails, well = false, true
	type seen struct {
		minute int
		ok     bool
	}
	for name, c := range map[string]struct {
		before      []seen
		alone, rest []seen // by the one that is cut off, and by the others
		failing     bool   // what both know then
		after       []string
	}{
		"nothing happened":                      {},
		"it failed before, and does":            {before: []seen{{-9, fails}}, failing: true},
		"it fails, as one alone saw":            {alone: []seen{{1, fails}}, failing: true},
		"it fails, as the others saw":           {rest: []seen{{1, fails}}, failing: true},
		"it fails, as both saw":                 {alone: []seen{{1, fails}}, rest: []seen{{2, fails}}, failing: true},
		"it was over, as one alone saw":         {before: []seen{{-9, fails}}, alone: []seen{{1, well}, {9, well}}},
		"it was over, as the others saw":        {before: []seen{{-9, fails}}, rest: []seen{{1, well}, {9, well}}},
		"it was over, as both saw":              {before: []seen{{-9, fails}}, alone: []seen{{1, well}, {9, well}}, rest: []seen{{2, well}, {8, well}}},
		"it came and went for one alone":        {alone: []seen{{1, fails}, {2, well}, {9, well}}},
		"it came and went for the others":       {rest: []seen{{1, fails}, {2, well}, {9, well}}},
		"it failed alone, and was over then":    {before: []seen{{-9, fails}}, alone: []seen{{1, fails}}, rest: []seen{{2, well}, {9, well}}},
		"it was over, and then failed alone":    {before: []seen{{-9, fails}}, alone: []seen{{9, fails}}, rest: []seen{{1, well}, {7, well}}, after: []string{"failing backup/prod"}, failing: true},
		"it was over alone, and then failed":    {before: []seen{{-9, fails}}, alone: []seen{{1, well}, {7, well}}, rest: []seen{{9, fails}}, failing: true},
		"it is well for a while, as one sees":   {before: []seen{{-9, fails}}, alone: []seen{{8, well}}, after: []string{"recovered backup/prod"}},
		"it is well for a while, as others see": {before: []seen{{-9, fails}}, rest: []seen{{8, well}}, after: []string{"recovered backup/prod"}},
		// People were told that it is well, by who saw that.
		"it was over alone, and fails still": {before: []seen{{-9, fails}}, alone: []seen{{3, well}}, rest: []seen{{4, fails}}, after: []string{"failing backup/prod"}, failing: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }
			common := &side{Tracker: &notify.Tracker{}}
			for _, s := range c.before {
				common.see(at(s.minute), "backup/prod", s.ok)
			}
			for _, e := range common.Untold() {
				common.Told(e)
			}
			go1, err := common.Clone()
			if err != nil {
				t.Fatal(err)
			}
			alone := &side{Tracker: go1}
			for minute := range 11 {
				for _, s := range c.alone {
					if s.minute == minute {
						alone.see(at(minute), "backup/prod", s.ok)
					}
				}
				for _, s := range c.rest {
					if s.minute == minute {
						common.see(at(minute), "backup/prod", s.ok)
					}
				}
				alone.tick(at(minute))
				common.tick(at(minute))
			}
			was, err := alone.State()
			if err != nil {
				t.Fatal(err)
			}
			version := common.Version()
			common.Merge(alone.Tracker, start)
			if common.Version() == version {
				t.Error("it is no other version")
			}
			if is, err := alone.State(); err != nil || string(is) != string(was) {
				t.Errorf("the other one was changed (%v)", err)
			}
			// The state is whole, and merging it again changes no more.
			again, err := common.Clone()
			if err != nil {
				t.Fatal(err)
			}
			again.Merge(alone.Tracker, start)
			if got, want := strings.Join(again.Failing("prod"), " "), strings.Join(common.Failing("prod"), " "); got != want || len(again.Untold()) != len(common.Untold()) {
				t.Errorf("merged twice %q fails, and %d are to be told; once it was %q and %d", got, len(again.Untold()), want, len(common.Untold()))
			}
			// Then it goes on as it was.
			common.told = nil
			if c.failing {
				common.see(at(11), "backup/prod", fails)
			}
			for minute := 12; minute < 40; minute++ {
				common.tick(at(minute))
			}
			if !slices.Equal(common.told, c.after) {
				t.Errorf("afterwards people hear %q, want %q", common.told, c.after)
			}
			if got := len(common.Failing("prod")) > 0; got != c.failing {
				t.Errorf("that it fails is known: %v, want %v", got, c.failing)
			}
			for minute := 40; minute < 120; minute++ {
				common.see(at(minute), "backup/prod", well)
			}
			if got := common.Failing("prod"); len(got) != 0 {
				t.Errorf("in the end %q fails", got)
			}
		})
	}
}

// Of what has to be told nothing is lost, and nothing is there twice.
func TestMergeOfWhatIsUntold(t *testing.T) {
	t.Parallel()
	a := &side{Tracker: &notify.Tracker{}}
	a.see(start.Add(-time.Minute), "mirror/old", false)
	other, err := a.Clone()
	if err != nil {
		t.Fatal(err)
	}
	b := &side{Tracker: other}
	a.see(start.Add(time.Minute), "mirror/a", false)
	b.see(start.Add(time.Minute), "mirror/b", false)
	warned := b.Warn(start.Add(time.Minute), "drill/b", "prod", "it grows", "")
	a.Told(a.Untold()[0]) // b does not know that
	a.Merge(b.Tracker, start)
	var subjects []string
	for _, e := range a.Untold() {
		subjects = append(subjects, e.Subject)
	}
	slices.Sort(subjects)
	if want := []string{"drill/b", "mirror/a", "mirror/b"}; !slices.Equal(subjects, want) || len(warned) != 1 {
		t.Errorf("untold is of %q, want %q", subjects, want)
	}
	if got := a.Warn(start.Add(2*time.Minute), "drill/b", "prod", "it grows", ""); len(got) != 0 {
		t.Errorf("it warns again: %v", got)
	}
}

// Who begins anew takes in all that another one knows.
func TestMergeOfEverything(t *testing.T) {
	t.Parallel()
	known := &side{Tracker: &notify.Tracker{}}
	for i := range 5 {
		known.see(start.Add(-envdb.Day), fmt.Sprint("mirror/", i), false)
	}
	anew := &side{Tracker: &notify.Tracker{}}
	anew.Merge(known.Tracker, time.Time{})
	for i := range 5 {
		anew.see(start.Add(-time.Hour), fmt.Sprint("mirror/", i), false)
	}
	if len(anew.told) != 0 || len(anew.Failing("prod")) != 5 || len(anew.Untold()) != 5 {
		t.Errorf("it told %q; %q fail, and %d are to be told", anew.told, anew.Failing("prod"), len(anew.Untold()))
	}
}

// What nobody has told is taken by one at a time.
func TestOrphans(t *testing.T) {
	t.Parallel()
	a := &side{Tracker: &notify.Tracker{}}
	a.see(start, "mirror/copy", false)
	after := 10 * time.Minute
	for _, c := range []struct {
		minute, want int
	}{{0, 0}, {10, 0}, {11, 1}, {12, 0}, {21, 0}, {22, 1}, {23, 0}} {
		// It is another daemon each time, which knows the state.
		next, err := a.Clone()
		if err != nil {
			t.Fatal(err)
		}
		version := next.Version()
		got := next.Orphans(start.Add(time.Duration(c.minute)*time.Minute), after)
		if len(got) != c.want || (next.Version() != version) != (c.want > 0) {
			t.Errorf("after %d minutes it takes %v, version %d after %d", c.minute, got, next.Version(), version)
		}
		a.Tracker = next
	}
	a.Told(a.Untold()[0])
	if got := a.Orphans(start.Add(time.Hour), after); len(got) != 0 {
		t.Errorf("it was told, and is taken: %v", got)
	}
}
