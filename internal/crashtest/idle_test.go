package crashtest_test

import (
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/s3test"
)

// While nothing changes, a pass of the loop costs one small read of the bucket
// for each environment, however much is to be done about it, and nothing else.
func TestAnIdlePassCostsAReadForEachEnvironment(t *testing.T) {
	t.Parallel()
	// An environment that sleeps is not connected to for its finest rung, which
	// still has the loop look every second.
	const care = "backup: {ladder: [1s, 1d], keep: 10, max_duty: 100%}\n    wake: false\n    verify: {schedule: \"CRON_TZ=UTC 0 4 1 1 *\"}"
	names := []string{"prod", "shop", "till"}
	f := newFleet(t, pgtest.Start(t), care, "housekeeping: 1h", names...)
	for _, d := range f.backed {
		f.run(t, 0, "backup", d.env)
	}
	m := f.machine(t, "one")
	k := m.keep(t)
	chores := []string{"watch", "reap", "runs", "ages"}
	for _, name := range names {
		chores = append(chores, "tidy/"+name, "expire/"+name)
	}
	for _, chore := range chores {
		eventually(t, chore+" is done", func() bool { return k.metric(`task_last_success_timestamp_seconds{task="`+chore+`"}`) > 0 })
	}
	looks := func() int { return int(k.metric(`task_looks_total{outcome="ok"}`)) }
	tasks := int(k.metric("tasks"))
	const passes = 5
	before, first := looks(), m.proxy.Count()
	eventually(t, "the loop has looked again", func() bool { return looks() >= before+passes*tasks })
	calls := m.proxy.Calls()[first:]
	counts := map[string]int{}
	for _, c := range calls {
		switch {
		case strings.Contains(c.Key, "/heads/"):
			counts[c.Operation+" of a head"]++
		case ofTheDaemon(c):
			// What the daemon does every half minute whatever there is; on a busy
			// machine the passes last as long.
		default:
			counts[c.Operation+" of something else: "+c.Key]++
		}
	}
	passed := (looks() - before + tasks - 1) / tasks
	t.Logf("%d environments, %d tasks, %d passes: %v", len(names), tasks, passed, counts)
	if most := len(names) * (passed + 1); len(counts) != 1 || counts["GetObject of a head"] > most {
		t.Errorf("%d passes made the calls %v, want at most %d reads of heads", passed, counts, most)
	}
	if n := len(f.restorePoints(t, "prod")); n != 1 {
		t.Errorf("an environment that sleeps was backed up %d times", n-1)
	}
}

// ofTheDaemon reports whether a call is of what daemons know of each other.
func ofTheDaemon(c s3test.Call) bool {
	for _, what := range []string{"/daemons/", "/shared/", "/leases/"} {
		if strings.Contains(c.Key+"/", what) {
			return true
		}
	}
	return false
}
