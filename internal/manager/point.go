package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/restore"
)

// resolve finds the backup that answers a point.
func (m *Manager) resolve(ctx context.Context, repository *backup.Repository, env string, at envdb.Point) (backup.Backup, error) {
	found, err := repository.List(ctx, env)
	if err != nil {
		return backup.Backup{}, err
	}
	answer, err := restore.Resolve(found, at)
	if err != nil {
		return backup.Backup{}, fmt.Errorf("%s: %w", env, err)
	}
	return answer, nil
}
