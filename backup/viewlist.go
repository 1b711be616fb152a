package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// listedManifest is a manifest that a listing shows.
type listedManifest struct {
	id    envdb.BackupID
	state objectState
}

// objectState tells whether a listing shows the object that was read.
type objectState struct {
	size, modified int64
	tag            envdb.Tag
}

func stateOf(o envdb.Object) objectState {
	return objectState{size: o.Size, modified: o.Modified.UnixNano(), tag: o.Tag}
}

// viewIntents lists and reads the write intents.
func (r *Repository) viewIntents(ctx context.Context, view *View) error {
	prefix := r.keys.intentsOf(view.Environment)
	for object, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return fmt.Errorf("list the write intents of %s: %w", view.Environment, err)
		}
		id, err := envdb.ParseBackupID(strings.TrimPrefix(object.Key, prefix))
		if err != nil {
			view.Incomplete = append(view.Incomplete, "write intent "+object.Key)
			continue
		}
		intent, err := r.readIntent(ctx, view.Environment, id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // released meanwhile
		case errors.Is(err, envdb.ErrVerification):
			view.Incomplete = append(view.Incomplete, "write intent "+object.Key+": "+err.Error())
		case err != nil:
			return err
		default:
			view.Running = append(view.Running, intent)
		}
	}
	return nil
}

// viewManifests lists the manifests, oldest first, voids included.
func (r *Repository) viewManifests(ctx context.Context, view *View) ([]listedManifest, error) {
	var found []listedManifest
	prefix := r.keys.backupsOf(view.Environment)
	for object, err := range r.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the backups of %s: %w", view.Environment, err)
		}
		id, name, ok := parseBackupObject(strings.TrimPrefix(object.Key, prefix))
		switch {
		case !ok:
			view.Incomplete = append(view.Incomplete, "object "+object.Key)
		case name == manifestObject:
			found = append(found, listedManifest{id, stateOf(object)})
		}
	}
	return found, nil
}

// read reads the manifests that are new, and forgets those that are gone.
func (v *Viewer) read(ctx context.Context, env string, known *remembered, listed []listedManifest, marks *marks) error {
	bad := marks.badSignature()
	there := make(map[envdb.BackupID]bool, len(listed))
	var unread []listedManifest
	for _, l := range listed {
		there[l.id] = true
		if was, read := known.summaries[l.id]; !read || was.state != l.state || bad != known.bad {
			unread = append(unread, l)
		}
	}
	maps.DeleteFunc(known.summaries, func(id envdb.BackupID, _ knownManifest) bool { return !there[id] })
	got := make([]knownManifest, len(unread))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(listReaders)
	for i, l := range unread {
		group.Go(func() (err error) {
			got[i], err = v.repo.summary(gctx, env, l, marks)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, l := range unread {
		known.intern(got[i].summary)
		known.summaries[l.id] = got[i]
	}
	known.bad = bad
	return nil
}

// summary reads one manifest, and keeps little of it. What cannot be read is
// read again the next time.
func (r *Repository) summary(ctx context.Context, env string, l listedManifest, marks *marks) (knownManifest, error) {
	m, err := r.readManifest(ctx, env, l.id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return knownManifest{}, nil
	case errors.Is(err, errVoid):
		return knownManifest{state: l.state}, nil
	case err != nil && !isDamage(err):
		return knownManifest{}, err
	case err != nil:
		return knownManifest{summary: &Summary{ID: l.id, Err: err}}, nil
	}
	s := summarise(m)
	s.Damaged = marks.damage(m)
	return knownManifest{state: l.state, summary: &s}, nil
}

// intern makes summaries share what most of them say alike.
func (k *remembered) intern(s *Summary) {
	if s == nil {
		return
	}
	for _, text := range []*string{&s.Source.SystemIdentifier, &s.Source.Database} {
		if shared, known := k.texts[*text]; known {
			*text = shared
		} else {
			k.texts[*text] = *text
		}
	}
}

// mark adds to the summaries of a view what marks say of them.
func (v *Viewer) mark(ctx context.Context, view *View, known *remembered, marks *marks) error {
	maps.DeleteFunc(known.tombstones, func(id envdb.BackupID, t Tombstone) bool {
		after, buried := marks.tombstones[id]
		return !buried || !after.Equal(t.SweepAfter)
	})
	for i := range view.Backups {
		b := &view.Backups[i]
		if b.Err != nil {
			view.Incomplete = append(view.Incomplete, b.Err.Error())
		}
		b.Pinned, b.Proven, b.Bad = marks.pinned[b.ID], marks.proven[b.ID], marks.bad[b.ID]
		if t := marks.goodUntil[b.ID]; t.After(b.GoodUntil) {
			b.GoodUntil = t
		}
		if _, buried := marks.tombstones[b.ID]; !buried {
			continue
		}
		t, read := known.tombstones[b.ID]
		if !read {
			stone, err := v.repo.tombstone(ctx, view.Environment, b.ID, marks)
			if err != nil {
				return err
			}
			t = *stone
			known.tombstones[b.ID] = t
		}
		t.Begun = marks.fates[b.ID]
		b.Tombstone = &t
	}
	return nil
}

// badSignature names the packs and indexes that are marked bad.
func (m *marks) badSignature() string {
	if len(m.badPacks)+len(m.badIndexes) == 0 {
		return ""
	}
	var names []string
	for p := range m.badPacks {
		names = append(names, p.String())
	}
	for id := range m.badIndexes {
		names = append(names, string(id))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
