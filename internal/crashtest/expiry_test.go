package crashtest_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/schedule"
)

// changes says what kind of change a call makes to what expires, or "" if it
// makes none.
func changes(c s3test.Call) string {
	parts := strings.Split(strings.TrimPrefix(c.Key, "fleet/"+project+"/"), "/")
	verb := map[string]string{"PutObject": "store", "DeleteObject": "delete"}[c.Operation]
	if verb == "" {
		return ""
	}
	switch parts[0] {
	case "marks":
		return verb + " a mark " + parts[2]
	case "backups":
		return verb + " the " + parts[3] + " of a backup"
	case "packs":
		return verb + " a pack"
	case "heads":
		return verb + " the head"
	}
	return ""
}

// A daemon that is killed at any change of an expiry leaves backups that can all
// be read, and nothing that the next daemon does not finish: what goes is gone,
// and what the ladder keeps of all that ever was is there.
func TestDaemonIsKilledInAnExpiry(t *testing.T) {
	t.Parallel()
	ladder, keep := schedule.Ladder{time.Second, envdb.Day}, schedule.Keep{Rungs: map[time.Duration]int{time.Second: 2, envdb.Day: 30}}
	// The daemon does not back up itself: the environment sleeps.
	f := newFleet(t, pgtest.Start(t), "backup: {ladder: [1s, 1d], keep: {1s: 2, 1d: 30}, max_duty: 100%, grace: 1s}\n    wake: false", "housekeeping: 1s", "prod")
	prod, m := f.backed[0], f.machine(t, "one")
	f.run(t, 0, "expire", "prod") // the policy comes before the backups
	ever := map[envdb.BackupID]restorePoint{}
	// rest is what is there when everything that goes is gone: what the ladder
	// keeps, and the last three.
	rest := func() []envdb.BackupID {
		all := slices.SortedFunc(maps.Values(ever), func(a, b restorePoint) int { return a.Point.Compare(b.Point) })
		there := keeps(t, all, ladder, keep)
		for _, p := range all[max(0, len(all)-3):] {
			there[p.ID] = nil
		}
		return slices.Sorted(maps.Keys(there))
	}
	// take takes backups until two of them are to go.
	take := func() {
		for goes := 0; goes < 2; {
			prod.earn(t)
			f.run(t, 0, "backup", "prod")
			there := f.restorePoints(t, "prod")
			for _, p := range there {
				ever[p.ID] = p
			}
			goes = len(there) - len(rest())
		}
	}
	whole := func(what string) {
		t.Helper()
		var there []envdb.BackupID
		for _, p := range f.restorePoints(t, "prod") {
			there = append(there, p.ID)
		}
		for _, id := range rest() {
			if !slices.Contains(there, id) {
				t.Errorf("%s: backup %s is gone; there are %v", what, id, there)
			}
		}
		f.run(t, 0, "verify", "prod", "--read-data")
	}
	finishes := func(what string) {
		t.Helper()
		k := m.scene.keep(t)
		want := rest()
		eventually(t, what+": the next daemon finishes it", func() bool {
			var there []envdb.BackupID
			for _, p := range f.restorePoints(t, "prod") {
				there = append(there, p.ID)
			}
			left := append(f.keys(t, project+"/marks/prod/tombstone/"), f.keys(t, project+"/marks/prod/fate/")...)
			return slices.Equal(there, want) && len(left) == 0
		})
		k.kill()
	}

	take()
	first := m.proxy.Count()
	finishes("undisturbed")
	var moments []string
	for _, c := range m.proxy.Calls()[first:] {
		if what := changes(c); what != "" && !slices.Contains(moments, what) {
			moments = append(moments, what)
		}
	}
	t.Logf("an expiry makes the changes %q", moments)
	steps := []string{"store a mark tombstone", "delete the manifest of a backup", "delete a pack", "store a mark fate", "delete a mark tombstone"}
	for _, what := range steps {
		if !slices.Contains(moments, what) {
			t.Errorf("an expiry does not %s", what)
		}
	}
	const few = 3
	steps = steps[:few]
	if everything() {
		steps = moments
	}
	for _, what := range steps {
		take()
		stands := make(chan struct{}, 1)
		m.proxy.Rule(func(c s3test.Call) s3test.Fault {
			if changes(c) != what {
				return s3test.Pass
			}
			select {
			case stands <- struct{}{}:
			default:
			}
			return s3test.Stall
		})
		k := m.scene.keep(t)
		k.until("the daemon to "+what, func() bool { return len(stands) > 0 })
		k.kill()
		m.proxy.Rule(nil)
		whole("killed before it could " + what)
		finishes("killed before it could " + what)
		whole("finished after it was killed before it could " + what)
	}
	if said := f.run(t, 0, "doctor").said(); strings.Contains(said, "doctor --clean") {
		t.Errorf("something lies about:\n%s", said)
	}
	// Housekeeping beside a sweep may leave a void in the place of what is deleted.
	manifests := slices.DeleteFunc(f.keys(t, project+"/backups/prod/"), func(key string) bool {
		return !strings.HasSuffix(key, "/manifest") || f.content(t, key) == "envdbvd1"
	})
	if len(manifests) != len(rest()) {
		t.Errorf("there are the manifests %q, and the backups %v; the marks are %q, the list says %+v, and there were %v",
			manifests, rest(), f.keys(t, project+"/marks/prod/"), f.restorePoints(t, "prod"), slices.Sorted(maps.Keys(ever)))
	}
}
