package backup_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

var errFault = errors.New("the store failed")

// faulty fails its nth call, or that and all after it, before or after the
// call had its effect.
type faulty struct {
	*memory
	mu     sync.Mutex
	calls  int
	nth    int  // 0 for none
	dead   bool // fail from the nth on: the process was killed
	effect bool // the nth call is carried out, but its answer is lost
}

// next counts a call and says whether it is carried out and whether it fails.
func (s *faulty) next() (carryOut, fail bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	fail = s.nth > 0 && (s.calls == s.nth || (s.dead && s.calls > s.nth))
	return !fail || (s.effect && s.calls == s.nth), fail
}

func (s *faulty) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (tag envdb.Tag, err error) {
	carryOut, fail := s.next()
	if carryOut {
		tag, err = s.memory.Put(ctx, key, body, cond)
	}
	if fail {
		return "", errFault
	}
	return tag, err
}

func (s *faulty) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if _, fail := s.next(); fail {
		return nil, envdb.Object{}, errFault
	}
	return s.memory.Get(ctx, key, span)
}

func (s *faulty) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	if _, fail := s.next(); fail {
		return func(yield func(envdb.Object, error) bool) { yield(envdb.Object{}, errFault) }
	}
	return s.memory.List(ctx, prefix)
}

func (s *faulty) Delete(ctx context.Context, key string) (err error) {
	carryOut, fail := s.next()
	if carryOut {
		err = s.memory.Delete(ctx, key)
	}
	if fail {
		return errFault
	}
	return err
}

// Every store call of a backup fails in turn, in four ways. Afterwards there
// are only whole backups, the leftovers can be removed, and a plain re-run
// succeeds and leaves nothing that no backup refers to.
func TestEveryStoreCallFails(t *testing.T) { inBothModes(t, testEveryStoreCallFails) }

func testEveryStoreCallFails(t *testing.T, in mode) {
	t.Parallel()
	original := newMemory()
	repo := in.repository(t, original)
	before := tables(3, 4, 300)
	first := mustTake(t, repo, before)
	after := clone(before)
	after["table/2"][1] = noise(77, 400)
	after["table/new"] = [][]byte{noise(78, 100)}
	copied := func() *memory { return &memory{objects: maps.Clone(original.objects)} }

	clean := &faulty{memory: copied()}
	mustTake(t, in.open(t, clean), after)
	total := clean.calls
	t.Logf("a backup makes %d store calls", total)
	for _, mode := range []struct {
		name         string
		dead, effect bool
	}{{"error", false, false}, {"lost answer", false, true}, {"killed before", true, false}, {"killed after", true, true}} {
		for nth := 2; nth <= total; nth++ { // the first call opens the repository
			st := &faulty{memory: copied(), nth: nth, dead: mode.dead, effect: mode.effect}
			faultyRepo := in.open(t, st)
			m, err := take(t.Context(), faultyRepo, after)
			if err != nil && m != nil {
				t.Fatalf("%s at call %d: both a manifest and %v", mode.name, nth, err)
			}
			converges(t, in, st.memory, map[envdb.BackupID]content{first.ID: before}, after, mode.name, nth)
		}
	}
}

func converges(t *testing.T, in mode, st *memory, whole map[envdb.BackupID]content, now content, mode string, nth int) {
	t.Helper()
	ctx := t.Context()
	repo := in.open(t, st)
	check := func(when string) int {
		backups := list(t, repo)
		for _, b := range backups {
			want, known := whole[b.ID()]
			if !known {
				want = now
			}
			if !b.Usable() {
				t.Fatalf("%s at call %d, %s: %s is not usable: %v %v", mode, nth, when, b.ID(), b.Err, b.Damaged)
			}
			if err := same(ctx, repo, b.Manifest, want); err != nil {
				t.Fatalf("%s at call %d, %s: %v", mode, nth, when, err)
			}
		}
		return len(backups)
	}
	n := check("at once")
	if _, err := take(ctx, repo, now); err != nil {
		t.Fatalf("%s at call %d: the next backup: %v", mode, nth, err)
	}
	left, err := repo.Leftovers(ctx, "prod", allDead)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range left {
		if err := repo.RemoveLeftover(ctx, "prod", l); err != nil {
			t.Fatal(err)
		}
	}
	if got := check("after the next backup"); got != n+1 {
		t.Fatalf("%s at call %d: %d backups, want %d", mode, nth, got, n+1)
	}
	if left, err := repo.Leftovers(ctx, "prod", allDead); err != nil || len(left) != 0 {
		t.Fatalf("%s at call %d: %v is left, %v", mode, nth, left, err)
	}
	referred := map[string]bool{}
	for _, b := range list(t, repo) {
		for _, p := range b.Manifest.Packs {
			referred["acme/packs/prod/"+p.ID().String()] = true
		}
	}
	for _, key := range append(st.keys("/packs/"), st.keys("/leases/")...) {
		if !referred[key] {
			t.Fatalf("%s at call %d: %s is left", mode, nth, key)
		}
	}
}

// forgetful takes a whole object, says so, and keeps less of it: nothing, or
// all but its last byte.
type forgetful struct {
	*memory
	loses string // of which objects
	all   bool
}

func (s *forgetful) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	tag, err := s.memory.Put(ctx, key, body, cond)
	switch {
	case err != nil || s.loses == "" || !strings.Contains(key, s.loses):
	case s.all:
		err = s.memory.Delete(ctx, key)
	default:
		s.change(key, func(data []byte) []byte { return data[:len(data)-1] })
	}
	return tag, err
}

// What the store says it has is read back before there is a manifest.
func TestWhatTheStoreDidNotKeepIsNoBackup(t *testing.T) {
	inBothModes(t, testWhatTheStoreDidNotKeepIsNoBackup)
}

func testWhatTheStoreDidNotKeepIsNoBackup(t *testing.T, in mode) {
	t.Parallel()
	for _, st := range []*forgetful{{loses: "/packs/"}, {loses: "/packs/", all: true}, {loses: "/index"}, {loses: "/index", all: true}} {
		loses := st.loses
		st.memory, st.loses = newMemory(), ""
		repo := in.repository(t, st)
		c := tables(2, 3, 300)
		st.loses = loses
		if _, err := take(t.Context(), repo, c); !errors.Is(err, envdb.ErrVerification) {
			t.Errorf("%s, all of it: %v: got %v, want ErrVerification", loses, st.all, err)
		}
		if got := list(t, repo); len(got) != 0 {
			t.Errorf("%s, all of it: %v: there is %+v", loses, st.all, got)
		}
		st.loses = ""
		mustTake(t, repo, c)
	}
}

// late reads all of a pack before it says that it cannot keep it.
type late struct {
	*memory
	fails bool
}

func (s *late) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if !s.fails || !strings.Contains(key, "/packs/") {
		return s.memory.Put(ctx, key, body, cond)
	}
	_, err := io.Copy(io.Discard, body)
	return "", errors.Join(errFault, err)
}

// There is no manifest while a pack may still come to nothing.
func TestPacksThatFailAtTheirEnd(t *testing.T) { inBothModes(t, testPacksThatFailAtTheirEnd) }

func testPacksThatFailAtTheirEnd(t *testing.T, in mode) {
	t.Parallel()
	st := &late{memory: newMemory()}
	repo := in.repository(t, st)
	st.fails = true
	if _, err := take(t.Context(), repo, tables(2, 3, 300)); !errors.Is(err, errFault) {
		t.Errorf("got %v, want the store's error", err)
	}
	if got := list(t, repo); len(got) != 0 {
		t.Errorf("there is %+v", got)
	}
}

// A writer that was taken for dead and had only been slow cannot commit.
func TestZombie(t *testing.T) { inBothModes(t, testZombie) }

func testZombie(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := in.repository(t, st)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "slow"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("a", 0, noise(1, 65<<20))); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(st.keys("/packs/")) == 0 { // until the store has the pack
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
	alive := func(string) (bool, error) { return false, nil }
	if left, err := repo.Leftovers(ctx, "prod", alive); err != nil || len(left) != 0 {
		t.Errorf("while it lives: %v, %v", left, err)
	}
	left, err := repo.Leftovers(ctx, "prod", func(run string) (bool, error) { return run == "slow", nil })
	if err != nil || len(left) != 1 || left[0].Objects != 1 {
		t.Fatalf("got %+v, %v", left, err)
	}
	if err := repo.RemoveLeftover(ctx, "prod", left[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(ctx, backup.Description{}); err == nil {
		t.Error("it was committed after its data was removed")
	}
	if err := w.Abort(ctx); err != nil {
		t.Error(err)
	}
	if got := list(t, repo); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
	if got := st.keys("/packs/"); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
}

// While a manifest cannot be read, nothing is taken for a leftover.
func TestNoLeftoversWhileAManifestIsDamaged(t *testing.T) {
	inBothModes(t, testNoLeftoversWhileAManifestIsDamaged)
}

func testNoLeftoversWhileAManifestIsDamaged(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	st.change("acme/backups/prod/"+string(m.ID)+"/manifest", flip)
	left, err := repo.Leftovers(t.Context(), "prod", allDead)
	if !errors.Is(err, envdb.ErrVerification) || len(left) != 0 {
		t.Errorf("got %v, %v; want ErrVerification", left, err)
	}
}

// The packs of a deleted backup to which a later one refers are no leftovers.
func TestReferredPacksAreNoLeftovers(t *testing.T) { inBothModes(t, testReferredPacksAreNoLeftovers) }

func testReferredPacksAreNoLeftovers(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	repo := in.repository(t, st)
	c := tables(2, 3, 100)
	first := mustTake(t, repo, c)
	second := mustTake(t, repo, c)
	for _, key := range st.keys(string(first.ID) + "/manifest") {
		st.change(key, remove)
	}
	if left, err := repo.Leftovers(t.Context(), "prod", allDead); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v", left, err)
	}
	if err := same(t.Context(), repo, second, c); err != nil {
		t.Error(err)
	}
	if got := st.keys("/leases/"); len(got) != 0 {
		t.Errorf("intents are left: %s", strings.Join(got, " "))
	}
}
