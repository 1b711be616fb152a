package schedule_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// reasons writes decisions as "HH:MM reason, reason" a line, oldest first.
func reasons(decisions []schedule.Decision) string {
	lines := make([]string, len(decisions))
	for i, d := range decisions {
		var words []string
		for _, r := range d.Reasons {
			words = append(words, r.String())
		}
		lines[i] = fmt.Sprintf("%s: %s", d.ID, strings.Join(words, ", "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// What a drill rejected can be looked at for thirty days, and no longer.
func TestRejectedPointsAreKeptForInspection(t *testing.T) {
	t.Parallel()
	rejected, newest := point(utc(t, "2026-01-01 10:00:00")), point(utc(t, "2026-03-01 10:00:00"))
	rejected.State, rejected.Rejected = schedule.Bad, true
	rules := schedule.Rules{Policy: policy(t, schedule.Ladder{10 * time.Minute}, schedule.Keep{All: 2})}
	for at, want := range map[string]string{
		"2026-01-01 11:00:00": "20260101-100000: rejected by a drill, kept for inspection until 2026-01-31 10:00",
		"2026-01-31 09:59:00": "20260101-100000: rejected by a drill, kept for inspection until 2026-01-31 10:00",
		"2026-01-31 10:00:00": "20260101-100000: ",
	} {
		got := reasons(rules.Keep(utc(t, at), []schedule.RestorePoint{rejected, newest}))
		if !strings.HasPrefix(got, want) {
			t.Errorf("at %s: got %s, want %s", at, got, want)
		}
	}
}

func TestKeepGivesItsReasons(t *testing.T) {
	t.Parallel()
	at := func(hms string) schedule.RestorePoint { return point(utc(t, "2026-01-01 "+hms)) }
	proven, pinned, bad := at("08:20:00"), at("08:40:00"), at("10:00:00")
	proven.Proven, pinned.Pinned, bad.State = true, true, schedule.Bad
	base := at("07:10:00")
	pinned.DependsOn = []envdb.BackupID{base.ID, "20250101-000000"}
	running := at("11:30:00")
	running.State = schedule.Running
	future := point(utc(t, "2027-01-01 00:00:00"))
	rules := schedule.Rules{Policy: policy(t, schedule.Ladder{10 * time.Minute, time.Hour}, schedule.Keep{All: 2})}
	got := reasons(rules.Keep(utc(t, "2026-01-01 11:31:00"), []schedule.RestorePoint{
		at("11:22:00"), at("11:25:00"), at("11:14:00"), at("11:11:00"), at("11:05:00"), future, running,
		at("10:30:00"), bad, at("10:40:00"), at("09:10:00"), pinned, proven, base, at("07:20:00"),
	}))
	want := strings.Join([]string{
		"20260101-071000: needed by 20260101-084000",
		"20260101-072000: ",
		"20260101-082000: newest proven",
		"20260101-084000: pinned",
		"20260101-091000: ",
		"20260101-100000: ",
		"20260101-103000: 1h slot of 2026-01-01 10:00",
		"20260101-104000: ",
		"20260101-110500: 1h slot of 2026-01-01 11:00",
		"20260101-111100: 10m slot of 2026-01-01 11:10",
		"20260101-111400: ",
		"20260101-112200: 10m slot of 2026-01-01 11:20",
		"20260101-112500: newest good",
		"20260101-113000: running",
		"20270101-000000: dated in the future",
	}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKeepFollowsDependencies(t *testing.T) {
	t.Parallel()
	points := every(24*time.Hour, 6, newYear)
	for i := range points[1:] {
		points[i+1].DependsOn = []envdb.BackupID{points[i].ID}
	}
	points[0].DependsOn = []envdb.BackupID{points[5].ID} // a circle ends
	rules := schedule.Rules{Policy: policy(t, schedule.Ladder{envdb.Day}, schedule.Keep{All: 1})}
	for _, d := range rules.Keep(newYear, points) {
		if !d.Kept() {
			t.Errorf("%s is needed, and goes", d.ID)
		}
	}
}

func TestNothingGoesBlindly(t *testing.T) {
	t.Parallel()
	daily := schedule.Rules{Policy: policy(t, schedule.Ladder{envdb.Day}, schedule.Keep{All: 1})}
	bad := every(time.Hour, 50, newYear)
	for i := range bad {
		bad[i].State = schedule.Bad
	}
	unknown := every(time.Hour, 50, newYear)
	for i := range unknown {
		unknown[i].State = schedule.State(i % 2 * 17) // unreadable, and what a newer envdb may say
	}
	for name, c := range map[string]struct {
		rules  schedule.Rules
		points []schedule.RestorePoint
		want   string
	}{
		"no ladder":       {schedule.Rules{}, every(time.Hour, 50, newYear), "there is no ladder"},
		"none is good":    {daily, bad, "no restore point is good"},
		"none is known":   {daily, unknown, "cannot be read, no restore point is good"},
		"nothing at all":  {daily, nil, ""},
		"all next year":   {daily, every(time.Hour, 50, newYear.Add(365*envdb.Day)), "dated in the future, no restore point is good"},
		"one bad, one ok": {daily, append(every(time.Hour, 1, newYear), bad[0]), ""},
	} {
		decisions := c.rules.Keep(newYear, c.points)
		if got := len(decisions); got != len(c.points) {
			t.Errorf("%s: %d decisions", name, got)
		}
		for _, d := range decisions {
			if c.want != "" && !strings.Contains(reasons([]schedule.Decision{d}), c.want) {
				t.Errorf("%s: %s, want %s", name, reasons([]schedule.Decision{d}), c.want)
			}
		}
	}
}

// Thirty idle days must not leave one point of many: an unchanged database
// covers slots for Due, and occupies none for Keep.
func TestIdleWeeksExpireNothing(t *testing.T) {
	t.Parallel()
	rules := schedule.Rules{Policy: standard(t)}
	points := kept(rules, newYear, every(time.Minute, 60*24*40, newYear))
	before := ids(points)
	now := newYear.Add(30 * envdb.Day)
	points[len(points)-1].GoodUntil = now
	if after := ids(kept(rules, now, points)); !slices.Equal(before, after) {
		t.Errorf("%d of %d points are left", len(after), len(before))
	}
	if due := rules.Due(now, points); due.Any() {
		t.Errorf("%s are due", due.Rungs)
	}
}

// A clock that was a year ahead for a day must not push out what is real, nor
// keep anything from being taken.
func TestFuturePointsOccupyNoSlot(t *testing.T) {
	t.Parallel()
	rules := schedule.Rules{Policy: standard(t)}
	points := kept(rules, newYear, every(time.Minute, 60*24*40, newYear))
	before := ids(points)
	wrong := every(time.Minute, 60*24, newYear.Add(365*envdb.Day))
	after := ids(kept(rules, newYear, append(points, wrong...)))
	if want := append(before, ids(wrong)...); !slices.Equal(after, want) {
		t.Errorf("%d points are left, want %d", len(after), len(want))
	}
	if due := rules.Due(newYear.Add(time.Minute), append(points, wrong...)); !due.Any() {
		t.Error("nothing is due")
	}
}
