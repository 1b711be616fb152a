package store_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/backup/seal"
	"github.com/envdb/envdb/internal/store/dir"
)

// Several processes that share a directory change the keys at once: each has a
// store and a repository of its own, and every change takes place.
func TestKeysOfARepositoryInADirectory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	identity, err := seal.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	access := backup.Access{Identities: []seal.Identity{identity}, Required: true}
	slot := func(name string) seal.Slot {
		return seal.Slot{Name: name, Kind: seal.Machine, Recipient: identity.Recipient()}
	}
	const processes = 5
	var group errgroup.Group
	for i := range processes {
		group.Go(func() error {
			st, err := dir.Open(root)
			if err != nil {
				return err
			}
			repo, err := backup.Init(t.Context(), st, "acme", backup.InitOptions{Recipients: []seal.Slot{slot("first")}, Access: access})
			if err != nil {
				return err
			}
			name := fmt.Sprintf("key-%d", i)
			if err := repo.AddKey(t.Context(), slot(name)); err != nil {
				return err
			}
			if i%2 == 1 {
				return repo.RemoveKey(t.Context(), name)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	st, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	e, err := backup.ReadEncryption(t.Context(), st)
	if err != nil || len(e.Slots) != 1+3 {
		t.Errorf("got the slots %v, %v, want the first and three", e.Slots, err)
	}
}
