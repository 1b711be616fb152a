package config

import (
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// Quiet are the hours in which the daemon does not connect to an environment's
// server. The zero Quiet has none.
type Quiet []schedule.Window

// longestQuiet bounds the hours that follow upon each other: windows that
// leave no gap in a week never end.
const longestQuiet = 8 * envdb.Day

// At reports whether t is in one of the windows, and if so until when the
// hours are quiet: one window may begin before another ends.
func (q Quiet) At(t time.Time) (until time.Time, quiet bool) {
	until = t
	for until.Sub(t) < longestQuiet {
		end, inside := q.next(until)
		if !inside {
			break
		}
		until, quiet = end, true
	}
	if !quiet {
		return time.Time{}, false
	}
	return until.UTC(), true
}

// next returns when the windows that hold t end.
func (q Quiet) next(t time.Time) (end time.Time, inside bool) {
	for _, w := range q {
		if until, in := w.At(t); in && until.After(end) {
			end, inside = until, true
		}
	}
	return end, inside
}

// quiet reads a list of windows.
func (v value) quiet() Quiet {
	var q Quiet
	for _, item := range v.list() {
		text := item.text()
		if text == "" {
			continue
		}
		w, err := schedule.ParseWindow(text)
		if err != nil {
			item.failed(err)
			continue
		}
		if !w.Zoned() {
			v.doc.warn(item.at(), "%s names no zone and is read in UTC; write it behind the hours", item.path)
		}
		q = append(q, w)
	}
	// A week in winter and one in summer: the clocks of zones differ.
	for _, at := range []time.Time{time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC), time.Date(2026, 7, 8, 12, 0, 0, 0, time.UTC)} {
		if until, quiet := q.At(at); quiet && until.Sub(at) >= longestQuiet {
			v.hint("leave hours in which it may", "leaves no time in which the daemon may connect")
			break
		}
	}
	return q
}

// WakingLadder returns the rungs by which the daemon takes restore points: all
// of them, or with wake: false only the coarsest, so that a server that sleeps
// is woken no more often than that.
func (e Environment) WakingLadder() schedule.Ladder {
	if n := len(e.Backup.Ladder); n > 0 && e.Sleeps {
		return e.Backup.Ladder[n-1:]
	}
	return e.Backup.Ladder
}
