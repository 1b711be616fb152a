package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// dutyOf is how many backups the duration is taken from.
const dutyOf = 5

// Duty is how much of a ladder backups have the time for. Rungs that are
// suspended come back by themselves when backups are fast enough.
type Duty struct {
	// Took is the median duration of the last Of backups, at most five; 0 if none
	// was measured.
	Took              time.Duration
	Of                int
	Active, Suspended Ladder
}

// Duty returns which rungs run now. Points may have any order; those that are
// dated in the future do not count, or they would be the last for ever.
func (p Policy) Duty(now time.Time, points []RestorePoint) Duty {
	took := lastDurations(now, points)
	d := Duty{Of: len(took)}
	if d.Of > 0 {
		slices.Sort(took)
		d.Took = took[d.Of/2]
	}
	d.Active, d.Suspended = p.ladder.Fit(d.Took, p.maxDuty)
	return d
}

// lastDurations returns how long the newest backups took.
func lastDurations(now time.Time, points []RestorePoint) []time.Duration {
	limit := now.Add(StopSkew)
	last := make([]*RestorePoint, 0, dutyOf+1) // newest first
	for i := len(points) - 1; i >= 0; i-- {    // lists mostly end with the newest
		p := &points[i]
		if p.Took <= 0 || p.State == Running || p.At.After(limit) {
			continue
		}
		if len(last) == dutyOf && !last[dutyOf-1].At.Before(p.At) {
			continue
		}
		at, _ := slices.BinarySearchFunc(last, p, func(a, b *RestorePoint) int { return b.compare(a) })
		last = slices.Insert(last, at, p)
		last = last[:min(len(last), dutyOf)]
	}
	took := make([]time.Duration, len(last))
	for i, p := range last {
		took[i] = p.Took
	}
	return took
}

// RPO returns the effective recovery point objective: how much is lost at most
// while all goes well. A backup that runs when disaster strikes is of no use,
// so this is an interval and the time that a backup takes.
func (d Duty) RPO() time.Duration {
	if len(d.Active) == 0 {
		return 0
	}
	finest := d.Active[0]
	intervals := max(1, (d.Took+finest-1)/finest) // slower than its rung: every other slot, or fewer
	return intervals*finest + d.Took
}

// String says what is suspended and what that means, e.g. "backups take 3m40s:
// the rungs 1m and 2m are suspended, effective RPO 8m40s".
func (d Duty) String() string {
	switch {
	case len(d.Active) == 0:
		return "there is no ladder"
	case d.Of == 0:
		return fmt.Sprintf("no backup was measured yet, RPO %s and what a backup takes", envdb.FormatDuration(d.RPO()))
	case len(d.Suspended) == 0:
		return fmt.Sprintf("backups take %s, RPO %s", showTook(d.Took), envdb.FormatDuration(d.RPO().Round(time.Second)))
	}
	return fmt.Sprintf("backups take %s: %s suspended, effective RPO %s",
		showTook(d.Took), d.suspended(), envdb.FormatDuration(d.RPO().Round(time.Second)))
}

func (d Duty) suspended() string {
	names := make([]string, len(d.Suspended))
	for i, rung := range d.Suspended {
		names[i] = envdb.FormatDuration(rung)
	}
	if n := len(names) - 1; n > 0 {
		return "the rungs " + strings.Join(names[:n], ", ") + " and " + names[n] + " are"
	}
	return "the rung " + names[0] + " is"
}

func showTook(d time.Duration) string {
	unit := time.Millisecond
	if d >= time.Second {
		unit = time.Second
	}
	return envdb.FormatDuration(d.Round(unit))
}
