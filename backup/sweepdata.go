package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// removeManifests is the moment in which the backups cease to exist. An intent
// that its writer could not delete goes before: without a manifest it would be
// taken for a backup that was never finished.
func (s *sweep) removeManifests(ctx context.Context) error {
	for _, c := range s.going {
		if err := s.repo.release(ctx, s.env, c.id); err != nil {
			return err
		}
		if err := s.repo.store.Delete(ctx, s.repo.keys.manifest(s.env, c.id)); err != nil {
			return fmt.Errorf("delete the manifest of backup %s: %w", c.id, err)
		}
	}
	return nil
}

// doomed are packs and indexes that go unless a manifest refers to them.
type doomed struct {
	mu      sync.Mutex
	packs   map[PackID]bool
	indexes map[envdb.BackupID]bool
}

// spare takes out what a backup refers to, and its own index.
func (d *doomed) spare(m *Manifest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.indexes, m.ID)
	for _, p := range m.Packs {
		delete(d.packs, p.ID())
	}
	for _, b := range m.Index {
		delete(d.indexes, b.Backup)
	}
}

// removeData deletes what the deleted backups referred to and no other refers
// to: never again, because what refers to something has it from its base.
func (s *sweep) removeData(ctx context.Context) error {
	d := &doomed{packs: map[PackID]bool{}, indexes: map[envdb.BackupID]bool{}}
	for _, c := range s.going {
		for id, numbers := range c.fate.Packs {
			for _, n := range numbers {
				d.packs[PackID{Backup: id, Number: n}] = true
			}
		}
		for _, id := range c.fate.Indexes {
			d.indexes[id] = true
		}
	}
	if err := s.spareReferred(ctx, d); err != nil {
		return err
	}
	for _, p := range slices.SortedFunc(maps.Keys(d.packs), comparePacks) {
		if err := s.remove(ctx, s.repo.keys.pack(s.env, p), markBadPack+"/"+p.String()); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.indexes)) {
		if err := s.remove(ctx, s.repo.keys.index(s.env, id), markBadIndex+"/"+string(id)); err != nil {
			return err
		}
	}
	return nil
}

// spareReferred reads every manifest that there is. One that cannot be read may
// refer to anything.
func (s *sweep) spareReferred(ctx context.Context, d *doomed) error {
	ids, err := s.repo.manifestIDs(ctx, s.env)
	if err != nil {
		return s.refuse(err.Error(), err)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(listReaders)
	for _, id := range ids {
		group.Go(func() error {
			m, err := s.repo.readManifest(gctx, s.env, id)
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, errVoid):
				return nil
			case err != nil:
				return s.refuse(err.Error(), err)
			}
			d.spare(m)
			return nil
		})
	}
	return group.Wait()
}

// remove deletes an object and the mark that says it is bad. To delete what is
// gone already is no error.
func (s *sweep) remove(ctx context.Context, key, mark string) error {
	if err := s.repo.store.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", key, err)
	}
	s.out.Objects++
	if err := s.repo.store.Delete(ctx, s.repo.keys.mark(s.env, mark)); err != nil {
		return fmt.Errorf("delete the mark %s: %w", mark, err)
	}
	return nil
}

// marksOfBackup are the kinds of marks that go with the backup that they name.
var marksOfBackup = []string{markPinned, markProven, markBad, markGoodUntil, markFate}

// removeMarks removes what is said of the backups; the tombstones are last,
// because they are what a later sweep goes by.
func (s *sweep) removeMarks(ctx context.Context) error {
	goes := map[string]bool{}
	for _, c := range s.going {
		goes[string(c.id)] = true
	}
	var tombstones []string
	prefix := s.repo.keys.marksOf(s.env)
	for object, err := range s.repo.store.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("list the marks: %w", err)
		}
		kind, rest, _ := strings.Cut(strings.TrimPrefix(object.Key, prefix), "/")
		id, _, _ := strings.Cut(rest, "/")
		switch {
		case !goes[id]:
		case kind == markTombstone:
			tombstones = append(tombstones, object.Key)
		case slices.Contains(marksOfBackup, kind):
			if err := s.repo.store.Delete(ctx, object.Key); err != nil {
				return fmt.Errorf("delete the mark %s: %w", object.Key, err)
			}
		}
	}
	for _, key := range tombstones {
		if err := s.repo.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("delete the mark %s: %w", key, err)
		}
	}
	for _, c := range s.going {
		s.out.Gone = append(s.out.Gone, c.id)
	}
	slices.Sort(s.out.Gone)
	return nil
}
