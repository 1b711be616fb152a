package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/envdb/envdb"
)

// removeObjects deletes the packs and the index of a backup that has no
// manifest, and its intent last, so that a deletion that is cut short can be
// seen and finished.
func (r *Repository) removeObjects(ctx context.Context, env string, id envdb.BackupID) error {
	var errs []error
	for object, err := range r.store.List(ctx, r.keys.packsOfBackup(env, id)) {
		if err == nil {
			err = r.store.Delete(ctx, object.Key)
		}
		errs = append(errs, err)
	}
	errs = append(errs, r.store.Delete(ctx, r.keys.index(env, id)))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove what backup %s of %s left: %w", id, env, err)
	}
	return r.release(ctx, env, id)
}

// removeBackup deletes what a backup without manifest left, having taken the
// manifest's key, so that a writer that was only slow cannot commit any more.
// It does nothing if the backup has a manifest after all.
func (r *Repository) removeBackup(ctx context.Context, env string, id envdb.BackupID) error {
	_, err := r.store.Put(ctx, r.keys.manifest(env, id), strings.NewReader(voidManifest), envdb.IfAbsent())
	if errors.Is(err, envdb.ErrCondition) {
		if _, err = r.readManifest(ctx, env, id); !errors.Is(err, errVoid) {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("give up backup %s of %s: %w", id, env, err)
	}
	return r.removeObjects(ctx, env, id)
}
