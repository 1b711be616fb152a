package backup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

func slotNames(t *testing.T, st envdb.Store) []string {
	t.Helper()
	e, err := backup.ReadEncryption(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range e.Slots {
		names = append(names, s.Name)
	}
	return names
}

// A lost machine: the recovery key opens, a new machine's key is added, the
// lost one's removed, and every backup is readable with what is left.
func TestKeysComeAndGo(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	machine, recovery, fresh, ann := newIdentity(t), newIdentity(t), newIdentity(t), newIdentity(t)
	st := newMemory()
	repo, err := backup.Init(ctx, st, "acme", backup.InitOptions{
		Recipients: []seal.Slot{
			{Name: "db-1", Kind: seal.Machine, Recipient: machine.Recipient()},
			{Name: "safe", Kind: seal.Recovery, Recipient: recovery.Recipient()},
		},
		Access: backup.Access{Identities: []seal.Identity{machine}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := tables(2, 3, 500)
	m := mustTake(t, repo, c)
	with := func(i seal.Identity) (*backup.Repository, error) {
		return backup.Open(ctx, st, "acme", backup.Access{Identities: []seal.Identity{i}, KeyID: repo.Encryption().KeyID})
	}
	rescued, err := with(recovery)
	if err != nil {
		t.Fatal(err)
	}
	add := func(name string, kind seal.Kind, i seal.Identity) error {
		return rescued.AddKey(ctx, seal.Slot{Name: name, Kind: kind, Recipient: i.Recipient()})
	}
	for _, err := range []error{add("db-2", seal.Machine, fresh), add("ann", seal.Person, ann), rescued.RemoveKey(ctx, "DB-1")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := slotNames(t, st); fmt.Sprint(got) != "[safe db-2 ann]" {
		t.Errorf("got the slots %q", got)
	}
	for _, i := range []seal.Identity{recovery, fresh, ann} {
		opened, err := with(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := same(ctx, opened, m, c); err != nil {
			t.Error(err)
		}
	}
	if _, err := with(machine); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("with the removed key: got %v", err)
	}
	for _, test := range []struct {
		name string
		err  error
		want error
		says string
	}{
		{"a name that is taken", add("SAFE", seal.Person, ann), envdb.ErrRefused, "safe"},
		{"a bad name", add("a b", seal.Person, ann), envdb.ErrMisuse, "a b"},
		{"a bad recipient", rescued.AddKey(ctx, seal.Slot{Name: "x", Kind: seal.Person}), envdb.ErrMisuse, "recipient"},
		{"an unknown name", rescued.RemoveKey(ctx, "db-1"), envdb.ErrNotFound, "db-2"},
		{"the last recovery key", rescued.RemoveKey(ctx, "safe"), envdb.ErrRefused, "last recovery key"},
		{"the last recovery key, meant", rescued.RemoveLastRecoveryKey(ctx, "safe"), nil, ""},
		{"another", rescued.RemoveKey(ctx, "ann"), nil, ""},
		{"the last", rescued.RemoveKey(ctx, "db-2"), envdb.ErrRefused, "the last key"},
		{"the last, even so", rescued.RemoveLastRecoveryKey(ctx, "db-2"), envdb.ErrRefused, "the last key"},
	} {
		if !errors.Is(test.err, test.want) || test.want != nil && !strings.Contains(told(test.err), test.says) {
			t.Errorf("%s: got %s, want %v", test.name, told(test.err), test.want)
		}
	}
	if got := slotNames(t, st); fmt.Sprint(got) != "[db-2]" {
		t.Errorf("got the slots %q", got)
	}
}

func TestKeysOfAPlainRepository(t *testing.T) {
	t.Parallel()
	repo := plain().repository(t, newMemory())
	slot := seal.Slot{Name: "ann", Kind: seal.Person, Recipient: newIdentity(t).Recipient()}
	for _, err := range []error{repo.AddKey(t.Context(), slot), repo.RemoveKey(t.Context(), "ann")} {
		if !errors.Is(err, envdb.ErrRefused) || !strings.Contains(told(err), "not encrypted") {
			t.Errorf("got %s", told(err))
		}
	}
}

// Several change the keys at once: every change takes place.
func TestKeysAreChangedAtOnce(t *testing.T) {
	t.Parallel()
	st := newMemory()
	in := encrypted(t)
	repo := in.repository(t, st)
	const many = 8
	for i := range many {
		if err := repo.AddKey(t.Context(), seal.Slot{Name: fmt.Sprintf("old-%d", i), Kind: seal.Person, Recipient: newIdentity(t).Recipient()}); err != nil {
			t.Fatal(err)
		}
	}
	var group errgroup.Group
	for i := range many / 2 {
		to := newIdentity(t).Recipient()
		group.Go(func() error {
			return in.open(t, st).AddKey(t.Context(), seal.Slot{Name: fmt.Sprintf("new-%d", i), Kind: seal.Person, Recipient: to})
		})
		group.Go(func() error { return in.open(t, st).RemoveKey(t.Context(), fmt.Sprintf("old-%d", i)) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	got := slotNames(t, st)
	slices.Sort(got)
	if want := "[here new-0 new-1 new-2 new-3 old-4 old-5 old-6 old-7]"; fmt.Sprint(got) != want {
		t.Errorf("got %q, want %s", got, want)
	}
}

// Every store call of a change fails in turn. The repository opens afterwards
// as before, and what succeeded is there once.
func TestEveryStoreCallOfAKeyChangeFails(t *testing.T) {
	t.Parallel()
	original := newMemory()
	in := encrypted(t)
	in.repository(t, original)
	ann := seal.Slot{Name: "ann", Kind: seal.Person, Recipient: newIdentity(t).Recipient()}
	calls := 0
	for _, effect := range []bool{false, true} {
		for nth := 2; nth <= 5; nth++ { // the first call opens the repository
			for _, dead := range []bool{false, true} {
				st := &faulty{memory: &memory{objects: maps.Clone(original.objects)}, nth: nth, effect: effect, dead: dead}
				repo := in.open(t, st)
				err := repo.AddKey(t.Context(), ann)
				if err == nil {
					err = repo.RemoveKey(t.Context(), "here")
				}
				calls = max(calls, st.calls)
				e, rerr := backup.ReadEncryption(t.Context(), st.memory)
				if rerr != nil || len(e.Slots) == 0 || len(e.Slots) > 2 {
					t.Fatalf("call %d: %+v, %v", nth, e, rerr)
				}
				if err == nil && fmt.Sprint(slotNames(t, st.memory)) != "[ann]" {
					t.Errorf("call %d: both succeeded, and the slots are %q", nth, slotNames(t, st.memory))
				}
				if err != nil && !errors.Is(err, errFault) {
					t.Errorf("call %d: %v", nth, err)
				}
			}
		}
	}
	t.Logf("two changes of keys make up to %d store calls", calls)
}

// What this envdb does not know in envdb.json survives a change of the keys.
func TestKeyChangesKeepWhatIsUnknown(t *testing.T) {
	t.Parallel()
	st := newMemory()
	repo := encrypted(t).repository(t, st)
	st.change("envdb.json", func(b []byte) []byte {
		b = bytes.Replace(b, []byte(`"format": 1`), []byte(`"format": 1, "colour": {"name": "blue"}`), 1)
		b = bytes.Replace(b, []byte(`"mode"`), []byte(`"rounds": 12, "mode"`), 1)
		return bytes.Replace(b, []byte(`"kind"`), []byte(`"phone": "555", "kind"`), 1)
	})
	if err := repo.AddKey(t.Context(), seal.Slot{Name: "ann", Kind: seal.Recovery, Recipient: newIdentity(t).Recipient()}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Colour     struct{ Name string }
		Encryption struct {
			Rounds int
			Slots  []struct{ Name, Phone string }
		}
	}
	if err := json.Unmarshal(st.objects["envdb.json"], &got); err != nil {
		t.Fatal(err)
	}
	if got.Colour.Name != "blue" || got.Encryption.Rounds != 12 || len(got.Encryption.Slots) != 2 || got.Encryption.Slots[0].Phone != "555" {
		t.Errorf("got %+v", got)
	}
}

// A repository that was opened under one key does not wrap it for an envdb.json
// that holds another.
func TestKeysOfAReplacedRepository(t *testing.T) {
	t.Parallel()
	st, other := newMemory(), newMemory()
	in := encrypted(t)
	repo := in.repository(t, st)
	in.repository(t, other)
	st.change("envdb.json", func([]byte) []byte { return other.objects["envdb.json"] })
	err := repo.AddKey(t.Context(), seal.Slot{Name: "ann", Kind: seal.Person, Recipient: newIdentity(t).Recipient()})
	if !errors.Is(err, envdb.ErrRefused) || !strings.Contains(told(err), "replaced") {
		t.Errorf("got %s", told(err))
	}
}
