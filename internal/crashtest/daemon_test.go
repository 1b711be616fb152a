package crashtest_test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// systemd is the socket on which systemd listens to a service.
type systemd struct {
	t    *testing.T
	conn *net.UnixConn
	fed  int // how often the watchdog was
}

func newSystemd(t *testing.T) *systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &systemd{t: t, conn: conn}
}

// supervises gives a command what systemd gives it.
func (s *systemd) supervises(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+s.conn.LocalAddr().String(), "WATCHDOG_USEC="+strconv.Itoa(int((20*time.Second).Microseconds())))
}

// next returns what the service says next, beside that it lives.
func (s *systemd) next() string {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	packet := make([]byte, 4096)
	for {
		n, err := s.conn.Read(packet)
		if err != nil {
			s.t.Fatalf("the service says nothing more: %v", err)
		}
		if said := string(packet[:n]); said != "WATCHDOG=1" {
			return said
		}
		s.fed++
	}
}

func (s *systemd) hears(want string) {
	s.t.Helper()
	if got := s.next(); got != want {
		s.t.Fatalf("systemd hears %q, want %q", got, want)
	}
}

// hearsReload asserts that a reload is announced and then over, and that it is
// dated after the request. One that came before it the daemon began by itself,
// because the file had changed.
func (s *systemd) hearsReload(asked time.Duration) {
	s.t.Helper()
	for at := int64(0); at < asked.Microseconds(); {
		if n, err := fmt.Sscanf(s.next(), "RELOADING=1\nMONOTONIC_USEC=%d", &at); n != 1 || err != nil {
			s.t.Fatalf("no reload with its time is announced: %v", err)
		}
		if now := ledger.ThisMachine().Uptime(); at > now.Microseconds() {
			s.t.Errorf("the reload is dated %d µs, and it is %d now", at, now.Microseconds())
		}
		s.hears("READY=1")
	}
}

// hearsEnd asserts that the service says that it stops, after reloads that were
// still under way.
func (s *systemd) hearsEnd() {
	s.t.Helper()
	said := s.next()
	for strings.HasPrefix(said, "RELOADING=1") || said == "READY=1" {
		said = s.next()
	}
	if said != "STOPPING=1" {
		s.t.Fatalf("systemd hears %q, want STOPPING=1", said)
	}
}

// A daemon tells systemd when it is ready, reloads and stops, and feeds the
// watchdog.
func TestDaemonTellsSystemd(t *testing.T) {
	t.Parallel()
	s := newPost(t, plan{}, duties{})
	supervisor := newSystemd(t)
	k := s.keepAs(t, supervisor.supervises)
	supervisor.hears("READY=1")
	for _, what := range []string{"as it was", "with a mistake", "without it"} {
		if what != "as it was" {
			write(t, s.dir, "envdb.yaml", s.config+map[string]string{"with a mistake": "daemons: {}\n", "without it": ""}[what])
		}
		asked := ledger.ThisMachine().Uptime()
		k.signal(syscall.SIGHUP)
		supervisor.hearsReload(asked)
	}
	k.signal(syscall.SIGTERM)
	supervisor.hearsEnd()
	k.ends(0)
	if supervisor.fed == 0 {
		t.Error("the watchdog was not fed")
	}
}

// A configuration that changed takes effect. One with a mistake does not: the
// old one stays in force, and the log, /readyz and the metrics say so.
func TestDaemonReadsItsConfigurationAgain(t *testing.T) {
	t.Parallel()
	s := newPost(t, plan{}, duties{})
	k := s.keep(t)
	k.lives("as it began", http.StatusOK)
	if n := len(s.history(t, envdb.OpBackup, "prod")); n != 0 {
		t.Fatalf("there are %d backups without a ladder", n)
	}

	s.entrust(t, duties{ladder: "[10s, 1d]"})
	k.signal(syscall.SIGHUP)
	k.logs(`msg="the configuration was read again"`)
	s.another(t, envdb.OpBackup, "prod")

	s.entrust(t, duties{ladder: "[1d, 1s]"})
	k.signal(syscall.SIGHUP)
	k.logs("the old one stays in force", "envdb.yaml:", "environments.prod.backup.ladder")
	k.lives("with a mistake in the file", http.StatusServiceUnavailable)
	if _, body := k.ask("/readyz"); !strings.Contains(body, "an older one is in force") || !strings.Contains(body, "environments.prod.backup.ladder") {
		t.Errorf("/readyz says %q", body)
	}
	if k.metric("config_last_reload_success") != 0 {
		t.Error("the metrics do not say that the configuration could not be used")
	}
	s.prod.earn(t)
	s.another(t, envdb.OpBackup, "prod") // by the old one

	s.entrust(t, duties{})
	k.signal(syscall.SIGHUP)
	eventually(t, "it is ready again", func() bool { status, _ := k.ask("/readyz"); return status == http.StatusOK })
	if k.metric("config_last_reload_success") != 1 {
		t.Error("the metrics do not say that the configuration is in force")
	}
	eventually(t, "what ran has ended", func() bool { return k.metric("tasks_running") == 0 })
	was := len(s.history(t, envdb.OpBackup, "prod"))
	s.prod.earn(t)
	s.entrust(t, duties{mirror: `"CRON_TZ=UTC 0 4 1 1 *"`}) // which shows that a whole pass went by without the ladder
	k.signal(syscall.SIGHUP)
	eventually(t, "the mirror is scheduled", func() bool { return k.metric(`schedule_next_timestamp_seconds{task="mirror/copy"}`) > 0 })
	if n := len(s.history(t, envdb.OpBackup, "prod")); n != was {
		t.Errorf("%d backups were taken without a ladder", n-was)
	}
	k.signal(syscall.SIGTERM)
	k.ends(0)
}

// A daemon that is stopped lets its backup end. Told again, or when its
// patience is over, it stops the backup, which leaves nothing behind.
func TestDaemonDrains(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		args    []string
		again   bool
		outcome ledger.Outcome
	}{
		{"stopped once", nil, false, ledger.Succeeded},
		{"stopped twice", nil, true, ledger.Interrupted},
		{"stopped, and out of patience", []string{"--drain", "200ms"}, false, ledger.Interrupted},
	} {
		// Each has a scene of its own: what stood at a gate took long, and the ladder
		// would be suspended for the next.
		s := newPost(t, plan{}, duties{ladder: "[10s, 1d]"})
		s.releaseGate().shut(t)
		k := s.keep(t, c.args...)
		id := s.prod.standsIn(t)
		// It is said to listen where it does, though the system chose the port.
		if daemons, err := s.ledger.Daemons(t.Context()); err != nil || len(daemons) != 1 || "http://"+daemons[0].Listen != k.address {
			t.Errorf("%s: it listens at %s, and the store says %+v, %v", c.name, k.address, daemons, err)
		}
		k.signal(syscall.SIGTERM)
		k.logs(`msg="the daemon stops when what runs has ended" running=1`)
		began := time.Now()
		switch {
		case c.again:
			k.lives(c.name, http.StatusOK)
			k.signal(syscall.SIGTERM)
			k.ends(0)
		case c.outcome == ledger.Succeeded:
			k.lives(c.name, http.StatusOK)
			if s.prod.atGate(t) != id {
				t.Errorf("%s: the backup did not go on", c.name)
			}
			s.releaseGate().open(t)
			k.ends(0)
		default:
			k.ends(0)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %s", c.name, took)
		}
		if c.outcome != ledger.Succeeded {
			s.releaseGate().open(t)
		}
		run, err := s.ledger.Run(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if run.Outcome != c.outcome || run.Finished.IsZero() {
			t.Errorf("%s: the run is %s: %s", c.name, run.Outcome, run.Error)
		}
		s.nobodyHolds(t, c.name)
		if left := s.left(t); len(left) > 0 {
			t.Errorf("%s: it left %q", c.name, left)
		}
		if daemons, err := s.ledger.Daemons(t.Context()); err != nil || len(daemons) != 0 {
			t.Errorf("%s: it is still said to be there: %+v, %v", c.name, daemons, err)
		}
		if c.outcome == ledger.Succeeded {
			s.run(t, 0, "verify", "prod", "--read-data")
		}
	}
}
