package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/ledger"
)

// encrypted makes an encrypted repository in st.
func encrypted(t *testing.T, st envdb.Store) *backup.Repository {
	t.Helper()
	identity, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	repo, err := backup.Init(t.Context(), st, "acme", backup.InitOptions{
		Recipients: []seal.Slot{{Name: "here", Kind: seal.Machine, Recipient: identity.Recipient()}},
		Access:     backup.Access{Identities: []seal.Identity{identity}, Required: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// atOnce adapts what seals without waiting for anything.
func atOnce(f func(string, []byte) ([]byte, error)) func(context.Context, string, []byte) ([]byte, error) {
	return func(_ context.Context, key string, b []byte) ([]byte, error) { return f(key, b) }
}

// Nothing of a run but what its key says can be read in an encrypted
// repository, and what can be read without the key is still told.
func TestRunsAreSealed(t *testing.T) {
	t.Parallel()
	st := &memory{}
	repo := encrypted(t, st)
	spool := filepath.Join(t.TempDir(), "spool")
	l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal), Spool: spool})
	r := begin(t, l, mirror)
	slog.New(r.Tee(nil)).Info("copied table customers")
	finish(t, r, errors.New(`invalid input syntax for type integer: "ann@example.com"`))
	st.setFault(down)
	spooled := begin(t, l, ledger.Run{Operation: envdb.OpRollback, Environment: "prod", Facts: map[string]any{"secret": "ann@example.com"}})
	slog.New(spooled.Tee(nil)).Info("swapped customers")
	finish(t, spooled, nil)
	st.setFault(nil)
	if n, err := l.FlushSpool(t.Context()); n != 1 || err != nil {
		t.Fatalf("flushed %d, %v", n, err)
	}

	keys := st.keys("acme/runs/")
	if len(keys) != 4 {
		t.Fatalf("the store has %q, want two records and two logs", keys)
	}
	for _, key := range keys {
		for _, secret := range []string{"ann@example.com", "customers", "prod-copy", "outcome"} {
			if strings.Contains(string(st.objects[key].content), secret) {
				t.Errorf("%s says %q in the open", key, secret)
			}
		}
	}
	run, err := l.Run(t.Context(), r.ID())
	if err != nil || !strings.Contains(run.Error, "ann@example.com") {
		t.Errorf("with the key: %+v, %v", run, err)
	}
	if text, err := l.Log(t.Context(), spooled.ID()); err != nil || !strings.Contains(string(text), "swapped") {
		t.Errorf("with the key: %q, %v", text, err)
	}

	other := encrypted(t, &memory{})
	blind := ledger.New(st, "acme", ledger.Config{Seal: atOnce(other.Seal), Unseal: atOnce(other.Unseal)})
	runs, err := blind.Runs(t.Context(), ledger.Filter{})
	if err != nil || len(runs) != 2 {
		t.Fatalf("without the key: %d runs, %v", len(runs), err)
	}
	if got := runs[1]; got.ID != r.ID() || got.Environment != mirror.Environment || got.Outcome != ledger.Failed || got.Started.IsZero() || !strings.Contains(got.Error, "unreadable") {
		t.Errorf("without the key: %+v", got)
	}
}

// A log or record that was put in the place of another, changed or cut short
// does not pass for what belongs there, and the error names it.
func TestTamperedRunsAreNamed(t *testing.T) {
	t.Parallel()
	st := &memory{}
	repo := encrypted(t, st)
	l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal)})
	var ids [2]string
	for i := range ids {
		r := begin(t, l, mirror)
		slog.New(r.Tee(nil)).Info("a line", "number", i)
		finish(t, r, nil)
		ids[i] = r.ID()
	}
	log := func(i int) string { return "acme/runs/" + ids[i][:8] + "/" + ids[i] + ".log" }
	record := func(i int) string {
		return "acme/runs/" + ids[i][:8] + "/" + ids[i] + ".prod-copy.mirror.succeeded"
	}
	whole := map[string][]byte{}
	for _, key := range st.keys("acme/runs/") {
		whole[key] = st.objects[key].content
	}
	for name, tamper := range map[string]func(key, other string) []byte{
		"swapped":   func(_, other string) []byte { return whole[other] },
		"changed":   func(key, _ string) []byte { b := []byte(string(whole[key])); b[len(b)/2]++; return b },
		"truncated": func(key, _ string) []byte { return whole[key][:len(whole[key])-1] },
		"in clear":  func(key, _ string) []byte { return []byte(`{"id":"` + ids[0] + `","outcome":"succeeded"}`) },
		"empty":     func(key, _ string) []byte { return nil },
	} {
		put(t, st, log(0), tamper(log(0), log(1)))
		put(t, st, record(0), tamper(record(0), record(1)))
		if text, err := l.Log(t.Context(), ids[0]); !errors.Is(err, envdb.ErrVerification) || !strings.Contains(err.Error(), log(0)) {
			t.Errorf("log, %s: got %q, %v; want an ErrVerification that names it", name, text, err)
		}
		run, err := l.Run(t.Context(), ids[0])
		if err != nil || !strings.Contains(run.Error, "unreadable") || !strings.Contains(run.Error, record(0)) {
			t.Errorf("record, %s: got %+v, %v; want one that says it is unreadable", name, run, err)
		}
	}
}

func put(t *testing.T, st envdb.Store, key string, content []byte) {
	t.Helper()
	if _, err := st.Put(t.Context(), key, bytes.NewReader(content), envdb.Condition{}); err != nil {
		t.Fatal(err)
	}
}
