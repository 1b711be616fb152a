package crashtest_test

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// keeper is a daemon that runs.
type keeper struct {
	*child
	address string // of its metrics and health
}

// duties are what the configuration of a scene has a daemon do.
type duties struct {
	ladder string // of production; none if empty. A rung that backups take longer than is suspended, so seconds for a busy machine
	mirror string // the schedule of the mirror; none if empty
	sweeps string // how often backups expire; seldom if empty
}

// entrust writes the configuration again, with duties.
func (s *scene) entrust(t *testing.T, d duties) {
	t.Helper()
	config := s.config
	if d.ladder != "" {
		config = strings.Replace(config, "    release_query:", "    backup: {ladder: "+d.ladder+", max_duty: 100%, grace: 1s}\n    release_query:", 1)
	}
	if d.mirror != "" {
		config = strings.Replace(config, "mirror: {from: prod,", "mirror: {from: prod, schedule: "+d.mirror+",", 1)
	}
	if d.sweeps == "" {
		d.sweeps = "10m"
	}
	write(t, s.dir, "envdb.yaml", config+"daemon: {listen: \"127.0.0.1:0\", housekeeping: "+d.sweeps+"}\n")
}

// newPost is a scene without backups, for a daemon.
func newPost(t *testing.T, p plan, d duties) *scene {
	t.Helper()
	p.noBackups, p.noMirror, p.rows = true, true, 100
	s := newScene(t, p)
	s.entrust(t, d)
	return s
}

var listens = regexp.MustCompile(`msg="metrics and health" address=(\S+)`)

// keep starts a daemon, which listens when this returns.
func (s *scene) keep(t *testing.T, args ...string) *keeper {
	t.Helper()
	return s.keepAs(t, func(*exec.Cmd) {}, args...)
}

func (s *scene) keepAs(t *testing.T, changed func(*exec.Cmd), args ...string) *keeper {
	t.Helper()
	k := &keeper{child: s.startAs(t, changed, append([]string{"daemon"}, args...)...)}
	k.logs(`msg="the daemon began"`)
	k.address = listens.FindStringSubmatch(k.err.String())[1]
	return k
}

// logs waits until the log holds all of the texts.
func (k *keeper) logs(texts ...string) {
	k.t.Helper()
	for _, text := range texts {
		if !k.until("the log to say "+text, func() bool { return strings.Contains(k.err.String(), text) }) {
			k.t.Fatalf("%s ended without saying %q:\n%s", k, text, k.err.String())
		}
	}
}

// ask returns what the daemon answers at a path.
func (k *keeper) ask(path string) (status int, body string) {
	k.t.Helper()
	answer, err := http.Get(k.address + path)
	if err != nil {
		k.t.Fatalf("ask for %s: %v\n%s", path, err, k.err.String())
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		k.t.Fatalf("ask for %s: %v", path, err)
	}
	return answer.StatusCode, string(text)
}

// metric returns a metric by its name and labels, NaN's text included; 0 if
// there is none.
func (k *keeper) metric(name string) float64 {
	k.t.Helper()
	_, body := k.ask("/metrics")
	for line := range strings.Lines(body) {
		if text, found := strings.CutPrefix(line, "envdb_"+name+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				k.t.Fatalf("%s: %v", line, err)
			}
			return value
		}
	}
	return 0
}

// lives fails the test unless the loop lives, and the daemon is ready or not.
func (k *keeper) lives(what string, ready int) {
	k.t.Helper()
	if status, body := k.ask("/healthz"); status != http.StatusOK {
		k.t.Errorf("%s: /healthz answers %d: %s", what, status, body)
	}
	if status, body := k.ask("/readyz"); status != ready {
		k.t.Errorf("%s: /readyz answers %d, want %d: %s", what, status, ready, body)
	}
}

// history returns the runs of an operation, oldest first.
func (s *scene) history(t *testing.T, o envdb.Operation, env string) []ledger.Run {
	t.Helper()
	runs, err := s.ledger.Runs(t.Context(), ledger.Filter{Environment: env, Operation: o})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(runs)
	return runs
}

// succeeded counts the runs of an operation that succeeded.
func (s *scene) succeeded(t *testing.T, o envdb.Operation, env string) (n int) {
	t.Helper()
	for _, run := range s.history(t, o, env) {
		if run.Outcome == ledger.Succeeded {
			n++
		}
	}
	return n
}

// another waits until one more run of an operation has succeeded.
func (s *scene) another(t *testing.T, o envdb.Operation, env string) {
	t.Helper()
	before := s.succeeded(t, o, env)
	eventually(t, fmt.Sprintf("another %s of %s", o, env), func() bool { return s.succeeded(t, o, env) > before })
}

// standsIn waits until a run stands at the gate that a release query is, and
// returns the run.
func (d *database) standsIn(t *testing.T) (run string) {
	t.Helper()
	eventually(t, "a backup stands at the gate", func() bool {
		run = d.atGate(t)
		return run != ""
	})
	return run
}

// atGate returns the run that stands at the gate of the database, or "".
func (d *database) atGate(t *testing.T) string {
	t.Helper()
	return strings.TrimPrefix(d.server.QueryText(t, "postgres", "SELECT coalesce(max(application_name), '') FROM pg_stat_activity WHERE datname = '"+d.name+"' AND wait_event = 'advisory'"), "envdb/")
}

// nobodyHolds fails the test if a lease is held.
func (s *scene) nobodyHolds(t *testing.T, what string) {
	t.Helper()
	leases, err := s.ledger.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, lease := range leases {
		t.Errorf("%s: %s is still held: %+v", what, lease.Environment, lease.Holders)
	}
}
