package manager

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
)

// KeyLine is a key in a list: who can open the repository.
type KeyLine struct {
	Name      string         `json:"name"`
	Kind      seal.Kind      `json:"kind"`
	Recipient seal.Recipient `json:"recipient"`
	Added     time.Time      `json:"added"`
	// Here says that it belongs to the identity that is configured here.
	Here bool `json:"here,omitempty"`
}

// KeyList is the keys of the repository.
type KeyList struct {
	Mode  backup.Mode `json:"mode"`
	KeyID string      `json:"key_id,omitempty"`
	Keys  []KeyLine   `json:"keys"`
}

// KeyRemoval is what taking a key away does, or did.
type KeyRemoval struct {
	Key KeyLine `json:"key"`
	// Left are the keys that stay.
	Left     []KeyLine `json:"left"`
	Warnings []string  `json:"warnings,omitempty"`
	DryRun   bool      `json:"dry_run,omitempty"`
	// Typed says that the key's name must be typed again: nothing here could
	// undo the removal.
	Typed bool `json:"typed,omitempty"`
}

// ListKeys returns who can open the repository in a store. It needs no key;
// mine are the recipients of the identities that are configured here.
func ListKeys(e backup.Encryption, mine []seal.Recipient) *KeyList {
	list := &KeyList{Mode: e.Mode, KeyID: e.KeyID, Keys: []KeyLine{}}
	for _, s := range e.Slots {
		list.Keys = append(list.Keys, KeyLine{Name: s.Name, Kind: s.Kind, Recipient: s.Recipient, Added: s.Added, Here: slices.Contains(mine, s.Recipient)})
	}
	return list
}

// find returns the key of that name, whatever its case, or nil.
func (l *KeyList) find(name string) *KeyLine {
	i := slices.IndexFunc(l.Keys, func(k KeyLine) bool { return strings.EqualFold(k.Name, name) })
	if i < 0 {
		return nil
	}
	return &l.Keys[i]
}

// CheckNewKey returns an error if a key of that name and kind cannot be added,
// whatever its recipient: before somebody makes an identity for nothing.
func (m *Manager) CheckNewKey(ctx context.Context, name string, kind seal.Kind) error {
	repository, err := m.open(ctx)
	if err != nil {
		return err
	}
	e := repository.Encryption()
	if e.Mode == backup.NotEncrypted {
		return envdb.Fail(envdb.ErrRefused, "the repository is not encrypted, so it has no keys").WithState("nothing was changed").
			WithNext("a repository cannot become encrypted: make a new one in another place, with encryption in the configuration")
	}
	if k := ListKeys(e, nil).find(name); k != nil {
		return envdb.Fail(envdb.ErrRefused, "there is a key %s already: %s, %s", k.Name, k.Kind, k.Recipient).WithState("nothing was changed").
			WithNext("use another name; or envdb key remove %s first", k.Name)
	}
	// A slot is checked with its recipient; any of those here will do.
	for _, mine := range m.config.Recipients() {
		return seal.Slot{Name: name, Kind: kind, Recipient: mine}.Check()
	}
	return nil // AddKey will say what is wrong
}

// AddKey lets one more recipient open the repository, and returns its keys.
func (m *Manager) AddKey(ctx context.Context, slot seal.Slot) (*KeyLine, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range ListKeys(repository.Encryption(), nil).Keys {
		if k.Recipient == slot.Recipient && !strings.EqualFold(k.Name, slot.Name) {
			return nil, envdb.Fail(envdb.ErrRefused, "that recipient is the key %s already", k.Name).WithState("nothing was changed").WithNext("envdb key list")
		}
	}
	slot.Added = m.now().UTC().Truncate(time.Second)
	if err := repository.AddKey(ctx, slot); err != nil {
		return nil, err
	}
	return &KeyLine{Name: slot.Name, Kind: slot.Kind, Recipient: slot.Recipient, Added: slot.Added}, nil
}

// RemoveKeyRequest names a key that is to go.
type RemoveKeyRequest struct {
	Name string
	// Confirm is the name again. It is asked for where nothing here brings the
	// key back: this machine's own, or the last one for recovery.
	Confirm string
	DryRun  bool
}

// RemoveKey takes a key away. What that does not achieve, the warnings say.
func (m *Manager) RemoveKey(ctx context.Context, req RemoveKeyRequest) (*KeyRemoval, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	list := ListKeys(repository.Encryption(), m.config.Recipients())
	k := list.find(req.Name)
	if k == nil {
		return nil, repository.RemoveKey(ctx, req.Name) // which says what there is
	}
	r := list.removal(*k)
	switch {
	case len(r.Left) == 0:
		return nil, envdb.Fail(envdb.ErrRefused, "%s is the last key: without it nobody reads the backups", k.Name).WithState("nothing was changed").
			WithNext("envdb key add NAME first")
	case req.DryRun:
		r.DryRun = true
		return r, nil
	case r.Typed && req.Confirm != k.Name:
		return nil, envdb.Fail(envdb.ErrRefused, "%s; that needs its name typed again", strings.Join(r.Warnings[:len(r.Warnings)-1], "; ")).WithState("nothing was changed").
			WithNext("envdb key remove %s --confirm %s", k.Name, k.Name)
	}
	if r.Typed {
		return r, repository.RemoveLastRecoveryKey(ctx, k.Name)
	}
	return r, repository.RemoveKey(ctx, k.Name)
}

// removal says what is left without a key.
func (l *KeyList) removal(k KeyLine) *KeyRemoval {
	r := &KeyRemoval{Key: k, Left: []KeyLine{}}
	recovery, here := false, false
	for _, other := range l.Keys {
		if other.Name != k.Name {
			r.Left = append(r.Left, other)
			recovery = recovery || other.Kind == seal.Recovery
			here = here || other.Here
		}
	}
	if k.Kind == seal.Recovery && !recovery {
		r.Typed = true
		r.Warnings = append(r.Warnings, k.Name+" is the last recovery key: who loses the machines then loses the backups")
	}
	if k.Here && !here {
		r.Typed = true
		r.Warnings = append(r.Warnings, k.Name+" is the key that is used here: nothing can be read or written here any more")
	}
	r.Warnings = append(r.Warnings, "the data key stays the same: who had "+k.Name+" may have kept it, and reads old and new backups as long as the store lets them; take away their access to the store too, and for a new data key make a new repository: docs/keys.md")
	return r
}
