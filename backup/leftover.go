package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// Leftover is what a backup left behind whose writer died: objects without a
// manifest, to which no other backup refers, or only a write intent.
type Leftover struct {
	Environment string         `json:"environment"`
	ID          envdb.BackupID `json:"id"`
	Run         string         `json:"run,omitempty"` // that took it, if its intent is there
	Objects     int            `json:"objects"`
	Bytes       int64          `json:"bytes"`
	// Committed says that the backup is whole and only its intent was left.
	Committed bool `json:"committed,omitempty"`

	objects []envdb.Object
	// partial says that another backup refers to what else there is of it: it
	// was whole once, and was deleted.
	partial bool
}

func (l *Leftover) count() {
	l.Objects, l.Bytes = len(l.objects), 0
	for _, o := range l.objects {
		l.Bytes += o.Size
	}
}

// Leftovers returns what dead writers left behind in an environment, oldest
// first. dead decides whether a run is dead for certain; a backup that no run
// took is taken for alive as long as its intent is there, and one without an
// intent is dead. A backup that is being taken, and all that it may refer to,
// is never part of it; neither is anything while a manifest cannot be read.
func (r *Repository) Leftovers(ctx context.Context, env string, dead func(run string) (bool, error)) ([]Leftover, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	// The order decides: what was stored before the intents are listed is
	// either a live writer's, whose intent is seen, or a finished one's, whose
	// manifest is. What a sweep is deleting has its tombstone until nothing else
	// of it is there.
	marks, err := r.readMarks(ctx, env)
	if err != nil {
		return nil, err
	}
	found, err := r.strayObjects(ctx, env)
	if err != nil {
		return nil, err
	}
	intents, err := r.Intents(ctx, env)
	if err != nil {
		return nil, err
	}
	backups, err := r.list(ctx, env, marks)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(found, func(id envdb.BackupID, _ *Leftover) bool { // which the next sweep finishes
		_, buried := marks.tombstones[id]
		return buried
	})
	if err := keepAlive(found, intents, backups, dead); err != nil {
		return nil, err
	}
	if err := keepReferred(found, backups, r.keys); err != nil {
		return nil, err
	}
	leftovers := make([]Leftover, 0, len(found))
	for _, l := range found {
		leftovers = append(leftovers, *l)
	}
	slices.SortFunc(leftovers, func(a, b Leftover) int { return cmp.Compare(a.ID, b.ID) })
	return leftovers, nil
}

// strayObjects lists the packs and indexes of every id.
func (r *Repository) strayObjects(ctx context.Context, env string) (map[envdb.BackupID]*Leftover, error) {
	found := map[envdb.BackupID]*Leftover{}
	add := func(id envdb.BackupID, object envdb.Object) {
		l := found[id]
		if l == nil {
			l = &Leftover{Environment: env, ID: id}
			found[id] = l
		}
		l.objects = append(l.objects, object)
		l.count()
	}
	for object, err := range r.store.List(ctx, r.keys.packsOf(env)) {
		if err != nil {
			return nil, fmt.Errorf("list the packs of %s: %w", env, err)
		}
		if pack, ok := parsePack(strings.TrimPrefix(object.Key, r.keys.packsOf(env))); ok {
			add(pack.Backup, object)
		}
	}
	for object, err := range r.store.List(ctx, r.keys.backupsOf(env)) {
		if err != nil {
			return nil, fmt.Errorf("list the backups of %s: %w", env, err)
		}
		id, name, ok := parseBackupObject(strings.TrimPrefix(object.Key, r.keys.backupsOf(env)))
		if ok && name == indexObject {
			add(id, object)
		}
	}
	return found, nil
}

// keepAlive takes what live writers own out of found, and adds the intents of
// dead ones.
func keepAlive(found map[envdb.BackupID]*Leftover, intents []Intent, backups []Backup, dead func(run string) (bool, error)) error {
	whole := map[envdb.BackupID]bool{}
	for _, b := range backups {
		whole[b.ID()] = true
	}
	for _, intent := range intents {
		gone := false
		if intent.Run != "" {
			var err error
			if gone, err = dead(intent.Run); err != nil {
				return fmt.Errorf("does the run %s live, which takes backup %s of %s: %w", intent.Run, intent.ID, intent.Environment, err)
			}
		}
		if !gone {
			delete(found, intent.ID)
			if intent.Base != "" && !whole[intent.Base] {
				return envdb.Fail(envdb.ErrBusy, "backup %s of %s is being taken, and its base %s has no manifest", intent.ID, intent.Environment, intent.Base).
					WithState("nothing was removed").WithNext("try again when the backup has ended")
			}
			continue
		}
		l := found[intent.ID]
		if l == nil {
			l = &Leftover{Environment: intent.Environment, ID: intent.ID}
			found[intent.ID] = l
		}
		l.Run, l.Committed = intent.Run, whole[intent.ID]
	}
	return nil
}

// keepReferred takes everything out of found that a backup owns or refers to.
func keepReferred(found map[envdb.BackupID]*Leftover, backups []Backup, keys layout) error {
	referred := map[string]bool{}
	for _, b := range backups {
		if b.Err != nil {
			return envdb.Fail(envdb.ErrVerification, "it is unknown what backup %s refers to: %w", b.ID(), b.Err).
				WithState("nothing was removed").
				WithNext("see `envdb verify %s`", b.Manifest.Environment)
		}
		for _, p := range b.Manifest.Packs {
			referred[keys.pack(b.Manifest.Environment, p.ID())] = true
		}
		for _, block := range b.Manifest.Index {
			referred[keys.index(b.Manifest.Environment, block.Backup)] = true
		}
		l := found[b.ID()]
		if l != nil && l.Committed {
			l.objects = nil
			l.count()
		} else {
			delete(found, b.ID())
		}
	}
	for id, l := range found {
		all := len(l.objects)
		l.objects = slices.DeleteFunc(l.objects, func(o envdb.Object) bool { return referred[o.Key] })
		if l.partial = len(l.objects) < all; l.partial && len(l.objects) == 0 && l.Run == "" {
			delete(found, id)
		}
		l.count()
	}
	return nil
}

// RemoveLeftover removes what Leftovers found just before.
func (r *Repository) RemoveLeftover(ctx context.Context, env string, l Leftover) error {
	switch {
	case l.Committed:
		return r.release(ctx, env, l.ID)
	case l.partial:
		return r.removeUnreferred(ctx, env, l)
	}
	return r.removeBackup(ctx, env, l.ID)
}

// removeUnreferred deletes what no backup refers to of one that was deleted.
func (r *Repository) removeUnreferred(ctx context.Context, env string, l Leftover) error {
	for _, object := range l.objects {
		if err := r.store.Delete(ctx, object.Key); err != nil {
			return fmt.Errorf("remove what backup %s of %s left: %w", l.ID, env, err)
		}
	}
	return r.release(ctx, env, l.ID)
}

// removeBackup deletes what a backup without manifest left, having taken the
// manifest's key, so that a writer that was only slow cannot commit any more.
// The void stays: it costs a few bytes, and the writer may be very slow.
func (r *Repository) removeBackup(ctx context.Context, env string, id envdb.BackupID) error {
	_, err := r.store.Put(ctx, r.keys.manifest(env, id), strings.NewReader(voidManifest), envdb.IfAbsent())
	if errors.Is(err, envdb.ErrCondition) {
		_, err = r.readManifest(ctx, env, id)
		switch {
		case errors.Is(err, errVoid):
		case err == nil:
			return r.release(ctx, env, id) // it was committed after all
		default:
			return err
		}
	} else if err != nil {
		return fmt.Errorf("give up backup %s of %s: %w", id, env, err)
	}
	return r.removeObjects(ctx, env, id)
}

// removeObjects deletes the packs and the index of a backup that has no
// manifest, and its intent last, so that a deletion that is cut short can be
// seen and finished.
func (r *Repository) removeObjects(ctx context.Context, env string, id envdb.BackupID) error {
	for object, err := range r.store.List(ctx, r.keys.packsOfBackup(env, id)) {
		if err == nil {
			err = r.store.Delete(ctx, object.Key)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what backup %s of %s left: %w", id, env, err)
		}
	}
	if err := r.store.Delete(ctx, r.keys.index(env, id)); err != nil {
		return fmt.Errorf("remove what backup %s of %s left: %w", id, env, err)
	}
	return r.release(ctx, env, id)
}
