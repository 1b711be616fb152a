package crashtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/s3test"
	"github.com/envdb/envdb/internal/store"
	"github.com/envdb/envdb/schedule"
)

// fleet is machines that share a bucket and back up the same databases. It is a
// scene itself: a desk from which the store is seen whatever the machines see.
type fleet struct {
	*scene
	bucket  string
	server  *s3test.Server
	objects envdb.Store
	backed  []*database
	duties  string // of each machine's daemon
	care    string // of each database
}

// machine is one of them. It has a way to the bucket of its own, and processes
// that no other machine sees: that one of them died is told by its missing beats
// alone.
type machine struct {
	*scene
	fleet *fleet
	name  string
	proxy *s3test.Proxy
}

// newFleet makes a production for each name, and the bucket. What is done about
// each is in care, and how the daemons do it in duties, as in a configuration.
func newFleet(t *testing.T, source *pgtest.Server, care, duties string, names ...string) *fleet {
	t.Helper()
	f := &fleet{server: s3test.Start(t), care: care, duties: duties}
	f.bucket = f.server.Bucket(t)
	for _, name := range names {
		d := &database{source, name, fmt.Sprintf("%s_%d", name, serial.Add(1))}
		d.create(t)
		d.fill(t, 100)
		source.Exec(t, d.name, "CREATE FUNCTION release() RETURNS text LANGUAGE plpgsql AS 'BEGIN "+newGate(source, d.name).wait()+" RETURN ''1.0''; END'")
		f.backed = append(f.backed, d)
	}
	f.scene = f.place(t, "desk", f.server.URL())
	f.run(t, 0, "init", "-q", "--no-encryption")
	return f
}

// place is a home with a configuration, from which the store is reached at an
// endpoint.
func (f *fleet) place(t *testing.T, name, endpoint string) *scene {
	t.Helper()
	s := &scene{dir: filepath.Join(t.TempDir(), name), prod: f.backed[0], copy: f.backed[0]}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.env = append([]string{"AWS_REGION=us-east-1", "ENVDB_HOME=" + filepath.Join(s.dir, "home"), "ENVDB_DAEMON_NAME=" + name}, f.server.Env()...)
	s.config = fmt.Sprintf("project: %s\nstore: {url: 's3://%s/fleet', endpoint: '%s'}\njobs: 2\ndaemon: {listen: '127.0.0.1:0', %s}\nenvironments:\n", project, f.bucket, endpoint, f.duties)
	for _, d := range f.backed {
		s.config += fmt.Sprintf("  %s:\n    tier: production\n    url: '%s'\n    release_query: SELECT public.release()\n    %s\n", d.env, d.server.URL(d.name).Reveal(), f.care)
	}
	write(t, s.dir, "envdb.yaml", s.config)
	st, err := store.Open(t.Context(), store.Config{URL: "s3://" + f.bucket + "/fleet", Endpoint: f.server.URL(), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	f.objects, s.ledger = st, ledger.New(st, project, ledger.Config{})
	return s
}

// machine adds one.
func (f *fleet) machine(t *testing.T, name string) *machine {
	t.Helper()
	proxy := s3test.NewProxy(t, f.server)
	return &machine{scene: f.place(t, name, proxy.URL()), fleet: f, name: name, proxy: proxy}
}

// keep starts the machine's daemon, in process ids of its own.
func (m *machine) keep(t *testing.T, variables ...string) *keeper {
	t.Helper()
	return m.keepAs(t, func(cmd *exec.Cmd) {
		cmd.Env = append(cmd.Env, variables...)
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		}
	})
}

// cutOff has every request of the machine get no answer, and returns what heals
// that.
func (m *machine) cutOff() (heal func()) {
	m.proxy.FailAll(s3test.Stall)
	return func() {
		m.proxy.Rule(nil)
		m.proxy.Drop()
	}
}

// processes names the set of process ids that a daemon is in, as records of its
// runs do.
func (k *keeper) processes() string {
	k.t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", k.pid()))
	if err != nil {
		k.t.Fatal(err)
	}
	return link
}

// didBy returns the runs of a daemon's machine.
func didBy(processes string, runs []ledger.Run) (did []ledger.Run) {
	for _, run := range runs {
		if strings.Contains(run.Process.Machine, processes) {
			did = append(did, run)
		}
	}
	return did
}

// backsUp waits until a daemon has taken a backup of the database that began
// after the moment, and returns it.
func (f *fleet) backsUp(t *testing.T, processes string, d *database, after time.Time) (taken ledger.Run) {
	t.Helper()
	eventually(t, "a backup of "+d.env+" by another", func() bool {
		for _, run := range didBy(processes, f.history(t, envdb.OpBackup, d.env)) {
			if run.Outcome == ledger.Succeeded && run.Started.After(after) {
				taken = run
				return true
			}
		}
		return false
	})
	return taken
}

// restorePoint is what a list says of a backup.
type restorePoint struct {
	ID        envdb.BackupID
	Point     time.Time
	GoodUntil time.Time `json:"good_until"`
	Tombstone any       `json:"tombstone"`
}

// restorePoints lists the backups of a database, deleted ones included.
func (s *scene) restorePoints(t *testing.T, env string) []restorePoint {
	t.Helper()
	var list struct{ Backups []restorePoint }
	if err := json.Unmarshal([]byte(s.run(t, 0, "backups", env, "-o", "json").out.String()), &list); err != nil {
		t.Fatal(err)
	}
	return list.Backups
}

// keeps returns which of some backups a ladder keeps, whether they are deleted or
// not, and why.
func keeps(t *testing.T, points []restorePoint, ladder schedule.Ladder, keep schedule.Keep) map[envdb.BackupID][]schedule.Reason {
	t.Helper()
	policy, err := schedule.NewPolicy(ladder, keep, 1)
	if err != nil {
		t.Fatal(err)
	}
	var all []schedule.RestorePoint
	for _, p := range points {
		all = append(all, schedule.RestorePoint{ID: p.ID, State: schedule.Good, At: p.Point, GoodUntil: p.GoodUntil})
	}
	kept := map[envdb.BackupID][]schedule.Reason{}
	for _, decision := range (schedule.Rules{Policy: policy}).Keep(time.Now(), all) {
		if decision.Kept() {
			kept[decision.ID] = decision.Reasons
		}
	}
	return kept
}

// nothingLost fails the test unless every backup that was ever taken of a
// database is still listed, and none is deleted that a ladder keeps.
func (s *scene) nothingLost(t *testing.T, env string, ladder schedule.Ladder, keep schedule.Keep) {
	t.Helper()
	points := s.restorePoints(t, env)
	listed := map[envdb.BackupID]restorePoint{}
	for _, p := range points {
		listed[p.ID] = p
	}
	for _, run := range s.history(t, envdb.OpBackup, env) {
		if _, there := listed[run.Backup]; run.Outcome == ledger.Succeeded && !there {
			t.Errorf("backup %s@%s is gone before its grace is over", env, run.Backup)
		}
	}
	kept := keeps(t, points, ladder, keep)
	for id, why := range kept {
		if listed[id].Tombstone != nil {
			t.Errorf("backup %s@%s is deleted, and the ladder keeps it: %v", env, id, why)
		}
	}
	if len(kept) < 2 {
		t.Errorf("of %d backups of %s the ladder keeps %d", len(listed), env, len(kept))
	}
}

// marked reports whether the store says of a run how it ended, whatever an
// observer makes of it.
func (f *fleet) marked(t *testing.T, id string, o ledger.Outcome) bool {
	t.Helper()
	return slices.ContainsFunc(f.keys(t, project+"/runs/"+id[:8]+"/"+id+"."), func(key string) bool { return strings.HasSuffix(key, "."+string(o)) })
}

// content returns an object.
func (f *fleet) content(t *testing.T, key string) string {
	t.Helper()
	body, _, err := f.objects.Get(t.Context(), key, envdb.Span{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err = errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keys lists the objects below a prefix.
func (f *fleet) keys(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	for object, err := range f.objects.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}
