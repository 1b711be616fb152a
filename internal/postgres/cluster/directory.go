package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/envdb/envdb"
)

// longestSocket is how long a socket's path may be on Linux; elsewhere it is
// 103. PostgreSQL appends "/.s.PGSQL.<port>" to the directory, and ".lock".
const longestSocket = 103

// socketPrefix begins the names of socket directories under /tmp.
const socketPrefix = "envdb-socket-"

// occupy makes the cluster's directories and gives them to its account.
func (c *Cluster) occupy() error {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o755); err != nil {
		return fmt.Errorf("cluster directory: %w", err)
	}
	if err := c.account.reaches(c.dir); err != nil {
		return err
	}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("cluster directory: %w", err)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("cluster directory: %w", err)
	}
	if len(entries) > 0 {
		return envdb.Fail(envdb.ErrRefused, "%s is not empty: a new cluster needs a directory of its own", c.dir).
			WithState("nothing was changed").
			WithNext("remove it, or name another directory")
	}
	if err := c.account.own(c.dir); err != nil {
		return fmt.Errorf("cluster directory: %w", err)
	}
	return c.occupySocket()
}

// occupySocket chooses the directory of the socket: the cluster's own, or a
// short one under /tmp if that path is too long for a socket.
func (c *Cluster) occupySocket() error {
	c.socketDir = c.dir
	if len(c.dir)+len("/.s.PGSQL.65535") <= longestSocket {
		return nil
	}
	dir, err := os.MkdirTemp("/tmp", socketPrefix)
	if err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	c.socketDir = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	return c.account.own(dir)
}

// vacate removes the cluster's directories.
func (c *Cluster) vacate() error {
	if err := c.vacateSocket(); err != nil {
		return err
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove cluster: %w", err)
	}
	return nil
}

// vacateSocket removes a socket directory outside of the cluster's own.
func (c *Cluster) vacateSocket() error {
	if c.socketDir == c.dir || c.socketDir == "" {
		return nil
	}
	if err := os.RemoveAll(c.socketDir); err != nil {
		return fmt.Errorf("remove socket directory: %w", err)
	}
	return nil
}
