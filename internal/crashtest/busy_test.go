package crashtest_test

import (
	"regexp"
	"testing"
	"time"
)

// Of two mirrors into one target the second says whom it met.
func TestTwoMirrorsAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	s.prod.earn(t)
	s.backup(t, s.prod)
	live := s.copy.content(t)
	s.checkGate().shut(t)
	first := s.start(t, "mirror", "prod", "copy")
	first.atGate(s.checkGate())
	holder := first.recorded()

	for _, args := range [][]string{{"mirror", "prod", "copy"}, {"rollback", "copy"}, {"promote", "copy", s.copy.unfinished(t)[0]}} {
		second := s.run(t, 7, args...).says("copy is busy: mirror by ", holder.User+"@"+holder.Host, "since ", holder.ID,
			"State: nothing was changed", "Next: ")
		if since := regexp.MustCompile(`since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`).FindStringSubmatch(second.said()); since == nil {
			t.Errorf("%s does not say since when:\n%s", second, second.said())
		} else if at, err := time.Parse(time.DateTime, since[1]); err != nil || time.Since(at) > patience {
			t.Errorf("%s: since %s (%v)", second, since[1], err)
		}
		if second.took > 5*time.Second {
			t.Errorf("%s took %s to say no", second, second.took)
		}
	}
	same(t, "the live database meanwhile", s.copy.content(t), live)
	s.checkGate().open(t)
	first.ends(0)
	same(t, "the live database", s.copy.content(t), s.prod.content(t))
	s.cleaned(t, "two mirrors")
}

// Reading production and filling a copy from its backups do not disturb each
// other, whichever is first.
func TestBackupAndMirrorAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, plan{})
	s.checkGate().shut(t)
	mirror := s.start(t, "mirror", "prod", "copy")
	mirror.atGate(s.checkGate())
	s.prod.earn(t)
	s.run(t, 0, "backup", "prod")
	s.run(t, 0, "verify", "prod")
	s.checkGate().open(t)
	mirror.ends(0)

	s.releaseGate().shut(t)
	backup := s.start(t, "backup", "prod")
	backup.atGate(s.releaseGate())
	mirror = s.start(t, "mirror", "prod", "copy")
	mirror.reaches("load")
	s.releaseGate().open(t) // it may not wait for long
	backup.ends(0)
	mirror.ends(0)
	same(t, "the mirror", s.copy.content(t), s.prod.content(t))

	// Two backups of one production both read it.
	s.releaseGate().shut(t)
	backup = s.start(t, "backup", "prod")
	backup.atGate(s.releaseGate())
	second := s.start(t, "backup", "prod")
	second.reaches("copy")
	s.releaseGate().open(t)
	backup.ends(0)
	second.ends(0)
	s.cleaned(t, "a backup and a mirror")
}
