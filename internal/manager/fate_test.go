package manager

import (
	"testing"
	"time"

	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

func TestFate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	in := func(d time.Duration) time.Time { return now.Add(d) }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		instance ledger.Instance
		idle     time.Duration
		want     Fate
		due      time.Time
	}{
		"for ever":                     {ledger.Instance{}, 0, Stays, time.Time{}},
		"long before":                  {ledger.Instance{Expires: in(25 * time.Hour)}, 0, Stays, in(25 * time.Hour)},
		"a day before":                 {ledger.Instance{Expires: in(day)}, 0, Warned, in(day)},
		"warned already":               {ledger.Instance{Expires: in(time.Hour), Warned: ago(day)}, 0, Warned, in(time.Hour)},
		"over, and nobody was warned":  {ledger.Instance{Expires: ago(day)}, 0, Warned, in(time.Hour)},
		"over, and warned just now":    {ledger.Instance{Expires: ago(day), Warned: ago(time.Minute)}, 0, Warned, in(59 * time.Minute)},
		"over, and warned an hour ago": {ledger.Instance{Expires: ago(day), Warned: ago(time.Hour)}, 0, Goes, ago(time.Hour).Add(time.Hour)},
		"over, and protected":          {ledger.Instance{Expires: ago(day), Warned: ago(day), ProtectedUntil: in(time.Minute)}, 0, Protected, ago(day)},
		"protected once":               {ledger.Instance{Expires: ago(2 * day), Warned: ago(2 * day), ProtectedUntil: ago(time.Minute)}, 0, Goes, ago(2 * day).Add(time.Hour)},
		"begun":                        {ledger.Instance{Destroying: ago(time.Minute)}, 0, Goes, ago(time.Minute)},
		"never looked at":              {ledger.Instance{}, day, Stays, time.Time{}},
		"used today":                   {ledger.Instance{Use: ledger.Use{Last: ago(time.Hour)}}, 2 * day, Stays, in(47 * time.Hour)},
		"idle soon":                    {ledger.Instance{Use: ledger.Use{Last: ago(30 * time.Hour)}}, 2 * day, Warned, in(18 * time.Hour)},
		"idle, and warned":             {ledger.Instance{Use: ledger.Use{Last: ago(3 * day)}, Warned: ago(day)}, 2 * day, Goes, ago(day).Add(time.Hour)},
		"idle before its time is over": {ledger.Instance{Expires: in(9 * day), Use: ledger.Use{Last: ago(3 * day)}, Warned: ago(day)}, 2 * day, Goes, ago(day).Add(time.Hour)},
		"used, and its time is over":   {ledger.Instance{Expires: ago(time.Minute), Use: ledger.Use{Last: now}, Warned: ago(day)}, 2 * day, Goes, ago(time.Minute)},
		"idle of a pattern without":    {ledger.Instance{Use: ledger.Use{Last: ago(90 * day)}}, 0, Stays, time.Time{}},
	} {
		got, due, why := fate(&c.instance, c.idle, now)
		if got != c.want || !due.Equal(c.due) {
			t.Errorf("%s: %s at %s (%s), want %s at %s", name, got, due, why, c.want, c.due)
		}
		if got != Stays && why == "" {
			t.Errorf("%s: nobody says why", name)
		}
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	reset := now.Add(-time.Hour)
	was := ledger.Use{At: now.Add(-time.Hour), OID: 7, Sessions: 40, Reset: reset, Last: now.Add(-48 * time.Hour)}
	same := generation.Use{OID: 7, Sessions: 40, Reset: reset}
	for name, c := range map[string]struct {
		was    ledger.Use
		change func(*generation.Use)
		used   bool
	}{
		"nobody":            {was, func(*generation.Use) {}, false},
		"somebody came":     {was, func(u *generation.Use) { u.Sessions++ }, true},
		"somebody is there": {was, func(u *generation.Use) { u.Connected = 1 }, true},
		"another database":  {was, func(u *generation.Use) { u.OID = 8 }, true},
		"counters reset":    {was, func(u *generation.Use) { u.Reset = now }, true},
		"a crash":           {was, func(u *generation.Use) { u.Sessions = 0 }, true},
		"the first look":    {ledger.Use{}, func(*generation.Use) {}, true},
	} {
		seen := same
		c.change(&seen)
		is := observe(c.was, seen, now)
		if used := is.Last.Equal(now); used != c.used {
			t.Errorf("%s: last used %s", name, is.Last)
		}
		if is.At != now || is.Sessions != seen.Sessions || is.OID != seen.OID {
			t.Errorf("%s: %+v", name, is)
		}
	}
}
