package backup

import (
	"context"
	"slices"
	"strings"
)

// objectsLookedAt is after how many objects OtherProjects stops: one page of a
// bucket's listing.
const objectsLookedAt = 1000

// OtherProjects returns projects that have backups in the store while this one
// has none at all: a project's name with a typing error is as good as any. Not
// every one need be found. Who may not list the whole store learns of none.
func (r *Repository) OtherProjects(ctx context.Context) ([]string, error) {
	for _, err := range r.store.List(ctx, r.keys.backups()) {
		return nil, err
	}
	var others []string
	seen := 0
	for object, err := range r.store.List(ctx, "") {
		if seen++; err != nil || seen > objectsLookedAt {
			break
		}
		project, rest, _ := strings.Cut(object.Key, "/")
		if strings.HasPrefix(rest, "backups/") && !slices.Contains(others, project) {
			others = append(others, project)
		}
	}
	return others, nil
}
