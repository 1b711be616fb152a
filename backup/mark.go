package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/envdb/envdb"
)

// The kinds of marks, the first segment of their names. State is in the names
// of marks, so that one listing shows it.
const (
	markPinned    = "pinned"
	markProven    = "proven"
	markBad       = "bad"
	markGoodUntil = "good-until"
	markTombstone = "tombstone"
	markBadPack   = "bad-pack"
	markBadIndex  = "bad-index"
	markFate      = "fate"
	markBurst     = "burst"
	markPolicy    = "policy"
	markCalendar  = "calendar"
	markTurn      = "turn"
)

// markTime is how times are written in the names of marks: to the second.
const markTime = "20060102T150405Z"

// inMark returns t as the names of marks have it.
func inMark(t time.Time) string { return t.UTC().Format(markTime) }

// Mark sets a mark of an environment by its name, e.g. "bad-pack/…"; setting
// it again is no error.
func (r *Repository) Mark(ctx context.Context, env, name string) error {
	return r.mark(ctx, env, name, nil)
}

func (r *Repository) mark(ctx context.Context, env, name string, body []byte) error {
	if err := checkName("environment", env); err != nil {
		return err
	}
	key := r.keys.mark(env, name)
	if len(body) > 0 { // an empty one says nothing but its name
		var err error
		if body, err = r.Seal(key, body); err != nil {
			return fmt.Errorf("mark %s of %s: %w", name, env, err)
		}
	}
	defer r.changed(ctx, env)
	if _, err := r.store.Put(ctx, key, bytes.NewReader(body), envdb.Condition{}); err != nil {
		return fmt.Errorf("mark %s of %s: %w", name, env, err)
	}
	return nil
}

// Unmark removes a mark of an environment by its name; a missing one is no
// error.
func (r *Repository) Unmark(ctx context.Context, env, name string) error {
	if err := checkName("environment", env); err != nil {
		return err
	}
	defer r.changed(ctx, env)
	if err := r.store.Delete(ctx, r.keys.mark(env, name)); err != nil {
		return fmt.Errorf("unmark %s of %s: %w", name, env, err)
	}
	return nil
}

// Pin keeps a backup until it is unpinned. The note says why. One that was
// deleted has to be undeleted first.
func (r *Repository) Pin(ctx context.Context, env string, id envdb.BackupID, note string) error {
	b, err := r.Find(ctx, env, id)
	if err != nil {
		return err
	}
	if b.Tombstone != nil {
		return envdb.Fail(envdb.ErrRefused, "backup %s of %s is deleted and goes at %s", id, env, b.Tombstone.goes()).
			WithState("it was not pinned").WithNext("envdb undelete %s@%s, then pin it", env, id)
	}
	return r.mark(ctx, env, markPinned+"/"+string(id), []byte(note))
}

// Unpin lets a backup expire again.
func (r *Repository) Unpin(ctx context.Context, env string, id envdb.BackupID) error {
	if _, err := r.Find(ctx, env, id); err != nil {
		return err
	}
	return r.Unmark(ctx, env, markPinned+"/"+string(id))
}

// MarkProven records that a backup was restored and checked.
func (r *Repository) MarkProven(ctx context.Context, env string, id envdb.BackupID) error {
	return r.markBackup(ctx, env, id, markProven+"/"+string(id), nil)
}

// MarkBad records that a backup is not to be used: it is no base, and is
// restored only when it is named.
func (r *Repository) MarkBad(ctx context.Context, env string, id envdb.BackupID, why string) error {
	return r.markBackup(ctx, env, id, markBad+"/"+string(id), []byte(why))
}

// MarkGoodUntil records that nothing changed between the backup's point and t.
// Earlier marks of the kind are removed.
func (r *Repository) MarkGoodUntil(ctx context.Context, env string, id envdb.BackupID, t time.Time) error {
	prefix := markGoodUntil + "/" + string(id) + "/"
	name := prefix + inMark(t)
	if err := r.markBackup(ctx, env, id, name, nil); err != nil {
		return err
	}
	return r.unmarkOlder(ctx, env, prefix, name, 0)
}

// unmarkOlder removes the marks below prefix whose names sort before name. With a
// grace those stay that were written, by the store's clock, less than that before
// it.
func (r *Repository) unmarkOlder(ctx context.Context, env, prefix, name string, grace time.Duration) error {
	key := r.keys.mark(env, name)
	var older []envdb.Object
	var written time.Time
	for object, err := range r.store.List(ctx, r.keys.mark(env, prefix)) {
		switch {
		case err != nil:
			return fmt.Errorf("mark %s of %s: %w", name, env, err)
		case object.Key == key:
			written = object.Modified
		case object.Key < key:
			older = append(older, object)
		}
	}
	for _, object := range older {
		if grace > 0 && written.Sub(object.Modified) < grace {
			continue
		}
		if err := r.store.Delete(ctx, object.Key); err != nil {
			return fmt.Errorf("mark %s of %s: %w", name, env, err)
		}
	}
	return nil
}

// markBackup sets a mark of a backup that exists.
func (r *Repository) markBackup(ctx context.Context, env string, id envdb.BackupID, name string, body []byte) error {
	if _, err := r.Find(ctx, env, id); err != nil {
		return err
	}
	return r.mark(ctx, env, name, body)
}

// RecordIdentity records what an environment's server and database last said
// of themselves.
func (r *Repository) RecordIdentity(ctx context.Context, env string, identity envdb.Identity) error {
	text, err := json.Marshal(identity)
	if err != nil {
		return fmt.Errorf("record the identity of %s: %w", env, err)
	}
	return r.mark(ctx, env, "identity", text)
}

// Identity returns what RecordIdentity last recorded, or ErrNotFound.
func (r *Repository) Identity(ctx context.Context, env string) (envdb.Identity, error) {
	var identity envdb.Identity
	if err := checkName("environment", env); err != nil {
		return identity, err
	}
	text, _, err := readAll(ctx, r.store, r.keys.identityMark(env))
	if errors.Is(err, fs.ErrNotExist) {
		return identity, envdb.Fail(envdb.ErrNotFound, "no identity of %s is recorded: %w", env, err).
			WithNext("record it with `envdb identity accept %s`", env)
	}
	if err != nil {
		return identity, fmt.Errorf("read the identity of %s: %w", env, err)
	}
	if text, err = r.Unseal(r.keys.identityMark(env), text); err != nil {
		return identity, envdb.Fail(envdb.ErrVerification, "the recorded identity of %s is damaged: %w", env, err).
			WithNext("find out who can write to the store, then record it again with `envdb identity accept %s`", env)
	}
	if err := json.Unmarshal(text, &identity); err != nil {
		return identity, envdb.Fail(envdb.ErrVerification, "the recorded identity of %s is damaged: %w", env, err).
			WithNext("record it again with `envdb identity accept %s`", env)
	}
	return identity, nil
}

// damage lists what a backup refers to and is marked bad.
func (m *marks) damage(manifest *Manifest) []string {
	var damaged []string
	for _, p := range manifest.Packs {
		if m.badPacks[p.ID()] {
			damaged = append(damaged, "pack "+p.ID().String())
		}
	}
	seen := map[envdb.BackupID]bool{}
	for _, b := range manifest.Index {
		if m.badIndexes[b.Backup] && !seen[b.Backup] {
			seen[b.Backup] = true
			damaged = append(damaged, "index of "+string(b.Backup))
		}
	}
	return damaged
}
