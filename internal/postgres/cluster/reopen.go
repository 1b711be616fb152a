package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/envdb/envdb"
)

// Reopen starts a cluster that Create made in o.Dir, in this process or an
// earlier one, and that was stopped since. The password must be the one it was
// made with; settings and port may be others.
func Reopen(ctx context.Context, o Options) (*Cluster, error) {
	c, err := plan(o)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(c.Data(), "PG_VERSION")); err != nil {
		return nil, envdb.Fail(envdb.ErrNotFound, "start the cluster in %s: %w", c.dir, err).WithNext("make it anew")
	}
	if err := c.occupySocket(); err != nil {
		return nil, err
	}
	if err := c.startSomewhere(ctx, o.Port); err != nil {
		return nil, errors.Join(err, c.vacateSocket())
	}
	return c, nil
}
