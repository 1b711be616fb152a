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

func TestShared(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := on("east", st), on("west", st)
			for _, of := range []string{"notifications", `Ünï "q"/x`} {
				text, first, err := a.Shared(t.Context(), of)
				if len(text) != 0 || err != nil {
					t.Fatalf("of nothing: %q, %v", text, err)
				}
				if err := a.SetShared(t.Context(), of, []byte("one of "+of), first); err != nil {
					t.Fatal(err)
				}
				if err := b.SetShared(t.Context(), of, []byte("two"), first); !errors.Is(err, envdb.ErrCondition) {
					t.Errorf("who was too late: %v, want a condition", err)
				}
				text, second, err := b.Shared(t.Context(), of)
				if string(text) != "one of "+of || err != nil {
					t.Fatalf("got %q, %v", text, err)
				}
				if err := b.SetShared(t.Context(), of, []byte("two"), second); err != nil {
					t.Fatal(err)
				}
				if err := a.SetShared(t.Context(), of, []byte("three"), second); !errors.Is(err, envdb.ErrCondition) {
					t.Errorf("over what has changed: %v, want a condition", err)
				}
			}
		})
	}
}

// Of many that count at once, each counts.
func TestSharedCounter(t *testing.T) {
	t.Parallel()
	for name, st := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const daemons, each = 6, 5
			var counting sync.WaitGroup
			for i := range daemons {
				counting.Go(func() {
					l := on(fmt.Sprint("machine-", i), st)
					for done := 0; done < each; {
						text, cond, err := l.Shared(t.Context(), "n")
						if err == nil {
							err = l.SetShared(t.Context(), "n", append(text, '.'), cond)
						}
						switch {
						case err == nil:
							done++
						case !errors.Is(err, envdb.ErrCondition):
							t.Errorf("count: %v", err)
							return
						}
					}
				})
			}
			counting.Wait()
			if text, _, err := on("east", st).Shared(t.Context(), "n"); len(text) != daemons*each || err != nil {
				t.Errorf("%d were counted (%v), want %d", len(text), err, daemons*each)
			}
		})
	}
}

// It is sealed, for its name alone, and one that is damaged can be replaced by who
// saw that, unless another was faster.
func TestSharedIsSealed(t *testing.T) {
	t.Parallel()
	st := &memory{}
	repo := encrypted(t, st)
	l := ledger.New(st, "acme", ledger.Config{Seal: atOnce(repo.Seal), Unseal: atOnce(repo.Unseal)})
	for _, name := range []string{"a", "b"} {
		if err := l.SetShared(t.Context(), name, []byte("the secret of "+name), envdb.IfAbsent()); err != nil {
			t.Fatal(err)
		}
	}
	if raw := string(st.objects["acme/shared/a"].content); strings.Contains(raw, "secret") {
		t.Errorf("it is in the open: %q", raw)
	}
	for name, content := range map[string][]byte{
		"swapped": st.objects["acme/shared/b"].content, "cut": st.objects["acme/shared/a"].content[:10], "in the open": []byte("{}"), "empty": nil,
	} {
		put(t, st, "acme/shared/a", content)
		text, cond, err := l.Shared(t.Context(), "a")
		if len(text) != 0 || !errors.Is(err, envdb.ErrVerification) {
			t.Errorf("%s: got %q, %v, want that it is damaged", name, text, err)
		}
		if err := l.SetShared(t.Context(), "a", []byte("anew"), cond); err != nil {
			t.Errorf("%s: it cannot be replaced: %v", name, err)
		}
		if err := l.SetShared(t.Context(), "a", []byte("by another"), cond); !errors.Is(err, envdb.ErrCondition) {
			t.Errorf("%s: a second time: %v, want a condition", name, err)
		}
		if text, _, err := l.Shared(t.Context(), "a"); string(text) != "anew" || err != nil {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
}

func TestSharedOfAStoreInTrouble(t *testing.T) {
	t.Parallel()
	st := &memory{fault: readOnly}
	l := on("east", st)
	if err := l.SetShared(t.Context(), "a", []byte("text"), envdb.IfAbsent()); !errors.Is(err, envdb.ErrPreflight) || !strings.Contains(err.Error(), "write a") {
		t.Errorf("of one that is read-only: %v", err)
	}
	if text, cond, err := l.Shared(t.Context(), "a"); len(text) != 0 || !cond.Absent() || err != nil {
		t.Errorf("of one that is read-only: %q, %v, %v", text, cond, err)
	}
	st.setFault(down)
	if _, _, err := l.Shared(t.Context(), "a"); !errors.Is(err, envdb.ErrUnreachable) {
		t.Errorf("of one that is down: %v", err)
	}
}
