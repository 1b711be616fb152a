package cluster

import (
	"context"
	"errors"
	"fmt"
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
	if err := c.deserted(); err != nil {
		return nil, err
	}
	if err := c.occupySocket(); err != nil {
		return nil, err
	}
	if err := c.startSomewhere(ctx, o.Port); err != nil {
		return nil, errors.Join(err, c.vacateSocket())
	}
	return c, nil
}

// deserted fails if a server runs in the cluster, and removes the file that a
// killed one left, which says that it is ready.
func (c *Cluster) deserted() error {
	if pid, _ := readPID(c.Data()); pid > 0 {
		return envdb.Fail(envdb.ErrBusy, "the cluster in %s runs already, as process %d", c.dir, pid).WithNext("wait until who uses it has ended")
	}
	if err := os.Remove(filepath.Join(c.Data(), "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("start the cluster in %s: %w", c.dir, err)
	}
	return nil
}

// Close stops the server and keeps its data for Reopen. It is idempotent.
func (c *Cluster) Close(ctx context.Context) error {
	return errors.Join(c.Stop(ctx), c.vacateSocket())
}
