package backup_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

// told is everything that a person hears of an error.
func told(err error) string {
	if err == nil {
		return "no error"
	}
	state, next := envdb.Advice(err)
	return fmt.Sprintf("%v\n%s\n%s", err, state, next)
}

// With two recipients either opens the repository, on any machine, and nobody
// else does. What stands in the way is said, and who could open it.
func TestWhoOpensARepository(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	machine, recovery, eve := newIdentity(t), newIdentity(t), newIdentity(t)
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
	c := tables(2, 3, 1000)
	mustTake(t, repo, c)
	id := repo.Encryption().KeyID
	other := encrypted(t).repository(t, newMemory()).Encryption().KeyID
	plainStore := newMemory()
	plain().repository(t, plainStore)
	changed := func(old, with string) *memory {
		copied := newMemory()
		copied.objects = map[string][]byte{"envdb.json": bytes.Replace(st.objects["envdb.json"], []byte(old), []byte(with), 1)}
		return copied
	}
	wrapped := func(i int) string {
		text, err := json.Marshal(repo.Encryption().Slots[i].Wrapped)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Trim(string(text), `"`)
	}
	us := func(i ...seal.Identity) backup.Access { return backup.Access{Identities: i, Required: true} }
	pinned := func(id string, i ...seal.Identity) backup.Access { return backup.Access{Identities: i, KeyID: id} }
	for _, test := range []struct {
		name   string
		st     *memory
		access backup.Access
		want   error
		says   []string
	}{
		{"the machine", st, us(machine), nil, nil},
		{"the recovery key, when the machine's is lost", st, us(recovery), nil, nil},
		{"one of several identities", st, us(eve, recovery), nil, nil},
		{"pinned", st, pinned(id, machine), nil, nil},
		{"pinned in upper case", st, pinned(strings.ToUpper(id), machine), nil, nil},
		{"one slot's text is damaged", changed(wrapped(0)[:20], "%%%"), us(recovery), nil, nil},
		{"one slot's bytes are damaged", changed(wrapped(0)[40:60], "AAAAAAAAAAAAAAAAAAAA"), us(recovery), nil, nil},
		{"one slot is of another shape", changed(`"kind": "machine"`, `"kind": 7`), us(recovery), nil, nil},
		{"plain", plainStore, backup.Access{}, nil, nil},
		{"plain, an identity beside", plainStore, backup.Access{Identities: []seal.Identity{machine}}, nil, nil},

		{"no identity", st, us(), envdb.ErrPreflight, []string{"no identity is configured", "db-1 (machine, age1", "safe (recovery, age1", "store.encryption.identity"}},
		{"a wrong identity", st, us(eve), envdb.ErrPreflight, []string{eve.Recipient().String(), "db-1 (machine", "safe (recovery", "recovery key", "=file:recovery.txt envdb key add"}},
		{"the only slot we have is damaged", changed(wrapped(0)[40:60], "AAAAAAAAAAAAAAAAAAAA"), us(machine), envdb.ErrVerification, []string{"db-1", "damaged", "safe (recovery"}},
		{"all slots are lost", changed(`"slots"`, `"holes"`), us(machine), envdb.ErrPreflight, []string{"no slot is left"}},
		{"another key is pinned", st, pinned(other, machine), envdb.ErrRefused, []string{id, other, "replaced"}},
		{"the id was changed", changed(id, other), us(machine), envdb.ErrVerification, []string{id, other, "db-1"}},
		{"the id was changed to the pinned one", changed(id, other), pinned(other, machine), envdb.ErrVerification, []string{id, other}},
		{"plain, where encryption is required", plainStore, us(machine), envdb.ErrRefused, []string{"not encrypted", "replaced"}},
		{"plain, where a key is pinned", plainStore, pinned(id, machine), envdb.ErrRefused, []string{"not encrypted", "replaced"}},
		{"made plain", changed(`"aes-256-gcm"`, `"none"`), us(machine), envdb.ErrRefused, []string{"not encrypted"}},
		{"a newer mode", changed(`"aes-256-gcm"`, `"aes-512"`), us(machine), envdb.ErrRefused, []string{"aes-512", "newer envdb"}},
		{"a newer format", changed(`"format": 1`, `"format": 2`), us(machine), envdb.ErrRefused, []string{"newer envdb"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := backup.Open(ctx, test.st, "acme", test.access)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if test.want == nil {
				if _, whole := test.st.objects["acme/backups/prod/20261120-140500/manifest"]; whole {
					if err := same(ctx, got, list(t, got)[0].Manifest, c); err != nil {
						t.Error(err)
					}
				}
				return
			}
			for _, says := range append(test.says, "nothing was") {
				if !strings.Contains(told(err), says) {
					t.Errorf("it does not say %q:\n%s", says, told(err))
				}
			}
			if _, next := envdb.Advice(err); next == "" {
				t.Error("it has no Next")
			}
		})
	}
}

// Who can write to the store can write slots that are none, with names that
// would do a terminal harm: they are shown as what they are, and can be removed.
func TestStrangeSlots(t *testing.T) {
	t.Parallel()
	st := newMemory()
	in := encrypted(t)
	in.repository(t, st)
	st.change("envdb.json", func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"slots": [`), []byte(`"slots": [7, {"name": "\u001b[2Jann", "kind": "\u0007", "recipient": "\u001b[31mred"},`), 1)
	})
	repo := in.open(t, st)
	_, err := backup.Open(t.Context(), st, "acme", backup.Access{Identities: []seal.Identity{newIdentity(t)}})
	shown := fmt.Sprint(repo.Encryption().Slots, told(err))
	if strings.ContainsAny(shown, "\x1b\x07") || !strings.Contains(shown, "slot-1") {
		t.Errorf("got %q", shown)
	}
	for _, slot := range repo.Encryption().Slots[:2] {
		if err := repo.RemoveKey(t.Context(), slot.Name); err != nil {
			t.Error(err)
		}
	}
	if got := slotNames(t, st); fmt.Sprint(got) != "[here]" {
		t.Errorf("left: %q", got)
	}
}

// An Init whose answer was lost has made the repository, with our key.
func TestInitWithALostAnswer(t *testing.T) { inBothModes(t, testInitWithALostAnswer) }

func testInitWithALostAnswer(t *testing.T, in mode) {
	t.Parallel()
	st := &faulty{memory: newMemory(), nth: 3, effect: true} // open, list, put
	repo, err := backup.Init(t.Context(), st, "acme", backup.InitOptions{Recipients: in.recipients, Access: in.access})
	if err != nil || len(st.objects) != 1 {
		t.Fatalf("got %v, %d objects", err, len(st.objects))
	}
	if got := in.open(t, st.memory).ID(); got != repo.ID() {
		t.Errorf("got the repository %s, then %s", repo.ID(), got)
	}
}

// How a repository is encrypted can be told without a key.
func TestReadEncryption(t *testing.T) {
	t.Parallel()
	st := newMemory()
	repo := encrypted(t).repository(t, st)
	got, err := backup.ReadEncryption(t.Context(), st)
	if err != nil || got.Mode != backup.AES256GCM || got.KeyID != repo.Encryption().KeyID || len(got.Slots) != 1 || got.Slots[0].Name != "here" || got.Slots[0].Added.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := backup.ReadEncryption(t.Context(), newMemory()); !errors.Is(err, envdb.ErrNotFound) {
		t.Errorf("without a repository: got %v", err)
	}
	st.change("envdb.json", func(b []byte) []byte { return bytes.Replace(b, []byte("aes-256-gcm"), []byte("rot13"), 1) })
	if _, err := backup.ReadEncryption(t.Context(), st); !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("in a newer mode: got %v", err)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	me, other := newIdentity(t), newIdentity(t)
	slot := func(name string, i seal.Identity) seal.Slot {
		return seal.Slot{Name: name, Kind: seal.Machine, Recipient: i.Recipient()}
	}
	mine := backup.Access{Identities: []seal.Identity{me}}
	for _, test := range []struct {
		name string
		opts backup.InitOptions
		want error
	}{
		{"what it could not open", backup.InitOptions{Recipients: []seal.Slot{slot("a", other)}, Access: mine}, envdb.ErrMisuse},
		{"two of one name", backup.InitOptions{Recipients: []seal.Slot{slot("a", me), slot("A", other)}, Access: mine}, envdb.ErrMisuse},
		{"no kind", backup.InitOptions{Recipients: []seal.Slot{{Name: "a", Recipient: me.Recipient()}}, Access: mine}, envdb.ErrMisuse},
		{"no recipients where encryption is required", backup.InitOptions{Access: backup.Access{Required: true}}, envdb.ErrMisuse},
		{"a key that is expected", backup.InitOptions{Recipients: []seal.Slot{slot("a", me)}, Access: backup.Access{Identities: mine.Identities, KeyID: strings.Repeat("0", 32)}}, envdb.ErrRefused},
	} {
		st := newMemory()
		if _, err := backup.Init(ctx, st, "acme", test.opts); !errors.Is(err, test.want) || !strings.Contains(told(err), "nothing was changed") && test.name != "no kind" {
			t.Errorf("%s: got %s, want %v", test.name, told(err), test.want)
		}
		if len(st.objects) != 0 {
			t.Errorf("%s: it left %q", test.name, st.keys(""))
		}
	}
}

// Whoever calls Init, and how often: there is one repository with one key.
func TestInitTwice(t *testing.T) { inBothModes(t, testInitTwice) }

func testInitTwice(t *testing.T, in mode) {
	t.Parallel()
	st := newMemory()
	ids := make([]string, 8)
	var group errgroup.Group
	for i := range ids {
		group.Go(func() error {
			repo, err := backup.Init(t.Context(), st, "acme", backup.InitOptions{Recipients: in.recipients, Access: in.access})
			if err == nil {
				ids[i] = repo.ID() + repo.Encryption().KeyID
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(ids); ids[0] != ids[len(ids)-1] {
		t.Errorf("there are several repositories: %q", ids)
	}
	stranger := encrypted(t)
	_, err := backup.Init(t.Context(), st, "acme", backup.InitOptions{Recipients: stranger.recipients, Access: stranger.access})
	if in.Mode == backup.AES256GCM && !errors.Is(err, envdb.ErrPreflight) || in.Mode == backup.NotEncrypted && !errors.Is(err, envdb.ErrRefused) {
		t.Errorf("with other recipients: got %v", err)
	}
}

// Nothing that a backup holds, nor the names of its parts, nor notes, nor whose
// database it is, can be read in what is stored.
func TestNothingIsStoredInTheClear(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := encrypted(t).repository(t, st)
	secret := []byte("ann@example.com lives in Main Street")
	c := content{"table/customers": {secret, noise(1, 3000)}, "catalogue": {bytes.Repeat(secret, 30)}}
	m := mustTake(t, repo, c)
	for _, err := range []error{
		repo.Pin(ctx, "prod", m.ID, "ann@example.com asked for it"),
		repo.MarkBad(ctx, "prod", m.ID, "ann@example.com is missing"),
		repo.RecordIdentity(ctx, "prod", envdb.Identity{SystemIdentifier: "7654321", Database: "customers"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := same(ctx, repo, m, c); err != nil {
		t.Error(err)
	}
	if b := list(t, repo)[0]; b.PinNote != "ann@example.com asked for it" {
		t.Errorf("the note is %q", b.PinNote)
	}
	for key, data := range st.objects {
		for _, word := range []string{"ann@example", "Main Street", "customers", "catalogue", "a note", "7654321", "logical_bytes"} {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s says %q", key, word)
			}
		}
	}
}

// A recorded identity decides whether a server is production's: one that was
// forged is no identity, and a note that was forged hides no backup.
func TestForgedMarks(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	st := newMemory()
	repo := encrypted(t).repository(t, st)
	m := mustTake(t, repo, content{"a": {[]byte("x")}})
	for _, err := range []error{
		repo.Pin(ctx, "prod", m.ID, "why"),
		repo.RecordIdentity(ctx, "prod", envdb.Identity{SystemIdentifier: "1"}),
		repo.RecordIdentity(ctx, "qa", envdb.Identity{SystemIdentifier: "2"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, forged := range map[string][]byte{
		"in clear": []byte(`{"system_identifier":"3"}`), "another's": st.objects["acme/marks/qa/identity"], "empty": {},
	} {
		st.change("acme/marks/prod/identity", func([]byte) []byte { return forged })
		if got, err := repo.Identity(ctx, "prod"); !errors.Is(err, envdb.ErrVerification) || !strings.Contains(told(err), "identity accept prod") {
			t.Errorf("%s: got %+v, %s", name, got, told(err))
		}
	}
	st.change("acme/marks/prod/pinned/"+string(m.ID), garble)
	if b := list(t, repo)[0]; !b.Pinned || b.PinNote != "(the note cannot be read)" {
		t.Errorf("got %+v", b)
	}
}

// What an object is sealed for, Seal and Unseal agree on; whatever else is put
// in its place is refused and named.
func TestSealedObjects(t *testing.T) { inBothModes(t, testSealedObjects) }

func testSealedObjects(t *testing.T, in mode) {
	t.Parallel()
	repo := in.repository(t, newMemory())
	const key, other = "acme/drills/1.json", "acme/drills/2.json"
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("report "), 1000), noise(1, 5000)} {
		sealed, err := repo.Seal(key, plain)
		if err != nil {
			t.Fatal(err)
		}
		again := bytes.Clone(sealed)
		got, err := repo.Unseal(key, sealed)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes: got %d, %v", len(plain), len(got), err)
		}
		if !bytes.Equal(sealed, again) {
			t.Error("Unseal changed what it was given")
		}
		if in.Mode == backup.NotEncrypted {
			continue
		}
		stranger := encrypted(t).repository(t, newMemory())
		for name, unseal := range map[string]func() ([]byte, error){
			"elsewhere":   func() ([]byte, error) { return repo.Unseal(other, sealed) },
			"another key": func() ([]byte, error) { return stranger.Unseal(key, sealed) },
			"flipped":     func() ([]byte, error) { return repo.Unseal(key, flip(bytes.Clone(sealed))) },
			"cut":         func() ([]byte, error) { return repo.Unseal(key, cut(sealed)) },
			"empty":       func() ([]byte, error) { return repo.Unseal(key, nil) },
			"in clear":    func() ([]byte, error) { return repo.Unseal(key, []byte("everything is fine, says this report")) },
		} {
			if _, err := unseal(); !errors.Is(err, envdb.ErrVerification) || !strings.Contains(err.Error(), "acme/drills/") {
				t.Errorf("%s: got %v, want an ErrVerification that names it", name, err)
			}
		}
	}
}
