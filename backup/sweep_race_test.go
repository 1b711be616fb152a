package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// interleaved lets something else happen, once, before its nth call.
type interleaved struct {
	*memory
	calls, nth int
	happens    func()
}

func (s *interleaved) next() {
	if s.calls++; s.calls == s.nth {
		s.happens()
	}
}

func (s *interleaved) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	s.next()
	return s.memory.Put(ctx, key, body, cond)
}

func (s *interleaved) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	s.next()
	return s.memory.Get(ctx, key, span)
}

func (s *interleaved) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	s.next()
	return s.memory.List(ctx, prefix)
}

func (s *interleaved) Delete(ctx context.Context, key string) error {
	s.next()
	return s.memory.Delete(ctx, key)
}

// What a sweep deletes while somebody looks for leftovers is none: it was whole,
// and no void is left in its place.
func TestASweepAmidALookForLeftovers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := plain()
	original := newMemory()
	repo := in.repository(t, original)
	ids, contents := series(t, repo, 4)
	bury(t, repo, ids[1], ids[3])
	for nth := 2; ; nth++ {
		st := &interleaved{memory: &memory{objects: maps.Clone(original.objects)}, nth: nth}
		st.happens = func() {
			_, err := in.open(t, st.memory).Sweep(ctx, "prod", everything(start))
			must(t, err)
		}
		looking := in.open(t, st)
		left, err := looking.Leftovers(ctx, "prod", allDead)
		must(t, err)
		for _, l := range left {
			t.Errorf("at call %d: %s counts as a leftover", nth, l.ID)
			must(t, looking.RemoveLeftover(ctx, "prod", l))
		}
		if st.calls < nth {
			t.Logf("%d places", nth-2)
			return
		}
		for key, content := range st.objects {
			if string(content) == "envdbvd1" {
				t.Errorf("at call %d: a void at %s", nth, key)
			}
		}
		there, err := intact(ctx, in.open(t, st.memory), contents)
		if err != nil || len(there) != 2 {
			t.Errorf("at call %d: %v, %v", nth, there, err)
		}
	}
}

// At every store call of one of them, the other happens as a whole: a backup
// amid a sweep, a sweep amid a backup, two sweeps, an undelete amid a sweep.
// Nothing refers to what is gone, and the next sweep leaves nothing behind.
func TestASweepAndWhatHappensMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := plain()
	original := newMemory()
	repo := in.repository(t, original)
	ids, contents := series(t, repo, 4)
	newest := clone(contents[ids[3]])
	newest["table/0"][0] = noise(99, 100)
	alive := everything(start)
	alive.Dead = func(string) (bool, error) { return false, nil }
	sweep := func(repo *backup.Repository) error {
		_, err := repo.Sweep(ctx, "prod", alive)
		return err
	}
	deletion := func(repo *backup.Repository) error { // of the newest, which is the base of whatever begins
		for _, id := range []envdb.BackupID{ids[3], ids[1]} {
			if err := repo.Bury(ctx, "prod", id, backup.Tombstone{SweepAfter: start}); err != nil {
				return err
			}
		}
		return sweep(repo)
	}
	taking := func(repo *backup.Repository) error {
		w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start.Add(time.Hour), Run: "run"})
		if err != nil {
			return err
		}
		contents[w.ID()] = newest
		return fillAndCommit(ctx, w, newest)
	}
	undelete := func(repo *backup.Repository) error {
		_ = repo.Exhume(ctx, "prod", ids[3]) // it may be too late, or too early
		return nil
	}
	verify := func(repo *backup.Repository) error {
		report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
		return errors.Join(err, report.Err())
	}
	for name, c := range map[string]struct {
		amid, happens func(*backup.Repository) error
	}{
		"a backup amid a deletion":   {deletion, taking},
		"a deletion amid a backup":   {taking, deletion},
		"a sweep amid a sweep":       {deletion, sweep},
		"an undelete amid a sweep":   {deletion, undelete},
		"a deletion amid a deletion": {deletion, deletion},
		"a deletion amid a verify":   {verify, deletion},
	} {
		for nth := 2; ; nth++ {
			st := &interleaved{memory: &memory{objects: maps.Clone(original.objects)}, nth: nth}
			where := fmt.Sprintf("%s, at call %d", name, nth)
			st.happens = func() {
				if err := c.happens(in.open(t, st.memory)); err != nil && !errors.Is(err, envdb.ErrNotFound) {
					t.Fatalf("%s: what happens: %v", where, err)
				}
			}
			if err := c.amid(in.open(t, st)); err != nil && !errors.Is(err, envdb.ErrNotFound) { // two deletions
				t.Fatalf("%s: %v", where, err)
			}
			if st.calls < nth {
				t.Logf("%s: %d places", name, nth-2)
				break
			}
			after := in.open(t, st.memory)
			there, err := intact(ctx, after, contents)
			if err != nil || !there[ids[0]] || !there[ids[2]] {
				t.Fatalf("%s: %v, %v", where, there, err)
			}
			if err := sweep(after); err != nil {
				t.Fatalf("%s: the next sweep: %v", where, err)
			}
			if _, err := intact(ctx, after, contents); err != nil {
				t.Fatalf("%s: after the next sweep: %v", where, err)
			}
			cleanUp(t, after)
			if left := orphans(t, after, st.memory); len(left) != 0 {
				t.Fatalf("%s: left behind: %q", where, left)
			}
		}
	}
}

// A backup begins at any store call of a deletion, pauses at any of its own, and
// goes on when the deletion has ended: it never refers to what is gone.
func TestABackupAcrossADeletion(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := plain()
	original := newMemory()
	repo := in.repository(t, original)
	ids, contents := series(t, repo, 3)
	newest := clone(contents[ids[2]])
	newest["table/0"][0] = noise(99, 100)
	alive := everything(start)
	alive.Dead = func(string) (bool, error) { return false, nil }
	bury(t, repo, ids[2])

	taken := func(pauseAt int, st *memory, paused, resume chan struct{}) (calls int, err error) {
		slow := &interleaved{memory: st, nth: pauseAt, happens: func() { close(paused); <-resume }}
		w, err := in.open(t, slow).Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start.Add(time.Hour), Run: "run"})
		if err == nil {
			err = fillAndCommit(ctx, w, newest)
			contents[w.ID()] = newest
		}
		return slow.calls, err
	}
	places := 0
	for begins := 2; ; begins++ {
		sweeps := 0
		for pauses := 2; ; pauses++ {
			where := fmt.Sprintf("begun at call %d, paused at call %d", begins, pauses)
			st := &interleaved{memory: &memory{objects: maps.Clone(original.objects)}, nth: begins}
			// The tombstone comes with the deletion, or the base would be another.
			for _, key := range st.keys("/tombstone/") {
				st.change(key, remove)
			}
			paused, resume, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
			var calls int
			var taking error
			st.happens = func() {
				go func() {
					defer close(ended)
					calls, taking = taken(pauses, st.memory, paused, resume)
				}()
				select {
				case <-paused:
				case <-ended:
				}
			}
			deleting := in.open(t, st)
			must(t, deleting.Bury(ctx, "prod", ids[2], backup.Tombstone{SweepAfter: start}))
			_, err := deleting.Sweep(ctx, "prod", alive)
			must(t, err)
			close(resume)
			if sweeps = st.calls; sweeps < begins {
				break
			}
			<-ended
			if taking != nil {
				t.Fatalf("%s: %v", where, taking)
			}
			after := in.open(t, st.memory)
			if there, err := intact(ctx, after, contents); err != nil || !there[ids[0]] || !there[ids[1]] || len(there) < 3 {
				t.Fatalf("%s: %v, %v", where, there, err)
			}
			places++
			if calls < pauses {
				break
			}
		}
		if sweeps < begins {
			break
		}
	}
	t.Logf("%d places", places)
}

// stepped stops before some of its calls, until it is told to go on.
type stepped struct {
	interleaved
	stops  map[int]bool
	intent int // the call that stores the write intent
	at, on chan struct{}
}

func (s *stepped) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if strings.Contains(key, "/leases/writes/") && s.intent == 0 {
		s.intent = s.calls + 1
	}
	s.stop()
	return s.memory.Put(ctx, key, body, cond)
}

func (s *stepped) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	s.stop()
	return s.memory.Get(ctx, key, span)
}

func (s *stepped) List(ctx context.Context, prefix string) iter.Seq2[envdb.Object, error] {
	s.stop()
	return s.memory.List(ctx, prefix)
}

func (s *stepped) Delete(ctx context.Context, key string) error {
	s.stop()
	return s.memory.Delete(ctx, key)
}

func (s *stepped) stop() {
	if s.calls++; s.stops[s.calls] {
		s.at <- struct{}{}
		<-s.on
	}
}

// A backup chose its base before the base was deleted, stores its intent at any
// moment of the sweep, and stops once more at any of its calls until the sweep
// has ended: it sees that its base is gone, or the sweep sees the intent.
func TestABackupThatChoseABaseBeforeItWasDeleted(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	in := plain()
	original := newMemory()
	repo := in.repository(t, original)
	ids, contents := series(t, repo, 3)
	newest := clone(contents[ids[2]])
	newest["table/0"][0] = noise(99, 100)
	alive := everything(start)
	alive.Dead = func(string) (bool, error) { return false, nil }
	take := func(st envdb.Store) error {
		w, err := in.open(t, st).Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start.Add(time.Hour), Run: "run"})
		if err != nil {
			return err
		}
		return fillAndCommit(ctx, w, newest)
	}
	copied := func() *memory { return &memory{objects: maps.Clone(original.objects)} }
	clean := &stepped{interleaved: interleaved{memory: copied()}}
	must(t, take(clean))
	places := 0
	for during := 2; ; during++ {
		ended := false
		for again := clean.intent + 1; again <= clean.calls+1; again++ {
			where := fmt.Sprintf("intent at call %d of the sweep, stopped at call %d", during, again)
			st := copied()
			writer := &stepped{
				interleaved: interleaved{memory: st}, stops: map[int]bool{clean.intent: true, again: true},
				at: make(chan struct{}), on: make(chan struct{}),
			}
			done := make(chan error, 1)
			go func() { done <- take(writer) }()
			<-writer.at
			var taken error
			finished := false
			wait := func() {
				select {
				case <-writer.at:
				case taken = <-done:
					finished = true
				}
			}
			deleting := &interleaved{memory: st, nth: during, happens: func() { writer.on <- struct{}{}; wait() }}
			sweeper := in.open(t, deleting)
			must(t, sweeper.Bury(ctx, "prod", ids[2], backup.Tombstone{SweepAfter: start}))
			_, err := sweeper.Sweep(ctx, "prod", alive)
			must(t, err)
			committed := len(list(t, in.open(t, st))) == 3 || len(st.keys(string(ids[2])+"/manifest")) > 0
			if ended = deleting.calls < during; ended {
				writer.on <- struct{}{}
				wait()
			}
			for !finished {
				writer.on <- struct{}{}
				wait()
			}
			if taken != nil {
				t.Fatalf("%s: %v", where, taken)
			}
			after := in.open(t, st)
			backups := list(t, after)
			last := backups[len(backups)-1]
			if err := same(ctx, after, last.Manifest, newest); err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			if base := last.Manifest.Base; base != ids[1] && (base != ids[2] || !committed) || !last.Usable() {
				t.Fatalf("%s: the base is %q, damaged %q", where, base, last.Damaged)
			}
			places++
		}
		if ended {
			break
		}
	}
	t.Logf("%d places", places)
}
