package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// instance makes an environment that was created.
func instance(e *ledger.Environment) error {
	if e.Instance == nil {
		e.Instance = &ledger.Instance{Pattern: "test-*", Database: "test_x", Labels: map[string]string{}}
	}
	return nil
}

func change(t *testing.T, l *ledger.Ledger, name string, change func(*ledger.Environment) error) *ledger.Environment {
	t.Helper()
	e, err := l.ChangeEnvironment(t.Context(), name, change)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Everybody's change of a record is in it at the end, and a record that says
// nothing any more is gone.
func TestRecordsOfEnvironmentsChangeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	st := &memory{}
	const many = 8
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			l := ledger.New(st, "acme", ledger.Config{})
			change(t, l, "test-x", func(e *ledger.Environment) error {
				_ = instance(e)
				e.Instance.Labels[fmt.Sprint(i)] = "yes"
				return nil
			})
		})
	}
	all.Wait()
	l := ledger.New(st, "acme", ledger.Config{})
	e, err := l.Environment(t.Context(), "test-x")
	if err != nil || len(e.Instance.Labels) != many {
		t.Fatalf("got %+v, %v", e, err)
	}
	change(t, l, "qa", func(e *ledger.Environment) error {
		e.Hibernation = &ledger.Hibernation{Backup: "20261120-140500"}
		return nil
	})
	found, err := l.Environments(t.Context())
	if err != nil || len(found) != 2 || found[0].Name != "qa" || found[1].Name != "test-x" {
		t.Errorf("listed: %+v, %v", found, err)
	}
	change(t, l, "qa", func(e *ledger.Environment) error { e.Hibernation = nil; return nil })
	if _, err := l.Environment(t.Context(), "qa"); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("qa: %v", err)
	}
	if keys := st.keys("acme/environments/"); len(keys) != 1 || keys[0] != "acme/environments/test-x" {
		t.Errorf("keys %q", keys)
	}
	refused := errors.New("no")
	if _, err := l.ChangeEnvironment(t.Context(), "test-y", func(*ledger.Environment) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// Names that a store's directories would take for one are one, and that is
// said.
func TestNamesThatDifferInCaseOnly(t *testing.T) {
	t.Parallel()
	l := ledger.New(&memory{}, "acme", ledger.Config{})
	change(t, l, "test-É", instance)
	for _, name := range []string{"TEST-É", "test-é"} {
		if _, err := l.Environment(t.Context(), name); !errors.Is(err, envdb.ErrRefused) || !strings.Contains(err.Error(), `"test-É", which is there`) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := l.ChangeEnvironment(t.Context(), name, instance); !errors.Is(err, envdb.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Records of environments are sealed for their keys: they cannot be read in the
// store, nor put in another's place.
func TestRecordsOfEnvironmentsAreSealed(t *testing.T) {
	t.Parallel()
	st := &memory{}
	repo := encrypted(t, st)
	l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal)})
	change(t, l, "test-x", func(e *ledger.Environment) error {
		_ = instance(e)
		e.Instance.Labels["who"] = "ann@example.com"
		return nil
	})
	change(t, l, "test-y", instance)
	st.mu.Lock()
	x := st.objects["acme/environments/test-x"]
	st.objects["acme/environments/test-y"] = x
	st.mu.Unlock()
	if strings.Contains(string(x.content), "ann@example.com") || strings.Contains(string(x.content), "pattern") {
		t.Errorf("stored in the clear: %q", x.content)
	}
	if e, err := l.Environment(t.Context(), "test-x"); err != nil || e.Instance.Labels["who"] != "ann@example.com" {
		t.Errorf("test-x: %+v, %v", e, err)
	}
	if e, err := l.Environment(t.Context(), "test-y"); err == nil {
		t.Errorf("the record of another was taken: %+v", e)
	}
}
