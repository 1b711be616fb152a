package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// listReaders is how many manifests are read at once.
const listReaders = 8

// Backup is a backup and what is known of it beyond its manifest.
type Backup struct {
	// Manifest is never nil. If Err is set it has the environment and the id,
	// and nothing else.
	Manifest *Manifest
	// Pinned backups do not expire; PinNote says why.
	Pinned  bool
	PinNote string
	// Proven backups were restored and checked; Bad ones were rejected.
	Proven, Bad bool
	// Damaged lists what the backup refers to and could not be read.
	Damaged []string
	// GoodUntil is the moment up to which nothing changed after the point; it
	// is the point itself if nothing is known.
	GoodUntil time.Time
	// Tombstone says when the backup will be deleted; nil if it will not.
	Tombstone *Tombstone
	// Err says why the manifest cannot be read.
	Err error
}

// ID returns the backup's id.
func (b Backup) ID() envdb.BackupID { return b.Manifest.ID }

// Usable reports whether the backup can be restored as far as is known, and
// may be: one that will be deleted is not relied on any more.
func (b Backup) Usable() bool {
	return b.Err == nil && !b.Bad && len(b.Damaged) == 0 && b.Tombstone == nil
}

// List returns the backups of an environment, oldest first. One whose manifest
// cannot be read is in the list, with Err set.
func (r *Repository) List(ctx context.Context, env string) ([]Backup, error) {
	if err := checkName("environment", env); err != nil {
		return nil, err
	}
	marks, err := r.readMarks(ctx, env)
	if err != nil {
		return nil, err
	}
	return r.list(ctx, env, marks)
}

func (r *Repository) list(ctx context.Context, env string, marks *marks) ([]Backup, error) {
	ids, err := r.manifestIDs(ctx, env)
	if err != nil {
		return nil, err
	}
	all := make([]*Backup, len(ids))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(listReaders)
	for i, id := range ids {
		group.Go(func() (err error) {
			all[i], err = r.describe(gctx, env, id, marks)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	backups := make([]Backup, 0, len(all))
	for _, b := range all {
		if b != nil {
			backups = append(backups, *b)
		}
	}
	return backups, nil
}

// manifestIDs lists the backups that have a manifest, voids included.
func (r *Repository) manifestIDs(ctx context.Context, env string) ([]envdb.BackupID, error) {
	var ids []envdb.BackupID
	prefix := r.keys.backupsOf(env)
	for object, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the backups of %s: %w", env, err)
		}
		if id, name, ok := parseBackupObject(strings.TrimPrefix(object.Key, prefix)); ok && name == manifestObject {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// describe reads one backup. It returns nil if there is none (any more).
func (r *Repository) describe(ctx context.Context, env string, id envdb.BackupID, marks *marks) (*Backup, error) {
	m, err := r.readManifest(ctx, env, id)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errVoid):
		return nil, nil
	case err != nil && !isDamage(err):
		return nil, err
	case err != nil:
		m = &Manifest{Environment: env, ID: id}
	}
	b := &Backup{
		Manifest: m, Err: err, Damaged: marks.damage(m), GoodUntil: m.Point,
		Pinned: marks.pinned[id], Proven: marks.proven[id], Bad: marks.bad[id],
	}
	if t := marks.goodUntil[id]; t.After(b.GoodUntil) {
		b.GoodUntil = t
	}
	if b.Tombstone, err = r.tombstone(ctx, env, id, marks); err != nil {
		return nil, err
	}
	if b.Pinned {
		if b.PinNote, err = r.pinNote(ctx, env, id); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// pinNote reads why a backup is pinned. A note that was tampered with says so,
// and hides no backup.
func (r *Repository) pinNote(ctx context.Context, env string, id envdb.BackupID) (string, error) {
	key := r.keys.mark(env, markPinned+"/"+string(id))
	note, _, err := readAll(ctx, r.store, key)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(note) == 0:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the note of backup %s of %s: %w", id, env, err)
	}
	if note, err = r.Unseal(key, note); err != nil {
		return "(the note cannot be read)", nil
	}
	return string(note), nil
}

// Find returns one backup, or ErrNotFound.
func (r *Repository) Find(ctx context.Context, env string, id envdb.BackupID) (Backup, error) {
	if err := checkName("environment", env); err != nil {
		return Backup{}, err
	}
	if _, err := envdb.ParseBackupID(string(id)); err != nil {
		return Backup{}, err
	}
	marks, err := r.readMarks(ctx, env)
	if err != nil {
		return Backup{}, err
	}
	b, err := r.describe(ctx, env, id, marks)
	if err != nil {
		return Backup{}, err
	}
	if b == nil {
		return Backup{}, envdb.Fail(envdb.ErrNotFound, "%s has no backup %s", env, id).
			WithNext("see `envdb backups %s`", env)
	}
	return *b, nil
}

// Environments returns the names of the environments that have a backup.
func (r *Repository) Environments(ctx context.Context) ([]string, error) {
	var names []string
	for object, err := range r.store.List(ctx, r.keys.backups()) {
		if err != nil {
			return nil, fmt.Errorf("list the environments: %w", err)
		}
		env, rest, _ := strings.Cut(strings.TrimPrefix(object.Key, r.keys.backups()), "/")
		_, name, ok := parseBackupObject(rest)
		if ok && name == manifestObject && (len(names) == 0 || names[len(names)-1] != env) {
			names = append(names, env)
		}
	}
	return names, nil
}
