package crashtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/schedule"
)

// Two daemons whose configurations differ do no harm to what exists: what either
// keeps stays. The doctor says that they differ, until they do not.
func TestDaemonsWithDifferentConfigurations(t *testing.T) {
	t.Parallel()
	s := newPost(t, plan{}, duties{ladder: "[6s, 1d], keep: {6s: 2}", sweeps: "1s"})
	short, err := os.ReadFile(filepath.Join(s.dir, "envdb.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Replace(string(short), "[6s, 1d], keep: {6s: 2}", "[6s, 12s, 1d], keep: {6s: 1, 12s: 20}", 1)
	write(t, s.dir, "other.yaml", long)
	keeping := []schedule.Keep{{Rungs: map[time.Duration]int{6 * time.Second: 2}}, {Rungs: map[time.Duration]int{6 * time.Second: 1, 12 * time.Second: 20}}}
	ladders := []schedule.Ladder{{6 * time.Second, envdb.Day}, {6 * time.Second, 12 * time.Second, envdb.Day}}
	one, other := s.keep(t), s.keep(t, "--config", "other.yaml")

	ever := map[envdb.BackupID]restorePoint{}
	gone := func() (gone int) {
		there := s.restorePoints(t, "prod")
		for _, p := range there {
			ever[p.ID] = p
		}
		return len(ever) - len(there)
	}
	for len(ever) < 7 || gone() == 0 {
		s.prod.earn(t)
		s.another(t, envdb.OpBackup, "prod")
		gone()
	}
	for _, k := range []*keeper{one, other} {
		if n := k.metric(`task_runs_total{outcome="ok",task="expire/prod"}`); n == 0 {
			t.Errorf("%s never had backups expire", k)
		}
	}
	const differ = "the daemons run by different configurations: what either keeps stays"
	s.run(t, 0, "doctor").says(differ)
	write(t, s.dir, "other.yaml", string(short))
	other.signal(syscall.SIGHUP)
	other.logs(`msg="the configuration was read again"`)
	eventually(t, "the doctor sees that they agree", func() bool { return !strings.Contains(s.run(t, 0, "doctor").said(), differ) })
	for _, k := range []*keeper{one, other} {
		k.signal(syscall.SIGTERM)
		k.ends(0)
	}

	gone()
	var all []restorePoint
	for _, p := range ever {
		all = append(all, p)
	}
	there := map[envdb.BackupID]restorePoint{}
	for _, p := range s.restorePoints(t, "prod") {
		there[p.ID] = p
	}
	t.Logf("%d backups were taken, %d are there", len(all), len(there))
	for i, ladder := range ladders {
		for id, why := range keeps(t, all, ladder, keeping[i]) {
			if p, found := there[id]; !found || p.Tombstone != nil {
				t.Errorf("backup %s is gone, and the ladder %s keeps it: %v", id, ladder, why)
			}
		}
	}
	s.run(t, 0, "verify", "prod", "--read-data")
}
