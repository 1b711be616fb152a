package backup

import (
	"context"
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// forgetGone takes out the backups that were deleted while they were verified:
// what they lack is no damage, and what was marked for it is taken back. That
// this may not be allowed does no harm: such a mark concerns nobody.
func (v *verification) forgetGone(ctx context.Context, backups []Backup) ([]Backup, error) {
	if len(v.bad) == 0 {
		return backups, nil
	}
	now, err := v.repo.List(ctx, v.env)
	if err != nil {
		return nil, err
	}
	there := map[envdb.BackupID]bool{}
	referred := map[string]bool{}
	for _, b := range now {
		there[b.ID()] = true
		referred[v.repo.keys.manifest(v.env, b.ID())] = true
		for _, p := range b.Manifest.Packs {
			referred[v.repo.keys.pack(v.env, p.ID())] = true
		}
		for _, block := range b.Manifest.Index {
			referred[v.repo.keys.index(v.env, block.Backup)] = true
		}
	}
	left := slices.DeleteFunc(slices.Clone(backups), func(b Backup) bool { return !there[b.ID()] })
	if len(left) == len(backups) || slices.ContainsFunc(now, func(b Backup) bool { return b.Err != nil }) {
		return left, nil
	}
	for key := range v.bad {
		if referred[key] {
			continue
		}
		delete(v.bad, key)
		if name := v.markOf(key); name != "" {
			_ = v.repo.Unmark(ctx, v.env, name)
		}
	}
	return left, nil
}

// markOf returns the mark that says that the object under a key is bad.
func (v *verification) markOf(key string) string {
	if pack, ok := parsePack(strings.TrimPrefix(key, v.repo.keys.packsOf(v.env))); ok {
		return markBadPack + "/" + pack.String()
	}
	if id, object, ok := parseBackupObject(strings.TrimPrefix(key, v.repo.keys.backupsOf(v.env))); ok && object == indexObject {
		return markBadIndex + "/" + string(id)
	}
	return ""
}
