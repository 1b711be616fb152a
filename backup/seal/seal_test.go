package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

func newKey(t testing.TB) seal.Key {
	t.Helper()
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newIdentity(t testing.TB) seal.Identity {
	t.Helper()
	identity, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func slotFor(t testing.TB, key seal.Key, name string, to seal.Identity) seal.Slot {
	t.Helper()
	wrapped, err := seal.Wrap(key, to.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	return seal.Slot{Name: name, Kind: seal.Machine, Recipient: to.Recipient(), Wrapped: wrapped}
}

// What was sealed opens with its key and associated data, and with nothing
// else; not one changed byte passes.
func TestSealAndOpen(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	for _, size := range []int{0, 1, 15, 16, 17, 1000, 100_000} {
		plain, ad := bytes.Repeat([]byte{7}, size), []byte("pack 1, chunk 2")
		sealed := key.Seal([]byte("before"), plain, ad)
		if !bytes.HasPrefix(sealed, []byte("before")) {
			t.Fatal("Seal does not append")
		}
		sealed = sealed[len("before"):]
		if len(sealed) != size+seal.Overhead {
			t.Errorf("%d bytes became %d, want %d more", size, len(sealed), seal.Overhead)
		}
		inPlace := key.SealInPlace(append(make([]byte, seal.NonceSize), plain...), ad)
		for name, text := range map[string][]byte{"Seal": sealed, "SealInPlace": inPlace} {
			if got, err := key.Open(nil, text, ad); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
			if got, err := key.OpenInPlace(bytes.Clone(text), ad); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s in place, %d bytes: %v", name, size, err)
			}
		}
		if bytes.Equal(sealed[:seal.NonceSize], inPlace[:seal.NonceSize]) {
			t.Error("two nonces are equal")
		}
		for name, open := range map[string]func() ([]byte, error){
			"another key":      func() ([]byte, error) { return other.Open(nil, sealed, ad) },
			"another place":    func() ([]byte, error) { return key.Open(nil, sealed, []byte("pack 1, chunk 3")) },
			"cut short":        func() ([]byte, error) { return key.Open(nil, sealed[:len(sealed)-1], ad) },
			"extended":         func() ([]byte, error) { return key.Open(nil, append(bytes.Clone(sealed), 0), ad) },
			"nothing":          func() ([]byte, error) { return key.Open(nil, nil, ad) },
			"nothing in place": func() ([]byte, error) { return key.OpenInPlace(nil, ad) },
		} {
			if _, err := open(); !errors.Is(err, seal.ErrAuthentication) {
				t.Errorf("%s, %d bytes: got %v, want ErrAuthentication", name, size, err)
			}
		}
		for i := 0; i < len(sealed); i += 1 + len(sealed)/100 {
			flipped := bytes.Clone(sealed)
			flipped[i] ^= 1
			if _, err := key.Open(nil, flipped, ad); !errors.Is(err, seal.ErrAuthentication) {
				t.Errorf("byte %d of %d flipped: got %v", i, len(sealed), err)
			}
		}
	}
}

func TestKeysDiffer(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	if a.ID() == b.ID() || len(a.ID()) != 32 || strings.Trim(a.ID(), "0123456789abcdef") != "" {
		t.Errorf("got the ids %q and %q", a.ID(), b.ID())
	}
	if a.IsZero() || !(seal.Key{}).IsZero() {
		t.Error("IsZero")
	}
}

// Any identity that has a slot opens the key, whatever the other slots are.
func TestUnwrap(t *testing.T) {
	t.Parallel()
	key, foreign := newKey(t), newKey(t)
	ann, bob, eve := newIdentity(t), newIdentity(t), newIdentity(t)
	annsSlot, bobsSlot := slotFor(t, key, "ann", ann), slotFor(t, key, "bob", bob)
	damaged := func(how func([]byte) []byte) seal.Slot {
		slot := annsSlot
		slot.Wrapped = how(bytes.Clone(slot.Wrapped))
		return slot
	}
	misnamed := annsSlot
	misnamed.Recipient = seal.Recipient{}
	for _, test := range []struct {
		name  string
		slots []seal.Slot
		with  []seal.Identity
		want  error    // nil opens it
		says  []string // of text, state and next
	}{
		{"the first", []seal.Slot{annsSlot, bobsSlot}, []seal.Identity{ann}, nil, nil},
		{"the last", []seal.Slot{annsSlot, bobsSlot}, []seal.Identity{bob}, nil, nil},
		{"one of two identities", []seal.Slot{annsSlot}, []seal.Identity{eve, ann}, nil, nil},
		{"a zero identity beside", []seal.Slot{annsSlot}, []seal.Identity{{}, ann}, nil, nil},
		{"the recipient's name is lost", []seal.Slot{misnamed}, []seal.Identity{ann}, nil, nil},
		{"another slot is damaged", []seal.Slot{damaged(func(b []byte) []byte { return b[:10] }), bobsSlot}, []seal.Identity{ann, bob}, nil, nil},
		{"another slot holds another key", []seal.Slot{slotFor(t, foreign, "trap", bob), bobsSlot}, []seal.Identity{bob}, nil, nil},
		{"nobody's", []seal.Slot{annsSlot, bobsSlot}, []seal.Identity{eve}, envdb.ErrPreflight,
			[]string{eve.Recipient().String(), "ann (machine, " + ann.Recipient().String(), "bob (machine", "store.encryption.identity", "ENVDB_STORE_ENCRYPTION_IDENTITY=file:recovery.txt envdb key add"}},
		{"no identity", []seal.Slot{annsSlot}, nil, envdb.ErrPreflight, []string{"ann (machine"}},
		{"no slot", nil, []seal.Identity{ann}, envdb.ErrPreflight, []string{"no slot is left"}},
		{"another key", []seal.Slot{slotFor(t, foreign, "trap", ann)}, []seal.Identity{ann}, envdb.ErrVerification,
			[]string{foreign.ID(), key.ID(), "trap"}},
		{"cut short", []seal.Slot{damaged(func(b []byte) []byte { return b[:len(b)-1] })}, []seal.Identity{ann}, envdb.ErrVerification, []string{"ann", "damaged"}},
		{"empty", []seal.Slot{damaged(func([]byte) []byte { return nil })}, []seal.Identity{ann}, envdb.ErrVerification, []string{"ann", "damaged"}},
		{"flipped", []seal.Slot{damaged(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })}, []seal.Identity{ann}, envdb.ErrVerification, []string{"ann", "damaged"}},
		{"stanza flipped", []seal.Slot{damaged(func(b []byte) []byte {
			at := bytes.IndexByte(b[30:], '\n') + 30 + 5
			b[at] = 'A' + (b[at]-'A'+1)%26
			return b
		})}, []seal.Identity{ann}, envdb.ErrVerification, []string{"ann", "damaged"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := seal.Unwrap(key.ID(), test.slots, test.with)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if test.want == nil {
				if got.ID() != key.ID() {
					t.Errorf("got %v", got)
				}
				return
			}
			state, next := envdb.Advice(err)
			told := err.Error() + "\n" + state + "\n" + next
			for _, says := range append(test.says, "nothing was changed") {
				if !strings.Contains(told, says) {
					t.Errorf("it does not say %q:\n%s", says, told)
				}
			}
			if next == "" {
				t.Error("it has no Next")
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	identity, second := newIdentity(t), newIdentity(t)
	file := "# created: 2026-11-20\n# public key: " + identity.Recipient().String() + "\n\n  " + identity.Text() + "\r\n"
	for name, text := range map[string]string{"alone": identity.Text(), "a file": file} {
		if got, err := seal.ParseIdentity(text); err != nil || got.Text() != identity.Text() || got.Recipient() != identity.Recipient() {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if got, err := seal.ParseIdentities(file + second.Text()); err != nil || len(got) != 2 {
		t.Errorf("two identities: got %v, %v", got, err)
	}
	if got, err := seal.ParseRecipient(" " + identity.Recipient().String() + "\n"); err != nil || got != identity.Recipient() {
		t.Errorf("recipient: got %v, %v", got, err)
	}
	typo := []byte(identity.Text())
	if typo[30]++; typo[30] > 'Z' {
		typo[30] = 'Q'
	}
	for name, text := range map[string]string{
		"empty": "", "comments": "# nothing\n", "recipient": identity.Recipient().String(), "typing error": string(typo),
		"lower case": strings.ToLower(identity.Text())[:40], "plugin": "AGE-PLUGIN-YUBIKEY-1QQPQZG5ZZZZ",
		"ssh": "-----BEGIN OPENSSH PRIVATE KEY-----", "two": file + second.Text(), "prose": "secret",
	} {
		_, err := seal.ParseIdentity(text)
		if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrMisuse) || next == "" {
			t.Errorf("identity, %s: got %v, next %q", name, err, next)
		}
		if err != nil && len(text) > 20 && strings.Contains(err.Error(), text[len(text)-20:]) {
			t.Errorf("identity, %s: the error quotes it: %v", name, err)
		}
	}
	for name, text := range map[string]string{"empty": "", "cut": identity.Recipient().String()[:40], "ssh": "ssh-ed25519 AAAA", "identity": identity.Text()} {
		_, err := seal.ParseRecipient(text)
		if _, next := envdb.Advice(err); !errors.Is(err, envdb.ErrMisuse) || next == "" {
			t.Errorf("recipient, %s: got %v, next %q", name, err, next)
		}
		if name == "identity" && strings.Contains(err.Error()+next(err), identity.Text()[:30]) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
	for _, kind := range []seal.Kind{seal.Machine, seal.Recovery, seal.Person} {
		if got, err := seal.ParseKind(string(kind)); err != nil || got != kind {
			t.Errorf("kind %s: got %v, %v", kind, got, err)
		}
	}
	if _, err := seal.ParseKind("robot"); !errors.Is(err, envdb.ErrMisuse) {
		t.Errorf("kind robot: got %v", err)
	}
}

func next(err error) string {
	_, next := envdb.Advice(err)
	return next
}

func TestSlotsAreChecked(t *testing.T) {
	t.Parallel()
	good := seal.Slot{Name: "ann@laptop-1.example_x", Kind: seal.Person, Recipient: newIdentity(t).Recipient()}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*seal.Slot){
		"no name":      func(s *seal.Slot) { s.Name = "" },
		"a space":      func(s *seal.Slot) { s.Name = "ann b" },
		"an escape":    func(s *seal.Slot) { s.Name = "ann\x1b[2J" },
		"long":         func(s *seal.Slot) { s.Name = strings.Repeat("x", 65) },
		"kind":         func(s *seal.Slot) { s.Kind = "" },
		"no recipient": func(s *seal.Slot) { s.Recipient = seal.Recipient{} },
	} {
		slot := good
		spoil(&slot)
		if err := slot.Check(); !errors.Is(err, envdb.ErrMisuse) {
			t.Errorf("%s: got %v, want ErrMisuse", name, err)
		}
	}
}

// No way of printing shows a secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	key, identity := newKey(t), newIdentity(t)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "key", key, "identity", identity, "all", []any{key, identity})
	held := struct {
		K seal.Key
		I seal.Identity
		P *seal.Identity
	}{key, identity, &identity}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{key, identity, &key, &identity, held, []seal.Identity{identity}} {
			fmt.Fprintf(&log, verb, value)
		}
	}
	sealed, err := seal.Wrap(key, identity.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), identity.Text()[20:]) || bytes.Contains(log.Bytes(), []byte("AGE-SECRET")) {
		t.Errorf("an identity is printed: %s", log.String())
	}
	if len(sealed) > 300 {
		t.Errorf("a wrapped key has %d bytes", len(sealed))
	}
	if !strings.Contains(log.String(), key.ID()) {
		t.Errorf("the fingerprint is not printed: %s", log.String())
	}
}
