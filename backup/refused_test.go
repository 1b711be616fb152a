package backup_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// Credentials that do not allow to read say nothing about the data.
func TestRefusedReadIsNoDamage(t *testing.T) { inBothModes(t, testRefusedReadIsNoDamage) }

func testRefusedReadIsNoDamage(t *testing.T, in mode) {
	t.Parallel()
	st := &refusing{memory: newMemory()}
	repo := in.repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("one")}})
	reader, err := repo.Open(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	st.reads = true
	var damaged *backup.DamagedError
	if _, err := reader.Fetch(t.Context(), reader.Chunks("a")[0], nil); !errors.Is(err, envdb.ErrPreflight) || errors.As(err, &damaged) {
		t.Errorf("fetch: got %v, want the refusal", err)
	}
	if _, err := repo.List(t.Context(), "prod"); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("list: got %v, want the refusal", err)
	}
	if got := st.keys("/marks/"); len(got) != 0 {
		t.Errorf("marked %q", got)
	}
}

// A writer that may not delete stores whole backups, and leaves its intent and
// the packs that it came not to need.
func TestWriterThatMayNotDelete(t *testing.T) { inBothModes(t, testWriterThatMayNotDelete) }

func testWriterThatMayNotDelete(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := &refusing{memory: newMemory(), deletes: true}
	repo := in.repository(t, st)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("a", 0, noise(1, 65<<20))); err != nil {
		t.Fatal(err)
	}
	if err := w.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("a", 0, noise(2, 100))); err != nil {
		t.Fatal(err)
	}
	m, err := w.Commit(ctx, backup.Description{Point: start})
	if err != nil {
		t.Fatal(err)
	}
	c := content{"a": {noise(2, 100)}}
	if err := same(ctx, repo, m, c); err != nil {
		t.Error(err)
	}
	if err := same(ctx, repo, mustTake(t, repo, c), c); err != nil {
		t.Errorf("the next: %v", err)
	}
	if got := st.keys("/leases/"); len(got) != 2 {
		t.Errorf("the intents are %q", got)
	}
}

// A backup that fails, of a writer that may not delete, says what it left, and
// who may delete finds it.
func TestAbortOfAWriterThatMayNotDelete(t *testing.T) {
	inBothModes(t, testAbortOfAWriterThatMayNotDelete)
}

func testAbortOfAWriterThatMayNotDelete(t *testing.T, in mode) {
	t.Parallel()
	ctx := t.Context()
	st := &refusing{memory: newMemory(), deletes: true}
	repo := in.repository(t, st)
	w, err := repo.Create(ctx, "prod", backup.CreateOptions{Method: backup.Logical, Now: start, Run: "dead"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Put(ctx, chunk("a", 0, noise(2, 100))); err != nil {
		t.Fatal(err)
	}
	// As if a pack were full already.
	if _, err := st.Put(ctx, "acme/packs/prod/"+string(w.ID())+"/000001", strings.NewReader("a pack"), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(ctx); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), string(w.ID())) {
		t.Errorf("abort: got %v, want the refusal, with the backup's name", err)
	}
	if got := list(t, repo); len(got) != 0 {
		t.Errorf("the list shows %+v", got)
	}
	st.deletes = false
	left, err := repo.Leftovers(ctx, "prod", func(run string) (bool, error) { return run == "dead", nil })
	if err != nil || len(left) != 1 || left[0].ID != w.ID() || left[0].Objects != 1 {
		t.Fatalf("leftovers: got %+v, %v, want the one backup", left, err)
	}
	if err := repo.RemoveLeftover(ctx, "prod", left[0]); err != nil {
		t.Fatal(err)
	}
	if got := append(st.keys("/packs/"), st.keys("/leases/")...); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

// Damage is told also to who may not mark it, as what it is, and with the word
// that the next backup does not know of it.
func TestDamageThatMayNotBeMarked(t *testing.T) { inBothModes(t, testDamageThatMayNotBeMarked) }

func testDamageThatMayNotBeMarked(t *testing.T, in mode) {
	t.Parallel()
	for name, object := range map[string]string{"pack": "/packs/prod/", "index": "/index"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			st := &refusing{memory: newMemory(), marks: true}
			repo := in.repository(t, st)
			m := mustTake(t, repo, content{"a": {noise(1, 5000)}})
			reader, err := repo.Open(ctx, m)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range st.keys("") {
				if strings.Contains(key, object) {
					st.change(key, func(data []byte) []byte { data[len(data)-1]++; return data })
				}
			}
			told := func(what string, err error) {
				t.Helper()
				state, _ := envdb.Advice(err)
				if !errors.Is(err, envdb.ErrVerification) || errors.Is(err, envdb.ErrPreflight) || !strings.Contains(state, "not recorded") || !strings.Contains(state, "do not allow") {
					t.Errorf("%s: got %v, state %q; want an ErrVerification whose state says that it is not recorded", what, err, state)
				}
			}
			report, err := repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
			if err != nil || len(report.Bad) != 1 || !strings.Contains(report.Bad[0], object) {
				t.Fatalf("verify: got %+v, %v; want the damage", report, err)
			}
			told("verify", report.Err())
			if name == "pack" {
				_, err = reader.Fetch(ctx, reader.Chunks("a")[0], nil)
			} else {
				_, err = repo.Open(ctx, m)
			}
			told("read", err)
			if got := st.keys("/marks/"); len(got) != 0 {
				t.Errorf("marked %q", got)
			}
			st.marks = false
			report, err = repo.Verify(ctx, "prod", "", backup.VerifyOptions{ReadData: true})
			if err != nil || report.Unrecorded != "" || len(st.keys("/marks/")) != 1 {
				t.Errorf("where marks are allowed: %+v, %v, marks %q", report, err, st.keys("/marks/"))
			}
		})
	}
}

// refusing has credentials that do not allow everything.
type refusing struct {
	*memory
	reads, deletes, marks bool // are refused
}

func (s *refusing) Put(ctx context.Context, key string, body io.Reader, cond envdb.Condition) (envdb.Tag, error) {
	if s.marks && strings.Contains(key, "/marks/") {
		return "", envdb.Fail(envdb.ErrPreflight, "write %s: the credentials do not allow it", key)
	}
	return s.memory.Put(ctx, key, body, cond)
}

func (s *refusing) Get(ctx context.Context, key string, span envdb.Span) (io.ReadCloser, envdb.Object, error) {
	if s.reads {
		return nil, envdb.Object{}, envdb.Fail(envdb.ErrPreflight, "read %s: the credentials do not allow it", key)
	}
	return s.memory.Get(ctx, key, span)
}

func (s *refusing) Delete(ctx context.Context, key string) error {
	if s.deletes {
		return envdb.Fail(envdb.ErrPreflight, "delete %s: the credentials do not allow it", key)
	}
	return s.memory.Delete(ctx, key)
}
