package backup

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// Mode is how a repository is encrypted.
type Mode string

// The modes.
const (
	NotEncrypted Mode = "none"
	AES256GCM    Mode = "aes-256-gcm"
)

// Encryption is what a repository says of its encryption; none of it is secret.
type Encryption struct {
	Mode Mode `json:"mode"`
	// KeyID is the public fingerprint of the data key; a configuration pins it.
	KeyID string `json:"key_id,omitempty"`
	// Slots are the recipients who can open the data key.
	Slots []seal.Slot `json:"slots,omitempty"`
}

// Access is what opens a repository, and what it must be.
type Access struct {
	// Identities open the data key: any of them may belong to a slot.
	Identities []seal.Identity
	// KeyID is the fingerprint of the data key that the repository must have.
	// Who can write to the store could put there an envdb.json with a key of
	// theirs, wrapped for our recipients; without a pin that is not noticed
	// before a backup is read.
	KeyID string
	// Required refuses a repository that is not encrypted. A KeyID does too.
	Required bool
}

// ReadEncryption returns how the repository in st is encrypted, and for whom.
// It needs no key.
func ReadEncryption(ctx context.Context, st envdb.Store) (Encryption, error) {
	d, _, _, err := readDescription(ctx, st)
	return d.Encryption.public(), err
}

// Encryption returns how the repository was encrypted, and for whom, when it
// was opened.
func (r *Repository) Encryption() Encryption {
	e := r.encryption
	e.Slots = slices.Clone(e.Slots)
	return e
}

func (e encryption) public() Encryption {
	return Encryption{Mode: e.Mode, KeyID: e.KeyID, Slots: slices.Clone([]seal.Slot(e.Slots))}
}

// newEncryption makes the data key of a new repository and wraps it.
func newEncryption(recipients []seal.Slot, now time.Time) (encryption, error) {
	if len(recipients) == 0 {
		return encryption{Mode: NotEncrypted}, nil
	}
	key, err := seal.NewKey()
	if err != nil {
		return encryption{}, err
	}
	e := encryption{Mode: AES256GCM, KeyID: key.ID()}
	for _, slot := range recipients {
		if slot.Wrapped, err = seal.Wrap(key, slot.Recipient); err != nil {
			return encryption{}, err
		}
		if slot.Added.IsZero() {
			slot.Added = now
		}
		e.Slots = append(e.Slots, slot)
	}
	return e, nil
}

// check returns an error if a new repository would not be what the caller
// wants, or could not be opened by the caller.
func (o InitOptions) check() error {
	if o.Access.KeyID != "" {
		return envdb.Fail(envdb.ErrRefused, "the store holds no repository, but the configuration expects one with the data key %s", o.Access.KeyID).
			WithState("nothing was changed").
			WithNext("check store.url and that its disk is mounted; for a new repository, remove store.encryption.key_id from the configuration")
	}
	if len(o.Recipients) == 0 {
		if o.Access.Required {
			return envdb.Fail(envdb.ErrMisuse, "an encrypted repository needs at least one recipient").WithState("nothing was changed")
		}
		return nil
	}
	names := map[string]bool{}
	mine := false
	for _, slot := range o.Recipients {
		if err := slot.Check(); err != nil {
			return err
		}
		if names[strings.ToLower(slot.Name)] {
			return envdb.Fail(envdb.ErrMisuse, "two keys are called %s", slot.Name).WithState("nothing was changed")
		}
		names[strings.ToLower(slot.Name)] = true
		mine = mine || slices.ContainsFunc(o.Access.Identities, func(i seal.Identity) bool { return i.Recipient() == slot.Recipient })
	}
	if !mine {
		return envdb.Fail(envdb.ErrMisuse, "none of the new repository's recipients is this machine's identity: it could not open what it made").
			WithState("nothing was changed")
	}
	return nil
}

// unlock returns the data key, the zero Key if there is none.
func (a Access) unlock(e encryption) (seal.Key, error) {
	if e.Mode == NotEncrypted {
		return seal.Key{}, a.admitPlain()
	}
	if a.KeyID != "" && !strings.EqualFold(a.KeyID, e.KeyID) {
		return seal.Key{}, envdb.Fail(envdb.ErrRefused, "the repository has the data key %s, but the configuration expects %s", e.KeyID, a.KeyID).
			WithState("nothing was read or changed").
			WithNext("check store.url. If it is right, somebody replaced %s: bring it back from a copy of the store, and find out who can write there", repositoryKey)
	}
	return seal.Unwrap(e.KeyID, e.Slots, a.Identities)
}

// admitPlain returns an error if the repository had to be encrypted.
func (a Access) admitPlain() error {
	if !a.Required && a.KeyID == "" {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "the repository is not encrypted, but the configuration says that it must be").
		WithState("nothing was read or changed").
		WithNext("check store.url. If it is right and the repository was encrypted, somebody replaced %s: bring it back from a copy of the store. A repository cannot become encrypted: make a new one in another place, or remove store.encryption from the configuration", repositoryKey)
}
