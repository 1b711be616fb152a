package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/envdb/envdb"
)

// Kind is what a recipient is for.
type Kind string

// The kinds of recipients.
const (
	Machine  Kind = "machine"  // stands on a machine that works with the repository
	Recovery Kind = "recovery" // lies in a safe until everything else is lost
	Person   Kind = "person"   // belongs to somebody who may read the backups
)

// ParseKind reads a kind.
func ParseKind(text string) (Kind, error) {
	kind := Kind(text)
	if !slices.Contains([]Kind{Machine, Recovery, Person}, kind) {
		return "", envdb.Fail(envdb.ErrMisuse, "%q is no kind of key", text).
			WithNext("use %s, %s or %s", Machine, Recovery, Person)
	}
	return kind, nil
}

// Slot is a copy of the data key that one recipient can open.
type Slot struct {
	Name      string    `json:"name"`
	Kind      Kind      `json:"kind"`
	Recipient Recipient `json:"recipient"`
	Added     time.Time `json:"added"`
	// Wrapped is an age file for the recipient that holds the 32 bytes of the
	// data key.
	Wrapped []byte `json:"wrapped"`
}

// String names the slot for people.
func (s Slot) String() string { return fmt.Sprintf("%s (%s, %s)", s.Name, s.Kind, s.Recipient) }

const longestSlotName = 64

// Check returns an error unless the slot's name, kind and recipient can stand
// in a repository.
func (s Slot) Check() error {
	if s.Name == "" || len(s.Name) > longestSlotName || strings.ContainsFunc(s.Name, notInName) {
		return envdb.Fail(envdb.ErrMisuse, "%q cannot be the name of a key: it must be 1 to %d letters, digits, dots, dashes, underscores or @", s.Name, longestSlotName).
			WithNext("use a short name, such as the machine's or the person's")
	}
	if _, err := ParseKind(string(s.Kind)); err != nil {
		return fmt.Errorf("key %s: %w", s.Name, err)
	}
	if _, err := ParseRecipient(s.Recipient.text); err != nil {
		return fmt.Errorf("key %s: %w", s.Name, err)
	}
	return nil
}

func notInName(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && !(r >= '0' && r <= '9') && !strings.ContainsRune("._-@", r)
}

// Wrap returns a copy of the key that only the recipient's identity opens.
func Wrap(key Key, to Recipient) ([]byte, error) {
	recipient, err := age.ParseX25519Recipient(to.text)
	if err != nil {
		return nil, fmt.Errorf("wrap the data key for %s: %w", to, err)
	}
	if key.secret == nil {
		return nil, errors.New("wrap the data key: there is none")
	}
	var wrapped bytes.Buffer
	out, err := age.Encrypt(&wrapped, recipient)
	if err == nil {
		_, err = out.Write(key.secret[:])
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("wrap the data key for %s: %w", to, err)
	}
	return wrapped.Bytes(), nil
}

// Unwrap returns the data key with the given id from the first slot that one
// of the identities opens. A slot that is damaged, or holds another key, does
// not keep the others from being tried.
func Unwrap(id string, slots []Slot, identities []Identity) (Key, error) {
	var faults []error
	for _, slot := range slots {
		key, err := slot.unwrap(id, identities)
		if err == nil {
			return key, nil
		}
		var foreign *age.NoIdentityMatchError
		if !errors.As(err, &foreign) {
			faults = append(faults, fmt.Errorf("key slot %s: %w", slot, err))
		}
	}
	return Key{}, noKey(slots, identities, faults)
}

// unwrap opens one slot. An error that is a *age.NoIdentityMatchError says that
// the slot is for somebody else.
func (s Slot) unwrap(id string, identities []Identity) (Key, error) {
	var secrets []age.Identity
	meant := false
	for _, i := range identities {
		if i.secret != nil {
			secrets = append(secrets, i.secret)
			meant = meant || i.Recipient() == s.Recipient
		}
	}
	if len(secrets) == 0 {
		return Key{}, new(age.NoIdentityMatchError)
	}
	plain, err := age.Decrypt(bytes.NewReader(s.Wrapped), secrets...)
	var foreign *age.NoIdentityMatchError
	if errors.As(err, &foreign) && meant {
		// It says that it is for us: then what is wrapped is damaged.
		return Key{}, fmt.Errorf("its wrapped key is damaged: %s", err)
	}
	if errors.As(err, &foreign) {
		return Key{}, err
	}
	if err != nil {
		return Key{}, fmt.Errorf("its wrapped key is damaged: %w", err)
	}
	secret, err := io.ReadAll(io.LimitReader(plain, keySize+1))
	if err != nil {
		return Key{}, fmt.Errorf("its wrapped key is damaged: %w", err)
	}
	key, err := newKey(secret)
	if err != nil {
		return Key{}, err
	}
	if key.id != id {
		return Key{}, fmt.Errorf("it holds the data key %s, not the repository's %s", key.id, id)
	}
	return key, nil
}

// otherKey says what to do without an identity that opens the repository.
const otherKey = "name the file of one of these identities in store.encryption.identity. " +
	"If this machine's is lost: write the recovery key into a file that only you can read, recovery.txt; " +
	"ENVDB_STORE_ENCRYPTION_IDENTITY=file:recovery.txt envdb key add NAME --file NEW.txt; " +
	"name NEW.txt in store.encryption.identity; envdb key remove LOST"

// noKey says why no slot could be opened, and who could open one.
func noKey(slots []Slot, identities []Identity, faults []error) error {
	owners := Owners(slots)
	if len(faults) > 0 {
		return envdb.Fail(envdb.ErrVerification, "the data key of the repository cannot be unwrapped: %w", errors.Join(faults...)).
			WithState("nothing was changed; the repository has slots for %s", owners).
			WithNext("bring envdb.json back from a copy of the store; or use another slot's identity, such as the recovery key, " +
				"to remove the damaged slot and add a new one: ENVDB_STORE_ENCRYPTION_IDENTITY=file:recovery.txt envdb key remove NAME")
	}
	if len(identities) == 0 {
		return envdb.Fail(envdb.ErrPreflight, "the repository is encrypted, and no identity is configured").
			WithState("nothing was changed; who can open it: %s", owners).WithNext(otherKey)
	}
	held := make([]string, 0, len(identities))
	for _, i := range identities {
		held = append(held, i.Recipient().String())
	}
	return envdb.Fail(envdb.ErrPreflight, "none of the configured identities opens the repository; they belong to %s", strings.Join(held, ", ")).
		WithState("nothing was changed; who can open it: %s", owners).WithNext(otherKey)
}

// Owners names the recipients of slots for people.
func Owners(slots []Slot) string {
	if len(slots) == 0 {
		return "nobody: no slot is left"
	}
	names := make([]string, 0, len(slots))
	for _, s := range slots {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}
