package schedule

import "time"

// Due says whether a backup is wanted. One backup serves everything that is
// due; on an unchanged source, to renew the good-until of its newest backup
// serves as well.
type Due struct {
	// Rungs are those whose current slot no restore point covers, finest first.
	Rungs Ladder
	// Bursts are due times of bursts that no restore point covers.
	Bursts []time.Time
	// Next is when next something becomes due that is not due now; zero for
	// never.
	Next time.Time
	// Running reports whether a backup is being taken. It covers the slots in
	// which it began; no other should begin beside it.
	Running bool
	// Duty says which rungs have to wait.
	Duty Duty
}

// Any reports whether anything is due.
func (d Due) Any() bool { return len(d.Rungs)+len(d.Bursts) > 0 }

// Due returns what is due at now, by the clock of who asks. Points may have any
// order. Bad points cover nothing, and neither does a moment that is dated in
// the future. What was missed is not made up for: only current slots count.
func (r Rules) Due(now time.Time, points []RestorePoint) Due {
	d := Due{Duty: r.Policy.Duty(now, points)}
	fresh, running := freshest(now, points)
	d.Running = running
	for _, rung := range d.Duty.Active {
		slot := slotOf(now, rung)
		covered := slotOf(fresh, rung)
		if covered < slot {
			d.Rungs = append(d.Rungs, rung)
		}
		d.soonest(slotStart(max(slot, covered)+1, rung))
	}
	for _, b := range r.Bursts {
		if at, due := b.due(now, fresh); due {
			d.Bursts = append(d.Bursts, at)
		}
		if next, found := b.next(now); found {
			d.soonest(next)
		}
	}
	return d
}

func (d *Due) soonest(t time.Time) {
	if d.Next.IsZero() || t.Before(d.Next) {
		d.Next = t
	}
}

// freshest returns the latest moment that a restore point covers. That a backup
// began counts like its point: on a source whose clock is behind, or far
// ahead, no point would ever lie in the current slot.
func freshest(now time.Time, points []RestorePoint) (fresh time.Time, running bool) {
	limit := now.Add(StopSkew)
	for i := len(points) - 1; i >= 0; i-- { // lists mostly end with the newest
		p := &points[i]
		switch p.State {
		case Running:
			running = true
		case Good:
			fresh = latestWithin(limit, fresh, p.GoodUntil)
		default:
			continue
		}
		fresh = latestWithin(limit, fresh, p.At)
		fresh = latestWithin(limit, fresh, p.Started)
	}
	return fresh, running
}

// latestWithin returns the later of two moments, or fresh if t is dated in the
// future.
func latestWithin(limit, fresh, t time.Time) time.Time {
	if t.After(fresh) && !t.After(limit) {
		return t
	}
	return fresh
}
