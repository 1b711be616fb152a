package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/envdb/envdb"
)

// Tombstone says that a backup will be deleted: until then it can be had back.
type Tombstone struct {
	// SweepAfter is when it goes. It stands in the name of the mark.
	SweepAfter time.Time `json:"sweep_after,omitzero"`
	// Begun reports whether the deletion has begun: it cannot be had back.
	Begun bool `json:"begun,omitempty"`

	By     string    `json:"by,omitempty"`
	Why    string    `json:"why,omitempty"`
	Run    string    `json:"run,omitempty"`
	Buried time.Time `json:"buried,omitzero"`
}

// goes returns when the backup goes, for people.
func (t Tombstone) goes() string {
	if t.SweepAfter.Equal(farAhead) {
		return "a time that cannot be read"
	}
	return t.SweepAfter.UTC().Format(time.DateTime + " UTC")
}

// Bury marks a backup to be deleted once t.SweepAfter has come; the caller
// decides on the time of grace. It answers no point any more and is no base. A
// pinned one is refused, and of one that is buried already nothing is changed.
func (r *Repository) Bury(ctx context.Context, env string, id envdb.BackupID, t Tombstone) error {
	b, err := r.Find(ctx, env, id)
	switch {
	case err != nil:
		return err
	case t.SweepAfter.IsZero():
		return envdb.Fail(envdb.ErrMisuse, "backup %s of %s: a tombstone says when the backup goes", id, env)
	case b.Pinned:
		return envdb.Fail(envdb.ErrRefused, "backup %s of %s is pinned", id, env).
			WithState("it was not deleted").WithNext("envdb unpin %s@%s, then delete it", env, id)
	case b.Tombstone != nil && !b.Tombstone.SweepAfter.Equal(farAhead):
		return nil
	}
	// Without a tombstone a fate is what somebody left who died.
	if err := r.removeMarks(ctx, env, markFate+"/"+string(id)); err != nil {
		return err
	}
	name := markTombstone + "/" + string(id) + "/" + inMark(t.SweepAfter)
	t.SweepAfter, t.Begun, t.Buried = time.Time{}, false, t.Buried.UTC()
	body, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("bury backup %s of %s: %w", id, env, err)
	}
	return r.mark(ctx, env, name, body)
}

// Exhume takes a tombstone back. Once the deletion has begun it is refused.
func (r *Repository) Exhume(ctx context.Context, env string, id envdb.BackupID) error {
	b, err := r.Find(ctx, env, id)
	if err != nil {
		return err
	}
	if b.Tombstone == nil {
		return envdb.Fail(envdb.ErrRefused, "backup %s of %s is not deleted", id, env).
			WithState("nothing was changed").WithNext("see `envdb backups %s`", env)
	}
	decided, err := r.decide(ctx, env, id, fate{Fate: fateStays})
	if err != nil {
		return err
	}
	if decided.Fate != fateStays {
		return envdb.Fail(envdb.ErrRefused, "the deletion of backup %s of %s has begun", id, env).
			WithState("it cannot be had back").WithNext("see `envdb backups %s` for the other restore points", env)
	}
	return r.letStay(ctx, env, id)
}

// letStay completes a fate that says that the backup stays.
func (r *Repository) letStay(ctx context.Context, env string, id envdb.BackupID) error {
	defer r.changed(ctx, env)
	if err := r.removeMarks(ctx, env, markTombstone+"/"+string(id)); err != nil {
		return err
	}
	return r.removeMarks(ctx, env, markFate+"/"+string(id))
}

// removeMarks removes the mark with a name, and those below it.
func (r *Repository) removeMarks(ctx context.Context, env, name string) error {
	key := r.keys.mark(env, name)
	if err := r.store.Delete(ctx, key); err != nil {
		return fmt.Errorf("unmark %s of %s: %w", name, env, err)
	}
	for object, err := range r.store.List(ctx, key+"/") {
		if err == nil {
			err = r.store.Delete(ctx, object.Key)
		}
		if err != nil {
			return fmt.Errorf("unmark %s of %s: %w", name, env, err)
		}
	}
	return nil
}

// tombstone returns that of a backup, or nil. Its body is a comment: one that
// cannot be read hides neither the backup nor that it goes.
func (r *Repository) tombstone(ctx context.Context, env string, id envdb.BackupID, marks *marks) (*Tombstone, error) {
	after, buried := marks.tombstones[id]
	if !buried {
		return nil, nil
	}
	t := &Tombstone{}
	key := r.keys.mark(env, markTombstone+"/"+string(id)+"/"+inMark(after))
	stored, _, err := readAll(ctx, r.store, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read the tombstone of backup %s of %s: %w", id, env, err)
	default:
		body, err := r.Unseal(key, stored)
		if err != nil || json.Unmarshal(body, t) != nil {
			*t = Tombstone{Why: "(the note cannot be read)"}
		}
	}
	t.SweepAfter, t.Begun = after, marks.fates[id]
	return t, nil
}

// The fates of a backup that has a tombstone.
const (
	fateGoes  = "goes"
	fateStays = "stays"
)

// fate is what becomes of a backup that has a tombstone, decided by who stores
// it first. That of one that goes lists what its manifest refers to, because
// the manifest is deleted first.
type fate struct {
	Fate    string                   `json:"fate"`
	Packs   map[envdb.BackupID][]int `json:"packs,omitempty"` // numbers, by who wrote them
	Indexes []envdb.BackupID         `json:"indexes,omitempty"`
}

// add notes a pack, once.
func (f *fate) add(p PackID) {
	if f.Packs == nil {
		f.Packs = map[envdb.BackupID][]int{}
	}
	if at, found := slices.BinarySearch(f.Packs[p.Backup], p.Number); !found {
		f.Packs[p.Backup] = slices.Insert(f.Packs[p.Backup], at, p.Number)
	}
}

// decide stores the fate of a backup unless one is stored already, and returns
// the one that is.
func (r *Repository) decide(ctx context.Context, env string, id envdb.BackupID, f fate) (fate, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return f, fmt.Errorf("decide on backup %s of %s: %w", id, env, err)
	}
	key := r.keys.mark(env, markFate+"/"+string(id))
	sealed, err := r.Seal(key, text)
	if err != nil {
		return f, fmt.Errorf("decide on backup %s of %s: %w", id, env, err)
	}
	defer r.changed(ctx, env)
	_, err = r.store.Put(ctx, key, bytes.NewReader(sealed), envdb.IfAbsent())
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, envdb.ErrCondition):
		return r.readFate(ctx, env, id)
	}
	return f, fmt.Errorf("decide on backup %s of %s: %w", id, env, err)
}

// readFate reads the fate of a backup; none is fs.ErrNotExist.
func (r *Repository) readFate(ctx context.Context, env string, id envdb.BackupID) (fate, error) {
	var f fate
	key := r.keys.mark(env, markFate+"/"+string(id))
	stored, _, err := readAll(ctx, r.store, key)
	if err != nil {
		return f, fmt.Errorf("read the fate of backup %s of %s: %w", id, env, err)
	}
	text, err := r.Unseal(key, stored)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && f.Fate != fateGoes && f.Fate != fateStays {
		err = fmt.Errorf("it says %q", f.Fate)
	}
	if err != nil {
		return f, envdb.Fail(envdb.ErrVerification, "%s is damaged: %w", key, err).
			WithState("backup %s is neither deleted nor brought back", id).
			WithNext("find out who can write to the store, then delete that object: the deletion begins anew, and `envdb doctor --clean` removes what it listed and nothing refers to")
	}
	return f, nil
}
