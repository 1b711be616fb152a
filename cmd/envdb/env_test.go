package main

import (
	"testing"
	"time"

	"github.com/envdb/envdb/internal/manager"
)

func TestLifeText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { then := now.Add(d); return &then }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		line manager.EnvironmentLine
		want string
	}{
		"declared":         {manager.EnvironmentLine{State: "declared"}, ""},
		"for ever":         {manager.EnvironmentLine{State: "created", Pattern: "test-*"}, "stays"},
		"for a time":       {manager.EnvironmentLine{State: "created", Pattern: "test-*", Expires: at(25 * time.Hour)}, "1d1h left"},
		"over":             {manager.EnvironmentLine{State: "created", Pattern: "test-*", Expires: at(-time.Hour)}, "its time is over"},
		"nobody looked":    {manager.EnvironmentLine{State: "created", Pattern: "test-*", Idle: 2 * day}, "stays, idle: nobody looked yet"},
		"used just now":    {manager.EnvironmentLine{State: "created", Pattern: "test-*", Idle: 2 * day, LastUsed: at(0), Observed: at(0)}, "stays, idle 0s of 2d0h"},
		"idle":             {manager.EnvironmentLine{State: "created", Pattern: "test-*", Expires: at(9 * day), Idle: 2 * day, LastUsed: at(-5 * time.Hour), Observed: at(-time.Hour)}, "9d0h left, idle 5h00m of 2d0h"},
		"nobody looks":     {manager.EnvironmentLine{State: "created", Pattern: "test-*", Idle: 2 * day, LastUsed: at(-4 * day), Observed: at(-3 * day)}, "stays, idle 4d0h of 2d0h (looked 3d ago)"},
		"it hibernates":    {manager.EnvironmentLine{State: "hibernating", Pattern: "test-*", Idle: 2 * day, LastUsed: at(-4 * day), Observed: at(-3 * day)}, "hibernating, stays"},
		"clocks that jump": {manager.EnvironmentLine{State: "created", Pattern: "test-*", Idle: 2 * day, LastUsed: at(time.Minute), Observed: at(time.Minute)}, "stays, idle 0s of 2d0h"},
	} {
		if got := lifeText(c.line, now); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
