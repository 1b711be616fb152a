package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// Description is what a backup says of itself, known once its data was read.
type Description struct {
	// Point is the source's clock inside the snapshot; Finished is now.
	Point, Finished time.Time
	Tier            envdb.Tier
	Source          Source
	// Stillness is nil if nobody can tell whether the source changed.
	Stillness *Stillness
	// Promised is until when the policy in force keeps the backup.
	Promised  time.Time
	Roles     []Role
	Migration *Migration
	Release   string
	Tables    int
	Rows      int64
}

// Commit makes the backup exist: it waits until its packs are durable, reads
// their sizes back, writes the index and, last, the manifest. After an error
// the caller aborts.
func (w *Writer) Commit(ctx context.Context, d Description) (*Manifest, error) {
	m, err := w.commit(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("commit backup %s of %s: %w", w.ID(), w.intent.Environment, err)
	}
	return m, nil
}

func (w *Writer) commit(ctx context.Context, d Description) (*Manifest, error) {
	if err := w.enter(writing, committing); err != nil {
		return nil, err
	}
	packs, err := w.finishPacks(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.sortEntries(); err != nil {
		return nil, err
	}
	index, indexSize, err := w.writeIndex(ctx)
	if err != nil {
		return nil, err
	}
	m, err := w.manifest(d, packs, index, indexSize)
	if err != nil {
		return nil, err
	}
	object, err := w.repo.codec.encodeManifest(m, w.repo.keys.manifest(m.Environment, m.ID))
	if err != nil {
		return nil, err
	}
	if err := w.readBack(ctx, packs, indexSize); err != nil {
		return nil, err
	}
	if err := w.dropUnused(ctx, packs, m); err != nil {
		return nil, err
	}
	if err := w.repo.holds(ctx, w.intent); err != nil {
		return nil, err
	}
	if err := w.storeManifest(ctx, object); err != nil {
		return nil, err
	}
	// The backup exists. An intent that stays behind is a leftover of a
	// backup that is whole, which doctor removes; it is no reason to fail.
	_ = w.repo.releaseAfter(ctx, w.intent)
	w.repo.changed(ctx, m.Environment)
	return m, nil
}

// enter moves to the next phase.
func (w *Writer) enter(from, to phase) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != from {
		return envdb.Fail(envdb.ErrMisuse, "the backup was committed or aborted already")
	}
	w.phase = to
	return nil
}

// finishPacks waits for the packs; a Put that still appends ends first.
func (w *Writer) finishPacks(ctx context.Context) ([]Pack, error) {
	stop := context.AfterFunc(ctx, func() { w.packer.fail(ctx.Err()) })
	defer stop()
	w.packing.Lock()
	defer w.packing.Unlock()
	return w.packer.finish()
}

// sortEntries brings the entries into the order of the index.
func (w *Writer) sortEntries() error {
	slices.SortFunc(w.entries, compareEntries)
	for i := 1; i < len(w.entries); i++ {
		if e := w.entries[i]; compareEntries(w.entries[i-1], e) == 0 {
			return envdb.Fail(envdb.ErrMisuse, "part %q has two chunks with the ordinal %d", e.part, e.ordinal)
		}
	}
	return nil
}

// newBlock is a block of the index that the base does not have.
type newBlock struct {
	number  int // in the index
	entries []entry
}

// writeIndex stores the blocks that the base does not have, and returns all,
// with the size of the object: 0 if the base has every block.
func (w *Writer) writeIndex(ctx context.Context) ([]Block, int64, error) {
	var index []Block
	var fresh []newBlock
	var plain []byte
	err := blocks(w.entries, func(entries []entry) error {
		plain = encodeBlock(plain, entries)
		sum := sha256.Sum256(plain)
		name := hex.EncodeToString(sum[:])
		block, known := w.base.blocks[name]
		if !known {
			block = Block{SHA256: name, Backup: w.ID(), Chunks: len(entries)}
			fresh = append(fresh, newBlock{number: len(index), entries: entries})
		}
		index = append(index, block)
		return nil
	})
	if err != nil || len(fresh) == 0 {
		return index, 0, err
	}
	size, err := w.streamBlocks(ctx, fresh, index)
	return index, size, err
}

// streamBlocks writes the index object and fills in where its blocks lie.
func (w *Writer) streamBlocks(ctx context.Context, fresh []newBlock, index []Block) (size int64, err error) {
	reader, writer := io.Pipe()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		size, err = w.encodeBlocks(writer, fresh, index)
		return writer.CloseWithError(err) // nil closes it
	})
	group.Go(func() error {
		_, err := w.repo.store.Put(ctx, w.repo.keys.index(w.intent.Environment, w.ID()), reader, envdb.IfAbsent())
		return errors.Join(err, reader.CloseWithError(err))
	})
	if err := group.Wait(); err != nil {
		return 0, fmt.Errorf("write the index: %w", err)
	}
	return size, nil
}

func (w *Writer) encodeBlocks(out io.Writer, fresh []newBlock, index []Block) (int64, error) {
	n, err := io.WriteString(out, indexMagic)
	offset := int64(n)
	key := w.repo.keys.index(w.intent.Environment, w.ID())
	var plain, frame []byte
	for _, block := range fresh {
		if err != nil {
			return offset, err
		}
		plain = encodeBlock(plain, block.entries)
		frame = w.repo.codec.seal(w.repo.codec.frame(frame, plain), spot{object: key, ordinal: offset})
		index[block.number].Offset, index[block.number].Length = offset, int64(len(frame))
		n, err = out.Write(frame)
		offset += int64(n)
	}
	return offset, err
}

// manifest describes the backup.
func (w *Writer) manifest(d Description, packs []Pack, index []Block, indexSize int64) (*Manifest, error) {
	m := &Manifest{
		Format: FormatVersion, Repository: w.repo.id, Project: w.repo.keys.project,
		Environment: w.intent.Environment, Tier: d.Tier, ID: w.ID(), Method: w.opts.Method, Base: w.intent.Base,
		Point: d.Point.UTC(), Started: w.opts.Now, Finished: d.Finished.UTC(), Promised: d.Promised.UTC(),
		Source: d.Source, Stillness: d.Stillness, Roles: d.Roles, Migration: d.Migration, Release: d.Release,
		Note: w.opts.Note, Writer: w.opts.Writer, Index: index,
	}
	m.Totals.Tables, m.Totals.Rows, m.Totals.Chunks = d.Tables, d.Rows, int64(len(w.entries))
	m.Totals.StoredBytes = indexSize
	sizes := map[PackID]int64{}
	for _, p := range packs {
		sizes[p.ID()] = p.Size
	}
	if w.base.manifest != nil {
		for _, p := range w.base.manifest.Packs {
			sizes[p.ID()] = p.Size
		}
	}
	used := map[PackID]bool{}
	own := map[place]bool{}
	for _, e := range w.entries {
		m.Totals.LogicalBytes += e.size
		if e.pack.Backup == w.ID() && !own[e.place] {
			own[e.place] = true
			m.Totals.NewChunks++
			m.Totals.NewBytes += e.size
		}
		if used[e.pack] {
			continue
		}
		size, known := sizes[e.pack]
		if !known {
			return nil, fmt.Errorf("pack %s is in the index of the base, but not in its manifest", e.pack)
		}
		used[e.pack] = true
		if e.pack.Backup == w.ID() {
			m.Totals.StoredBytes += size
		}
		m.Packs = append(m.Packs, Pack{Backup: e.pack.Backup, Number: e.pack.Number, Size: size})
	}
	slices.SortFunc(m.Packs, func(a, b Pack) int {
		return cmp.Or(cmp.Compare(a.Backup, b.Backup), cmp.Compare(a.Number, b.Number))
	})
	return m, nil
}

// readBack compares what the store lists with what was written.
func (w *Writer) readBack(ctx context.Context, packs []Pack, indexSize int64) error {
	env, id := w.intent.Environment, w.ID()
	sizes, err := w.repo.packSizes(ctx, env, map[envdb.BackupID]bool{id: true})
	if err != nil {
		return err
	}
	fault := func(object string, err error) error {
		return envdb.Fail(envdb.ErrVerification, "the store did not keep what was written: %s: %w", object, err).
			WithState("the backup was not stored; other backups are whole").
			WithNext("check the store with `envdb doctor`, then run `envdb backup %s` again", env)
	}
	for _, p := range packs {
		if err := checkPack(p, sizes); err != nil {
			return fault(w.repo.keys.pack(env, p.ID()), err)
		}
	}
	if indexSize == 0 {
		return nil
	}
	size, err := w.repo.indexSize(ctx, env, id)
	if err != nil {
		return err
	}
	if size != indexSize {
		return fault(w.repo.keys.index(env, id), fmt.Errorf("it has %d bytes instead of %d", size, indexSize))
	}
	return nil
}

// dropUnused deletes the packs to which nothing refers after a Restart. They
// stay where the credentials do not allow to delete: that costs space, and is
// no reason to lose a backup.
func (w *Writer) dropUnused(ctx context.Context, packs []Pack, m *Manifest) error {
	for _, p := range packs {
		if slices.Contains(m.Packs, p) {
			continue
		}
		if err := w.repo.store.Delete(ctx, w.repo.keys.pack(m.Environment, p.ID())); err != nil && !errors.Is(err, envdb.ErrPreflight) {
			return fmt.Errorf("delete the unused pack %s: %w", p.ID(), err)
		}
	}
	return nil
}

// storeManifest is the moment in which the backup begins to exist. If the
// store's answer was lost, what it holds decides.
func (w *Writer) storeManifest(ctx context.Context, object []byte) error {
	if err := w.enter(committing, attempted); err != nil {
		return err
	}
	key := w.repo.keys.manifest(w.intent.Environment, w.ID())
	_, err := w.repo.store.Put(ctx, key, bytes.NewReader(object), envdb.IfAbsent())
	if err != nil && !wasStored(ctx, w.repo.store, key, object) {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return w.enter(attempted, committed)
}
