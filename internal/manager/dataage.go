package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb"
)

// LivePoint returns the moment whose data the live version of an environment
// holds, where it is a copy. It connects to the server.
func (m *Manager) LivePoint(ctx context.Context, name string) (point time.Time, copied bool, err error) {
	env, err := m.environment(ctx, name)
	if err != nil {
		return time.Time{}, false, err
	}
	versions, err := m.versionsOf(ctx, env)
	if err != nil {
		return time.Time{}, false, err
	}
	for _, v := range versions {
		if v.State == envdb.Live && v.Marker != nil && !v.Marker.Point.IsZero() {
			return v.Marker.Point, true, nil
		}
	}
	return time.Time{}, false, nil
}

// Reachable reports whether the store answers and holds a repository that can be
// opened, with one small request.
func (m *Manager) Reachable(ctx context.Context) error {
	if _, err := m.open(ctx); err != nil {
		return err
	}
	_, err := m.ledger.Holders(ctx, m.config.Names()[0])
	return err
}
