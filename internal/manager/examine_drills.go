package manager

import (
	"context"
	"time"
)

// examineDrills says of each drill whether it proves anything: that one was never
// run, fails, is stale, missed an objective or always skips a check.
func (m *Manager) examineDrills(ctx context.Context, d *Diagnosis) {
	states, err := m.DrillStates(ctx)
	if err != nil {
		d.trouble("drills", err)
		return
	}
	for _, s := range states {
		about := "drill " + s.Name
		level := Trouble
		if s.LastRun.IsZero() {
			level = Caution
		}
		for _, what := range s.Trouble {
			d.add(about, level, "%s", what).Next = "envdb drill " + s.Name
		}
		for _, objective := range s.Missed {
			d.add(about, Trouble, "it missed its objective %s", objective).Next = "envdb drills show last"
		}
		for _, warning := range s.Warning {
			d.add(about, Caution, "%s", warning).Next = "envdb drills show last"
		}
		if len(s.Trouble) == 0 && len(s.Missed) == 0 {
			d.add(about, Fine, "it passed at %s", s.LastPass.UTC().Format(time.DateTime+" UTC"))
		}
	}
}
