package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// keyTries bounds how often a change of the slots is tried again because
// another one came first.
const keyTries = 10

// AddKey lets one more recipient open the repository: it wraps the data key for
// slot.Recipient. Names of slots are unique, whatever their case. If several
// change the slots at once, every change takes place.
func (r *Repository) AddKey(ctx context.Context, slot seal.Slot) error {
	if err := r.changeable("add a key"); err != nil {
		return err
	}
	if err := slot.Check(); err != nil {
		return err
	}
	wrapped, err := seal.Wrap(r.codec.key, slot.Recipient)
	if err != nil {
		return err
	}
	slot.Wrapped = wrapped
	if slot.Added.IsZero() {
		slot.Added = time.Now().UTC().Truncate(time.Second)
	}
	return r.changeSlots(ctx, func(slots []seal.Slot, again bool) (slotChange, error) {
		at := slices.IndexFunc(slots, func(s seal.Slot) bool { return strings.EqualFold(s.Name, slot.Name) })
		switch {
		case at < 0:
			return slotChange{add: &slot}, nil
		case again && bytes.Equal(slots[at].Wrapped, slot.Wrapped):
			return slotChange{}, nil // only the answer was lost
		}
		return slotChange{}, envdb.Fail(envdb.ErrRefused, "there is a key %s already: %s", slots[at].Name, slots[at]).
			WithState("nothing was changed").
			WithNext("use another name, or `envdb key remove %s` first", slots[at].Name)
	})
}

// RemoveKey takes a recipient's slot away. It refuses the last slot, and the
// last one for recovery; see RemoveLastRecoveryKey.
//
// Who had the identity may have kept the data key, which does not change: a
// removed slot keeps nobody out who opened the repository before and can still
// read the store. Only a new repository has a new data key.
func (r *Repository) RemoveKey(ctx context.Context, name string) error {
	return r.removeKey(ctx, name, false)
}

// RemoveLastRecoveryKey is RemoveKey for a slot without which no recovery key
// is left: if the machine is lost then, so are the backups.
func (r *Repository) RemoveLastRecoveryKey(ctx context.Context, name string) error {
	return r.removeKey(ctx, name, true)
}

func (r *Repository) removeKey(ctx context.Context, name string, evenLastRecovery bool) error {
	if err := r.changeable("remove a key"); err != nil {
		return err
	}
	return r.changeSlots(ctx, func(slots []seal.Slot, again bool) (slotChange, error) {
		at := slices.IndexFunc(slots, func(s seal.Slot) bool { return strings.EqualFold(s.Name, name) })
		if at < 0 && again {
			return slotChange{}, nil // only the answer was lost, or somebody else did it
		}
		if at < 0 {
			return slotChange{}, envdb.Fail(envdb.ErrNotFound, "there is no key %q; there are: %s", name, seal.Owners(slots)).
				WithNext("see `envdb key list`")
		}
		rest := slices.Delete(slices.Clone(slots), at, at+1)
		if err := mayGo(slots[at], rest, evenLastRecovery); err != nil {
			return slotChange{}, err
		}
		return slotChange{remove: at, removes: true}, nil
	})
}

// mayGo returns an error if a slot has to stay because of what is left.
func mayGo(slot seal.Slot, rest []seal.Slot, evenLastRecovery bool) error {
	isRecovery := func(s seal.Slot) bool { return s.Kind == seal.Recovery }
	switch {
	case len(rest) == 0:
		return envdb.Fail(envdb.ErrRefused, "%s is the last key: nobody could open the repository without it", slot.Name).
			WithState("nothing was changed").
			WithNext("add another with `envdb key add NAME` first")
	case isRecovery(slot) && !slices.ContainsFunc(rest, isRecovery) && !evenLastRecovery:
		return envdb.Fail(envdb.ErrRefused, "%s is the last recovery key: if the other keys are lost, so are the backups", slot.Name).
			WithState("nothing was changed").
			WithNext("add another with `envdb key add NAME --kind recovery --file FILE` first")
	}
	return nil
}

// changeable returns an error unless the repository has slots.
func (r *Repository) changeable(what string) error {
	if r.codec.sealed() {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "%s: the repository is not encrypted", what).
		WithState("nothing was changed").
		WithNext("a repository cannot become encrypted: make a new one in another place, with store.encryption in the configuration")
}

// slotChange is what is to be done to the slots; the zero slotChange is nothing.
type slotChange struct {
	add     *seal.Slot
	removes bool
	remove  int
}

// changeSlots rewrites envdb.json unless it changed meanwhile, and begins again
// if it did. decide is told whether an attempt of its own may have succeeded.
func (r *Repository) changeSlots(ctx context.Context, decide func(slots []seal.Slot, again bool) (slotChange, error)) error {
	var last error
	for try := range keyTries {
		d, text, tag, err := readDescription(ctx, r.store)
		if err != nil {
			return errors.Join(err, last)
		}
		if err := r.same(d); err != nil {
			return err
		}
		change, err := decide(d.Encryption.Slots, try > 0)
		if err != nil || (change == slotChange{}) {
			return err
		}
		if text, err = change.apply(text); err != nil {
			return err
		}
		_, last = r.store.Put(ctx, repositoryKey, bytes.NewReader(text), envdb.IfMatch(tag))
		if last == nil {
			return nil
		}
		if !errors.Is(last, envdb.ErrCondition) && try > 0 {
			break // twice may be bad luck on the way, more is not
		}
	}
	return fmt.Errorf("change the keys of the repository: %w", last)
}

// same returns an error if envdb.json is another than the repository was opened
// with.
func (r *Repository) same(d description) error {
	if d.Repository == r.id && d.Encryption.Mode == r.encryption.Mode && d.Encryption.KeyID == r.codec.key.ID() {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "%s was replaced since the repository was opened", repositoryKey).
		WithState("nothing was changed").
		WithNext("bring it back from a copy of the store, and find out who can write there")
}

// apply returns envdb.json with the change. What this envdb does not know in it
// stays as it is.
func (c slotChange) apply(text []byte) ([]byte, error) {
	var all, encryption map[string]json.RawMessage
	var slots []json.RawMessage
	err := json.Unmarshal(text, &all)
	if err == nil {
		err = json.Unmarshal(all["encryption"], &encryption)
	}
	if err == nil && encryption["slots"] != nil {
		err = json.Unmarshal(encryption["slots"], &slots)
	}
	if err == nil && c.removes {
		slots = slices.Delete(slots, c.remove, c.remove+1)
	}
	if err == nil && c.add != nil {
		var slot []byte
		slot, err = json.Marshal(c.add)
		slots = append(slots, slot)
	}
	if err == nil {
		encryption["slots"], err = json.Marshal(slots)
	}
	if err == nil {
		all["encryption"], err = json.Marshal(encryption)
	}
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", repositoryKey, err)
	}
	text, err = json.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("change %s: %w", repositoryKey, err)
	}
	return append(text, '\n'), nil
}
