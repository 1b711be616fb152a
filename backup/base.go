package backup

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup/seal"
)

// Garbage is the part of a pack that the newest backup does not refer to. A
// backup whose base has more of it than garbagePercent of the bytes of its
// packs stores some chunks anew, at most rewritePercent of the base's.
const (
	garbagePercent = 30
	rewritePercent = 10
)

// base is a backup whose chunks and index blocks a new one refers to.
type base struct {
	manifest *Manifest
	chunks   map[[sha256.Size]byte]place
	blocks   map[string]Block // by their hashes
}

// chooseBase returns the newest backup that a new one may refer to, or nil. A
// damaged one will do: what is damaged of it is left out.
func (r *Repository) chooseBase(ctx context.Context, env string, method Method, marks *marks) (*Manifest, error) {
	backups, err := r.list(ctx, env, marks)
	if err != nil {
		return nil, err
	}
	if err := r.recognise(env, backups); err != nil {
		return nil, err
	}
	for _, b := range slices.Backward(backups) {
		if b.Err == nil && !b.Bad && b.Tombstone == nil && b.Manifest.Method == method {
			return b.Manifest, nil
		}
	}
	return nil, nil
}

// recognise refuses to write with a data key that none of the backups was
// sealed with, unless the caller knew the key beforehand: who can write to the
// store may have put it there, to read what is stored from now on.
func (r *Repository) recognise(env string, backups []Backup) error {
	strange := false
	for _, b := range backups {
		if b.Err == nil {
			return nil
		}
		strange = strange || errors.Is(b.Err, seal.ErrAuthentication)
	}
	if !strange || r.pinned {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "none of the %d backups of %s was sealed with the repository's data key %s: %s may have been replaced", len(backups), env, r.codec.key.ID(), repositoryKey).
		WithState("nothing was stored").
		WithNext("compare %s with a copy of the store. If the key is right and the backups are lost, write store.encryption.key_id: %s into the configuration", repositoryKey, r.codec.key.ID())
}

// stillThere reports whether the base outlived the moment in which the write
// intent that names it was stored. The order decides: a sweep sees a tombstone,
// then lists the intents, then deletes the manifest, and its tombstone last. So
// a base that has no tombstone and afterwards still has a manifest is one whose
// intent every sweep sees.
func (r *Repository) stillThere(ctx context.Context, m *Manifest) (bool, error) {
	if m == nil {
		return true, nil
	}
	marks, err := r.readMarks(ctx, m.Environment)
	if err != nil {
		return false, err
	}
	if _, buried := marks.tombstones[m.ID]; buried {
		return false, nil
	}
	_, err = r.readManifest(ctx, m.Environment, m.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errVoid) {
		return false, nil
	}
	return err == nil, err
}

// loadBase streams the index of the base. What lies in packs or indexes that
// are bad, missing or of the wrong size is left out, and so is what is stored
// anew to keep garbage down.
func (r *Repository) loadBase(ctx context.Context, m *Manifest, marks *marks) (*base, error) {
	b := &base{manifest: m, chunks: map[[sha256.Size]byte]place{}, blocks: map[string]Block{}}
	if m == nil {
		return b, nil
	}
	usable, err := r.usablePacks(ctx, m, marks)
	if err != nil {
		return nil, err
	}
	live := map[PackID]int64{}
	var entries []entry
	for _, block := range m.Index {
		if marks.badIndexes[block.Backup] {
			continue
		}
		entries, err = r.readBlock(ctx, m, block, entries[:0])
		var damaged *DamagedError
		if errors.As(err, &damaged) {
			continue // and marked
		}
		if err != nil {
			return nil, err
		}
		b.blocks[block.SHA256] = block
		for _, e := range entries {
			if _, known := b.chunks[e.sum]; !known && usable[e.pack] > 0 {
				b.chunks[e.sum] = e.place
				live[e.pack] += e.length
			}
		}
	}
	if stale := rewritten(usable, live); len(stale) > 0 {
		for sum, at := range b.chunks {
			if stale[at.pack] {
				delete(b.chunks, sum)
			}
		}
	}
	return b, nil
}

// usablePacks returns the sizes of the packs of m that may be referred to.
func (r *Repository) usablePacks(ctx context.Context, m *Manifest, marks *marks) (map[PackID]int64, error) {
	ids := map[envdb.BackupID]bool{}
	for _, p := range m.Packs {
		ids[p.Backup] = true
	}
	sizes, err := r.packSizes(ctx, m.Environment, ids)
	if err != nil {
		return nil, err
	}
	usable := map[PackID]int64{}
	for _, p := range m.Packs {
		if !marks.badPacks[p.ID()] && checkPack(p, sizes) == nil {
			usable[p.ID()] = p.Size
		}
	}
	return usable, nil
}

// rewritten chooses the packs whose chunks are stored anew, those with the
// smallest live share first.
func rewritten(sizes, live map[PackID]int64) map[PackID]bool {
	var total, used int64
	packs := make([]PackID, 0, len(sizes))
	for id, size := range sizes {
		total, used, packs = total+size, used+live[id], append(packs, id)
	}
	budget := used * rewritePercent / 100
	share := func(id PackID) float64 { return float64(live[id]) / float64(sizes[id]) }
	slices.SortFunc(packs, func(a, b PackID) int {
		return cmp.Or(cmp.Compare(share(a), share(b)), cmp.Compare(a.Backup, b.Backup), cmp.Compare(a.Number, b.Number))
	})
	stale := map[PackID]bool{}
	garbage := total - used
	for _, id := range packs {
		// What is rewritten counts as live bytes of a pack without garbage.
		if garbage*100 <= total*garbagePercent || live[id] > budget {
			break
		}
		stale[id] = true
		budget -= live[id]
		garbage -= sizes[id] - live[id]
		total -= sizes[id] - live[id]
	}
	return stale
}
