package sweep_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/store/dir"
)

// operation is what is swept.
type operation struct {
	name  string
	scene func(*testing.T) *scene
	// prepare makes the scene ready for a round, and returns the command and
	// what the state will be when it was done.
	prepare func(*testing.T, *scene) (command, string)
	// state is what the operation changes, and nothing else.
	state func(*testing.T, *scene) string
	// versions are those of the target when all is done and tidied up.
	versions string
	// ways is in how many ways each store call fails in `make test`, and shards
	// on how many scenes the faults are spread.
	ways, shards int
	// calls is that every so manieth store call fails in `make test`; every one
	// if 0.
	calls int
	// every is that every so manieth statement fails in `make test`: those that
	// build do much the same, and take their time.
	every int
	// stops says that a Ctrl-C ends a statement that hangs at once. The session
	// that swaps and drops lets one run for 30 s.
	stops bool
	// requests is that every so manieth request to a bucket fails in one way in
	// `make test`; none if 0.
	requests int
	// free says that the command, given again when it was done, takes no lease:
	// that of a run which was killed stays until somebody needs it.
	free bool
	// once says that the command cannot be given again when it was done.
	once bool
}

func operations() []operation {
	return []operation{
		{name: "backup", ways: 1, shards: 2, every: 30, stops: true, requests: 6, scene: sourceOnly, prepare: simply("backup", "prod"), state: newestBackup},
		{name: "mirror", ways: 1, shards: 2, calls: 6, every: 80, requests: 30, scene: mirrored, prepare: buildOther("mirror"), state: live, versions: "live baseline previous"},
		{name: "restore", ways: 1, shards: 2, calls: 6, every: 100, requests: 40, scene: restored, prepare: buildOther("restore"), state: live, versions: "live previous"},
		{name: "promote", ways: 1, shards: 1, every: 9, requests: 7, scene: mirrored, prepare: promoteDark, state: live, versions: "live baseline previous", once: true},
		{name: "rollback", ways: 1, shards: 1, every: 9, requests: 7, scene: mirrored, prepare: rollBack, state: live, versions: "live baseline previous", once: true},
		{name: "reset", ways: 1, shards: 1, calls: 3, every: 30, requests: 10, scene: mirrored, prepare: resetBroken, state: live, versions: "live baseline previous", once: true},
		{name: "seed", ways: 1, shards: 1, calls: 20, every: 120, scene: seeded, prepare: seedOther, state: live, versions: "live baseline previous"},
		{name: "create", ways: 1, shards: 1, calls: 20, every: 120, scene: creatable, prepare: createAnew, state: live, versions: "live baseline", free: true},
		{name: "hibernate", ways: 1, shards: 1, calls: 30, every: 120, scene: awake, prepare: hibernateWhole, state: liveOrKept, versions: "none"},
		{name: "wake", ways: 1, shards: 1, calls: 20, every: 120, scene: asleep, prepare: wakeUp, state: liveOrKept, versions: "live", free: true},
		{name: "discard", ways: 1, shards: 1, every: 5, requests: 9, scene: mirrored, prepare: discardDark, state: darkVersion, versions: "live baseline previous", once: true},
		{name: "clean", ways: 1, shards: 1, calls: 8, every: 30, requests: 40, scene: littered, prepare: cleanUp, state: leftovers, versions: "live baseline previous"},
		{name: "verify", ways: 1, shards: 1, every: 4, requests: 6, scene: mirrored, prepare: simply("verify", "prod"), state: marks},
	}
}

// inParts is a backup whose pack is larger than one part of an upload.
func inParts() operation {
	return operation{name: "backup in parts", requests: 5, shards: 1, scene: bulky, prepare: simply("backup", "prod"), state: newestBackup}
}

// bulky is a production that got 8 MB of noise since its one backup.
func bulky(t *testing.T) *scene {
	return sourceThat(t, "CREATE TABLE noise (id int PRIMARY KEY, body bytea)",
		"INSERT INTO noise SELECT i, (SELECT string_agg(decode(md5(i::text || ' ' || j), 'hex'), '') FROM generate_series(1, 4096) AS j) FROM generate_series(1, 128) AS i")
}

// sourceOnly is a production with one backup, and changes since.
func sourceOnly(t *testing.T) *scene { return sourceThat(t) }

func sourceThat(t *testing.T, changed ...string) *scene {
	t.Helper()
	prod := newDatabase(t, pgtest.Start(t), "prod", envdb.Production)
	prod.fill(t)
	prod.keepOpen(t)
	s := newScene(t, prod)
	s.source = prod
	s.must(t, command{Operation: "backup", Environment: "prod"})
	prod.earn(t)
	s.server.Exec(t, prod.name, changed...)
	s.freeze(t)
	return s
}

// mirrored is a production with two backups; of its copy the newer is live,
// and the older previous.
func mirrored(t *testing.T) *scene {
	server := pgtest.Start(t)
	prod, target := newDatabase(t, server, "prod", envdb.Production), newDatabase(t, server, "copy", envdb.ProductionCopy)
	prod.fill(t)
	prod.keepOpen(t)
	s := newScene(t, prod, target)
	s.source, s.target = prod, target
	return s.buildBoth(t, "mirror")
}

// restored is a staging environment with two backups, brought back to each.
func restored(t *testing.T) *scene {
	staging := newDatabase(t, pgtest.Start(t), "staging", envdb.Staging)
	staging.fill(t)
	s := newScene(t, staging)
	s.source, s.target = staging, staging
	s.buildBoth(t, "restore")
	// What people made by hand was moved aside, and is nobody's business.
	s.server.DropDatabase(t, staging.in(t, envdb.Aside).name)
	return s
}

func (s *scene) buildBoth(t *testing.T, operation string) *scene {
	t.Helper()
	for range 2 {
		s.must(t, command{Operation: "backup", Environment: s.source.env})
		s.source.earn(t)
	}
	backups, err := s.repository(t).List(t.Context(), s.source.env)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backups {
		s.ids = append(s.ids, b.ID())
		s.must(t, command{operation, s.target.env, b.ID(), ""})
		if operation == "mirror" {
			s.neutralised(t)
		}
		s.contents = append(s.contents, s.target.fingerprint(t))
	}
	if len(s.ids) != 2 || s.contents[0] == s.contents[1] {
		t.Fatalf("backups %q hold %q", s.ids, s.contents)
	}
	s.freeze(t)
	return s
}

// neutralised asserts that neutralise.sql has been at every account of the
// live copy. The contents that the sweep compares with are made by mirrors, so
// they cannot tell.
func (s *scene) neutralised(t *testing.T) {
	t.Helper()
	const accounts = "SELECT format('%s of %s', count(*) FILTER (WHERE owner = 'nobody ' || id), count(*)) FROM account"
	if got, want := s.server.QueryText(t, s.target.name, accounts), "40 of 40"; got != want {
		t.Fatalf("neutralised are %s accounts, want %s", got, want)
	}
}

// simply is a command that needs no preparation. What an undisturbed run leads
// to is found out once.
func simply(operation, env string) func(*testing.T, *scene) (command, string) {
	state := map[string]func(*testing.T, *scene) string{"backup": newestBackup, "verify": marks}[operation]
	return func(t *testing.T, s *scene) (command, string) {
		c := command{Operation: operation, Environment: env}
		if s.done == nil {
			s.must(t, c)
			done := state(t, s)
			s.done = &done
			s.thaw(t)
		}
		return c, *s.done
	}
}

// live is what the live version holds.
func live(t *testing.T, s *scene) string { return s.target.fingerprint(t) }

// other returns which of the two backups is not live.
func (s *scene) other(t *testing.T) int {
	t.Helper()
	if m := s.target.in(t, envdb.Live).marker; m != nil && m.Backup == string(s.ids[0]) {
		return 1
	}
	return 0
}

// buildOther is a command that brings the other of the two backups.
func buildOther(operation string) func(*testing.T, *scene) (command, string) {
	return func(t *testing.T, s *scene) (command, string) {
		i := s.other(t)
		return command{operation, s.target.env, s.ids[i], ""}, s.contents[i]
	}
}

// makePrevious sees to it that the previous version is not what is live.
func (s *scene) makePrevious(t *testing.T) int {
	t.Helper()
	i := s.other(t)
	if m := s.target.in(t, envdb.Previous).marker; m == nil || m.Backup != string(s.ids[i]) {
		s.must(t, command{"mirror", s.target.env, s.ids[i], ""})
		i = s.other(t)
		s.thaw(t)
	}
	return i
}

func rollBack(t *testing.T, s *scene) (command, string) {
	i := s.makePrevious(t)
	return command{Operation: "rollback", Environment: s.target.env}, s.contents[i]
}

// resetBroken resets a live version that is not what was last mirrored.
func resetBroken(t *testing.T, s *scene) (command, string) {
	i := s.makePrevious(t)
	c := command{Operation: "reset", Environment: s.target.env}
	filled := s.target.in(t, envdb.Baseline).marker
	if filled == nil {
		t.Fatal("there is no baseline")
	}
	if filled.Backup == string(s.ids[i]) {
		return c, s.contents[i]
	}
	s.must(t, command{Operation: "rollback", Environment: s.target.env})
	s.thaw(t)
	return c, s.contents[1-i]
}

// promoteDark promotes a dark version beside a previous one, which is then one
// too many.
func promoteDark(t *testing.T, s *scene) (command, string) {
	i := s.makePrevious(t)
	dark := s.target.copyAs(t, s.target.in(t, envdb.Previous), envdb.Dark, "")
	return command{"promote", s.target.env, "", dark}, s.contents[i]
}

func discardDark(t *testing.T, s *scene) (command, string) {
	dark := s.target.in(t, envdb.Dark).name
	if dark == "" {
		dark = s.target.copyAs(t, s.target.in(t, envdb.Previous), envdb.Dark, "")
	}
	return command{"discard", s.target.env, "", dark}, "no dark version"
}

func darkVersion(t *testing.T, s *scene) string {
	if dark := s.target.in(t, envdb.Dark); dark.name != "" {
		return dark.name
	}
	return "no dark version"
}

// littered is mirrored, with what dead runs left in the store: objects of a
// backup that came to nothing, and a hold on another.
func littered(t *testing.T) *scene {
	s := mirrored(t)
	dies := &faultyStore{Store: s.store, kind: down, at: func(c step) bool { return strings.HasSuffix(c.text, "/index") }}
	if err := s.do(t.Context(), dies, command{Operation: "backup", Environment: "prod"}); err == nil {
		t.Fatal("a backup that could not store its index succeeded")
	}
	keeps := &faultyStore{Store: s.store, kind: failed, at: func(c step) bool { return strings.HasPrefix(c.text, "Delete ") }}
	pid := firstPID + int(serial.Add(1))
	held, err := ledger.New(keeps, project, ledger.Config{Machine: s.processes.machine(pid)}).HoldBackup(t.Context(), "prod", s.ids[0], ledger.Claim{Run: deadRun})
	if err != nil {
		t.Fatal(err)
	}
	_ = held.Release(t.Context()) // which fails, and so leaves it
	s.processes.end(pid)
	if err := os.RemoveAll(s.path("frozen")); err != nil {
		t.Fatal(err)
	}
	s.freeze(t)
	return s
}

// deadRun is a run of which there is no record.
const deadRun = "20200101-000000-000zzzzz"

// cleanUp removes what littered left, and an unfinished database.
func cleanUp(t *testing.T, s *scene) (command, string) {
	if s.target.in(t, generation.Building).name == "" {
		s.target.copyAs(t, s.target.in(t, envdb.Previous), generation.Building, deadRun)
	}
	return command{Operation: "clean"}, "nothing"
}

// leftovers lists what dead runs left and the doctor removes.
func leftovers(t *testing.T, s *scene) string {
	t.Helper()
	var left []string
	everyRun := func(string) (bool, error) { return true, nil }
	l := ledger.New(s.store, project, ledger.Config{Machine: s.processes.machine(firstPID)})
	for _, env := range s.config.Names() {
		found, err := s.repository(t).Leftovers(t.Context(), env, everyRun)
		if err != nil {
			t.Fatal(problem(err))
		}
		for _, f := range found {
			left = append(left, fmt.Sprintf("%d objects of backup %s", f.Objects, f.ID))
		}
		holds, err := l.Holds(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range holds {
			left = append(left, "a hold on "+string(h.Backup))
		}
	}
	if d, ok := s.store.(*dir.Store); ok {
		files, err := d.Leftovers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			left = append(left, f.Path)
		}
	}
	if s.target != nil {
		if name := s.target.in(t, generation.Building).name; name != "" {
			left = append(left, name)
		}
	}
	if len(left) == 0 {
		return "nothing"
	}
	return strings.Join(left, ", ")
}

// marks lists the marks of backups and packs: reading must not make any.
func marks(t *testing.T, s *scene) string {
	t.Helper()
	var keys []string
	for object, err := range s.store.List(t.Context(), project+"/marks/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, object.Key)
	}
	return strings.Join(keys, " ")
}

// newestBackup is what the newest backup holds.
func newestBackup(t *testing.T, s *scene) string {
	t.Helper()
	r := s.repository(t)
	backups, err := r.List(t.Context(), s.source.env)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := r.Open(t.Context(), backups[len(backups)-1].Manifest)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, part := range reader.Parts() {
		for _, chunk := range reader.Chunks(part) {
			if chunk.Rows > 0 { // the catalogue names the moment
				fmt.Fprintf(&b, "%s %d %v; ", part, chunk.Rows, chunk.Fingerprint)
			}
		}
	}
	return b.String()
}
