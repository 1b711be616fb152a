package manager

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/store"
)

// shelf is a manager over a store of backups whose moments a test chooses, with
// a clock that it sets. No database is asked.
type shelf struct {
	t    *testing.T
	st   envdb.Store
	repo *backup.Repository
	now  time.Time
	dir  string
	*Manager

	reading sync.Mutex
	read    []string // keys of the store
}

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func newShelf(t *testing.T, ladder string) *shelf {
	t.Helper()
	s := &shelf{t: t, now: noon, dir: t.TempDir()}
	st, err := store.Open(t.Context(), store.Config{URL: "file://" + filepath.Join(s.dir, "store")})
	check(t, err)
	s.st = storeClock{st, s}
	s.repo, err = backup.Init(t.Context(), s.st, "acme", backup.InitOptions{})
	check(t, err)
	s.configure(ladder)
	return s
}

// storeClock is a store whose clock is the test's.
type storeClock struct {
	envdb.Store
	s *shelf
}

func (c storeClock) Get(ctx context.Context, key string, span envdb.Span) (body io.ReadCloser, o envdb.Object, err error) {
	c.s.reading.Lock()
	c.s.read = append(c.s.read, key)
	c.s.reading.Unlock()
	body, o, err = c.Store.Get(ctx, key, span)
	o.Modified = c.s.now
	return body, o, err
}

// configure begins anew with another ladder, as a new process would.
func (s *shelf) configure(ladder string) {
	s.t.Helper()
	backups := ""
	if ladder != "" {
		backups = "\n    backup: {ladder: " + ladder + ", keep: 2}"
	}
	path := filepath.Join(s.dir, "envdb.yaml")
	text := "project: acme\nstore: {url: \"file://" + filepath.Join(s.dir, "store") + "\"}\nenvironments:\n  prod:\n    tier: production\n    url: postgres://u@127.0.0.1:1/prod" + backups + "\n"
	check(s.t, os.WriteFile(path, []byte(text), 0o600))
	c, err := config.Load(path, nil)
	check(s.t, err)
	log := slog.New(slog.DiscardHandler)
	s.Manager = New(Config{
		Config: c, Log: log, Report: func(envdb.Progress) {}, Now: func() time.Time { return s.now },
		OpenRepository: func(context.Context) (*backup.Repository, error) { return s.repo, nil },
		Ledger:         ledger.New(s.st, "acme", ledger.Config{Now: func() time.Time { return s.now }}),
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// take stores a backup that began now; promised is what its policy says.
func (s *shelf) take() envdb.BackupID {
	s.t.Helper()
	w, err := s.repo.Create(s.t.Context(), "prod", backup.CreateOptions{Method: backup.Logical, Now: s.now})
	check(s.t, err)
	env, err := s.config.Environment("prod")
	check(s.t, err)
	check(s.t, w.Put(s.t.Context(), backup.Chunk{Part: "a", Data: []byte(s.now.String())}))
	_, err = w.Commit(s.t.Context(), backup.Description{
		Point: s.now, Finished: s.now.Add(time.Second), Promised: s.promised(s.t.Context(), s.log, s.repo, env, w.ID(), s.now),
	})
	check(s.t, err)
	return w.ID()
}

func (s *shelf) expired(confirm string) EnvironmentRetention {
	s.t.Helper()
	r, err := s.Expire(s.t.Context(), ExpireRequest{Environment: "prod", Confirm: confirm})
	check(s.t, err)
	return r.Environments[0]
}

// hours lets time pass, an hour at a time, with a backup in each.
func (s *shelf) hours(n int) (ids []envdb.BackupID) {
	for range n {
		s.now = s.now.Add(time.Hour)
		ids = append(ids, s.take())
	}
	return ids
}

func ids(lines []PointLine) (ids []envdb.BackupID) {
	for _, l := range lines {
		ids = append(ids, l.ID)
	}
	return ids
}

func (s *shelf) there() (there []envdb.BackupID) {
	s.t.Helper()
	view, err := s.repo.View(s.t.Context(), "prod")
	check(s.t, err)
	for _, b := range view.Backups {
		there = append(there, b.ID)
	}
	return there
}

func TestExpire(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1h, 1d]")
	s.now = s.now.Add(-time.Hour)
	s.expired("") // marks the policy, before there is any backup
	all := s.hours(8)
	plan, err := s.PlanExpire(t.Context(), ExpireRequest{Environment: "prod"})
	check(t, err)
	// 1h keeps 19:00 and 18:00, 1d the first of the day, and 17:00 is one of the
	// last three.
	want := all[1:5]
	if got := plan.Environments[0]; !slices.Equal(ids(got.Goes), want) || !slices.Equal(ids(got.HeldBack), all[5:6]) || len(got.Stays) != 3 || !plan.Planned {
		t.Errorf("planned %+v", got)
	}
	if len(s.there()) != 8 {
		t.Error("a plan deleted something")
	}
	if got := s.expired(""); !slices.Equal(ids(got.Goes), want) || len(got.Gone) != 0 || got.Run == "" {
		t.Errorf("got %+v", got)
	}
	if got := s.expired(""); len(got.Goes) != 0 || len(got.Deleted) != 4 || got.Run != "" {
		t.Errorf("again: %+v", got)
	}
	if _, err := s.Undelete(t.Context(), "prod", envdb.AtBackup(all[1])); err != nil {
		t.Error(err)
	}
	check(t, s.repo.Pin(t.Context(), "prod", all[1], ""))
	s.now = s.now.Add(time.Hour)
	if got := s.expired(""); !slices.Equal(got.Gone, want[1:]) {
		t.Errorf("after the grace: %+v", got)
	}
	if got, want := s.there(), []envdb.BackupID{all[0], all[1], all[5], all[6], all[7]}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	if got := s.expired("prod"); !slices.Equal(ids(got.Goes), all[5:6]) || len(got.HeldBack) != 0 {
		t.Errorf("agreed to: %+v", got)
	}
	runs, err := s.ledger.Runs(t.Context(), ledger.Filter{Environment: "prod"})
	check(t, err)
	for _, run := range runs {
		if run.Outcome != ledger.Succeeded {
			t.Errorf("run %s: %s", run.Operation, run.Outcome)
		}
	}
}

// A ladder that shrinks, or comes first, waits a day. What was promised longer
// waits for somebody to agree.
func TestPoliciesThatShrink(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "")
	all := s.hours(6)
	s.configure("[1h, 1d]")
	if got := s.expired(""); len(got.Goes)+len(got.HeldBack) != 0 {
		t.Errorf("a first ladder bit at once: %+v", got)
	}
	s.now = s.now.Add(23 * time.Hour)
	if got := s.expired(""); len(got.Goes)+len(got.HeldBack) != 0 {
		t.Errorf("a first ladder bit within a day: %+v", got)
	}
	s.now = s.now.Add(2 * time.Hour)
	if got := s.expired(""); !slices.Equal(ids(got.Goes), all[1:3]) {
		t.Errorf("after a day: %+v, want %v", got, all[1:3])
	}

	s = newShelf(t, "[1h, 1d]")
	s.expired("")
	s.hours(5)
	s.expired("")
	s.configure("[1d]") // which keeps none of those of an hour
	if got := s.expired(""); len(got.Goes) != 0 {
		t.Errorf("a shrunk ladder bit at once: %+v", got)
	}
	s.configure("[1h, 1d]") // a slip, taken back
	s.expired("")
	s.now = s.now.Add(23 * time.Hour)
	s.configure("[1d]") // in force anew, however long ago it was seen first
	s.expired("")
	s.now = s.now.Add(2 * time.Hour)
	if got := s.expired(""); len(got.HeldBack) != 1 || !strings.Contains(fmt.Sprint(got.Stays), "old 1h slot") {
		t.Errorf("in force anew, it bit within a day: %+v", got)
	}
	s.now = s.now.Add(envdb.Day)
	if got := s.expired(""); len(got.HeldBack) != 2 {
		t.Errorf("after a day it holds back two of the last three: %+v", got)
	}
}

// A policy that keeps what another deleted brings it back; what a person
// deleted goes.
func TestWhatIsNeededAfterAllComesBack(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1h, 1d]")
	s.expired("")
	all := s.hours(8)
	gone := ids(s.expired("").Goes)
	if len(gone) != 4 {
		t.Fatalf("%v go", gone)
	}
	if _, err := s.Delete(t.Context(), DeleteRequest{Environment: "prod", Point: envdb.AtBackup(all[0])}); err != nil {
		t.Fatal(err)
	}
	s.configure("[30m, 1h, 6h, 1d]")
	s.now = s.now.Add(8 * envdb.Day)
	// 6h: 12:00 and 18:00; the first of 18:00 is kept already, that of 12:00 was
	// deleted by a person, so the next one of its slot is needed.
	got := s.expired("")
	if !slices.Equal(got.Back, gone[:1]) || !slices.Contains(got.Gone, all[0]) || len(got.Gone) != 4 {
		t.Errorf("back %v, gone %v; deleted were %v", got.Back, got.Gone, gone)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "")
	ctx := t.Context()
	all := s.hours(5)
	del := func(id envdb.BackupID, confirm string) error {
		_, err := s.Delete(ctx, DeleteRequest{Environment: "prod", Point: envdb.AtBackup(id), Confirm: confirm})
		return err
	}
	check(t, s.repo.Pin(ctx, "prod", all[1], ""))
	for name, c := range map[string]struct {
		id   envdb.BackupID
		kind error
		next string
	}{
		"a pinned one":              {all[1], envdb.ErrRefused, "envdb unpin prod@" + string(all[1]) + ", then delete it"},
		"one of the last three":     {all[2], envdb.ErrRefused, "repeat with --confirm prod"},
		"one that is not there":     {"20200101-000000", envdb.ErrNotFound, "see `envdb backups prod`"},
		"the newest, unconfirmed":   {all[4], envdb.ErrRefused, "repeat with --confirm prod"},
		"one of the last, mistyped": {all[3], envdb.ErrRefused, "repeat with --confirm prod"},
	} {
		err := del(c.id, "prd")
		if _, next := envdb.Advice(err); !errors.Is(err, c.kind) || next != c.next {
			t.Errorf("%s: %v, next %q", name, err, next)
		}
	}
	check(t, del(all[0], ""))
	check(t, del(all[4], "prod"))
	if err := del(all[0], ""); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("again: %v", err)
	}
	if answer, _, err := s.resolve(ctx, s.repo, "prod", envdb.Latest()); err != nil || answer.ID() != all[3] {
		t.Errorf("latest is %v, %v", answer.ID(), err)
	}
	if _, _, err := s.resolve(ctx, s.repo, "prod", envdb.AtBackup(all[4])); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("by its id: %v", err)
	}
	if got := s.expired(""); len(got.Gone) != 0 || len(got.Deleted) != 2 {
		t.Errorf("within the grace: %+v", got)
	}
	if _, err := s.Undelete(ctx, "prod", envdb.AtBackup(all[4])); err != nil {
		t.Error(err)
	}
	if _, err := s.Undelete(ctx, "prod", envdb.Latest()); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("undelete of latest: %v", err)
	}
	s.now = s.now.Add(deletionGrace)
	r, err := s.Expire(ctx, ExpireRequest{}) // without a ladder, and not named
	if err != nil || len(r.Environments) != 1 || !slices.Equal(r.Environments[0].Gone, all[:1]) {
		t.Errorf("after a week: %+v, %v", r, err)
	}
}

// While this machine's clock is not the store's, nothing is deleted; neither
// while a run reads it, or a backup cannot be read.
func TestNothingExpires(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1h, 1d]")
	ctx := t.Context()
	s.expired("")
	all := s.hours(6)
	s.expired("")

	hold, err := s.ledger.HoldBackup(ctx, "prod", all[2], ledger.Claim{Run: s.ledger.NewRunID(), Operation: envdb.OpRestore})
	check(t, err)
	s.now = s.now.Add(time.Hour)
	if got := s.expired(""); len(got.Gone) != 1 || len(got.Later) != 1 || got.Later[0].ID != all[2] {
		t.Errorf("while it is read: %+v", got)
	}
	check(t, hold.Release(ctx))

	wrong := s.now.Add(2 * time.Minute)
	s.Manager.now = func() time.Time { return wrong }
	if _, err := s.Expire(ctx, ExpireRequest{Environment: "prod"}); !errors.Is(err, envdb.ErrRefused) || !strings.Contains(err.Error(), "clocks") {
		t.Errorf("with a wrong clock: %v", err)
	}
	s.Manager.now = func() time.Time { return s.now }

	manifest := filepath.Join(s.dir, "store", "acme", "backups", "prod", string(all[5]), "manifest")
	whole, err := os.ReadFile(manifest)
	check(t, err)
	check(t, os.WriteFile(manifest, whole[:len(whole)-1], 0o600))
	r, err := s.Expire(ctx, ExpireRequest{Environment: "prod"})
	if !errors.Is(err, envdb.ErrRefused) || r.Environments[0].Blocked == "" || len(r.Environments[0].Gone) != 0 {
		t.Errorf("with an unreadable one: %+v, %v", r, err)
	}
	check(t, os.WriteFile(manifest, whole, 0o600))
	if got := s.expired(""); !slices.Equal(got.Gone, all[2:3]) {
		t.Errorf("in the end: %+v", got)
	}
	if _, err := s.Expire(ctx, ExpireRequest{Confirm: "prod"}); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("--confirm without a name: %v", err)
	}
	if _, err := s.Expire(ctx, ExpireRequest{Environment: "prd"}); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("a mistyped name: %v", err)
	}
}

// A reader that died and whose place the next run takes is marked interrupted in
// the store: nobody else would ever hear of it.
func TestADeadReaderIsMarked(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1h, 1d]")
	all := s.hours(5)
	here := ledger.ThisMachine()
	dead := here
	dead.Self.PID, dead.Self.Start = 1<<30, 1 // which is no process
	theirs := ledger.New(s.st, "acme", ledger.Config{Machine: dead, Now: func() time.Time { return s.now }})
	id := theirs.NewRunID()
	if _, err := theirs.Share(t.Context(), "prod", ledger.Claim{Run: id, Operation: envdb.OpBackup}); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Begin(t.Context(), ledger.Run{ID: id, Operation: envdb.OpBackup, Environment: "prod"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Delete(t.Context(), DeleteRequest{Environment: "prod", Point: envdb.AtBackup(all[0])}); err != nil {
		t.Fatal(err)
	}
	records, err := filepath.Glob(filepath.Join(s.dir, "store", "acme", "runs", "*", id+".*"))
	check(t, err)
	if len(records) != 1 || !strings.HasSuffix(records[0], ".interrupted") {
		t.Errorf("the store has %q", records)
	}
}

// roadblock is a way to a store that may be shut to what is written.
type roadblock struct {
	envdb.Store
	shut atomic.Bool
}

func (r *roadblock) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if r.shut.Load() {
		return "", envdb.Fail(envdb.ErrUnreachable, "the store does not answer")
	}
	return r.Store.Put(ctx, key, body, cond)
}

// Who looks at a ladder while another machine takes a backup watches that one,
// so that its death is known as soon as it is certain: the backup is then taken
// at once, not after another TTL.
func TestALookWatchesWhoBacksUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, "[1h, 1d]")
		elsewhere := ledger.Machine{Self: ledger.Process{Machine: "elsewhere", PID: 1}, Gone: func(ledger.Process) bool { return false }, Uptime: func() time.Duration { return 0 }}
		way := &roadblock{Store: s.st}
		theirs := ledger.New(way, "acme", ledger.Config{Machine: elsewhere})
		job, env := ledger.JobLease("ladder/prod"), "prod"
		id := theirs.NewRunID()
		for _, name := range []string{job, env} {
			take := theirs.Exclude
			if name == env {
				take = theirs.Share
			}
			lease, err := take(t.Context(), name, ledger.Claim{Run: id, Operation: envdb.OpBackup})
			check(t, err)
			defer lease.Release(t.Context())
		}
		recording, err := theirs.Begin(t.Context(), ledger.Run{ID: id, Operation: envdb.OpBackup, Environment: env})
		check(t, err)
		defer recording.Finish(t.Context(), nil, nil)
		w, err := s.repo.Create(t.Context(), env, backup.CreateOptions{Method: backup.Logical, Now: s.now, Run: id})
		check(t, err)
		defer w.Abort(t.Context())

		running := func() bool {
			r, err := s.LookLadder(t.Context(), env, s.now)
			check(t, err)
			return r.Due.Running
		}
		for range 5 {
			if !running() {
				t.Fatal("a backup that lives counts as dead")
			}
			time.Sleep(15 * time.Second)
		}
		way.shut.Store(true) // to its beats
		silent := time.Now()
		for running() {
			time.Sleep(15 * time.Second)
		}
		lease, err := s.ledger.Exclude(t.Context(), job, ledger.Claim{Run: s.ledger.NewRunID(), Operation: envdb.OpBackup})
		check(t, err)
		if took := time.Since(silent); took > 46*time.Second {
			t.Errorf("another may back up %s after the last beat", took)
		}
		check(t, lease.Release(t.Context()))
	})
}

// A policy whose mark is damaged counts as one that keeps everything.
func TestADamagedPolicyMarkKeepsEverything(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1h, 1d]")
	s.expired("")
	s.hours(6)
	s.configure("[1d]")
	marks, err := filepath.Glob(filepath.Join(s.dir, "store", "acme", "marks", "prod", "policy", "*", "*", "*"))
	check(t, err)
	if len(marks) != 1 {
		t.Fatalf("marks: %q", marks)
	}
	check(t, os.WriteFile(marks[0], []byte("{"), 0o600))
	if got := s.expired(""); len(got.Goes)+len(got.HeldBack) != 0 || len(got.Stays) != 6 {
		t.Errorf("got %+v", got)
	}
	if _, err := s.LookLadder(t.Context(), "prod", s.now); err != nil {
		t.Fatal(err)
	}
	s.read = nil
	if _, err := s.LookLadder(t.Context(), "prod", s.now); err != nil || len(s.read) != 1 {
		t.Errorf("a look at the ladder read %q, want the head alone; %v", s.read, err)
	}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	s := newShelf(t, "[1m, 1h, 1d]")
	s.hours(3)
	s.now = s.now.Add(30 * time.Minute)
	check(t, s.repo.MarkBurst(t.Context(), "prod", s.now))
	l, err := s.Ladder(t.Context(), "prod")
	check(t, err)
	hour := l.Rungs[1]
	if len(l.Rungs) != 3 || l.Points != 3 || l.Newest != 30*time.Minute || hour.Slots != 2 || hour.Held != 2 || hour.Age != 90*time.Minute || hour.Worst == 0 {
		t.Errorf("got %+v", l)
	}
	if l.Took != time.Second || !strings.Contains(l.Says, "backups take 1s") || len(l.Bursts) != 8 || len(l.Due) == 0 {
		t.Errorf("got %+v", l)
	}
	s.configure("")
	if _, err := s.Ladder(t.Context(), "prod"); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("without a ladder: %v", err)
	}
}
