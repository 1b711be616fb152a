package manager

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/postgres/cluster"
)

// Rebuilding is what is asked of a process that has nothing but the bucket, a key
// and the configuration.
type Rebuilding struct {
	Environment string
	Backup      envdb.BackupID
	Onto        envdb.ConnString
	// Home is an empty directory, and the process's only one.
	Home string
	// Identity names the key, as in the configuration; empty takes the
	// configuration's own.
	Identity string
}

// attemptEarthquake restores onto an empty cluster, by another process with an
// empty home, and checks what came of it. The target keeps its name only: its
// server is not touched.
func (d *rehearsal) attemptEarthquake(ctx context.Context, catalogue *logical.Catalogue, v *restored) (err error) {
	if d.m.onEmpty == nil {
		return envdb.Fail(envdb.ErrPreflight, "the earthquake needs the program envdb").WithState("nothing was changed").WithNext("envdb drill --scenario earthquake")
	}
	dir, err := os.MkdirTemp("", "envdb-earthquake-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // the server may be another user's
		return err
	}
	d.phase("start an empty cluster", true)
	c, err := cluster.Create(ctx, cluster.Options{Dir: filepath.Join(dir, "cluster"), Settings: map[string]string{
		"fsync": "on", "max_logical_replication_workers": "0", // no subscription of production may run here
	}})
	if err != nil {
		return envdb.Fail(envdb.ErrPreflight, "start an empty cluster: %w", err).WithState("nothing was changed").WithNext("install PostgreSQL's server on the machine that runs the drill: apt install postgresql")
	}
	defer func() { err = joinCleanup(err, ctx, c.Stop) }()
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	name := catalogue.Database.Name
	url := c.URL(name)
	d.phase("restore from the bucket", true)
	if err := d.m.onEmpty(ctx, Rebuilding{Environment: d.From, Backup: d.backup.ID(), Onto: url, Home: home, Identity: d.Identity}); err != nil {
		return fmt.Errorf("restore with an empty home: %w", err)
	}
	v.dark = &generation.Dark{Version: generation.Version{Name: name}, URL: url}
	v.loaded, v.building.harmless = &logical.Loaded{}, false
	for _, t := range catalogue.Tables {
		d.report.Rows, d.report.Bytes = d.report.Rows+t.Rows, d.report.Bytes+t.Bytes
	}
	d.phase("check", true)
	conn, err := d.lookInto(ctx, v)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d.report.Target += ", an empty cluster"
	if err := d.checkRoles(ctx, v); err != nil {
		return err
	}
	if err := d.check(ctx, v, conn); err != nil {
		return err
	}
	d.report.Measured.RTO = d.m.now().Sub(d.asked)
	d.phase("discard", false)
	return nil
}

// checkRoles looks whether every role of the backup is there.
func (d *rehearsal) checkRoles(ctx context.Context, v *restored) error {
	return d.timed("roles", func() (drill.Check, error) {
		c := drill.Check{Outcome: drill.Pass, Covers: counted(len(d.backup.Manifest.Roles), "role"), Reason: "backups hold no passwords: whoever rebuilds sets them"}
		conn, err := lookInto(ctx, d.x, v.dark)
		if err != nil {
			return c, err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		for _, role := range d.backup.Manifest.Roles {
			var there bool
			if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)", role.Name).Scan(&there); err != nil {
				return c, postgres.Explain(err, "look for the roles")
			}
			if !there {
				c.Find("role " + postgres.Quote(role.Name) + " is missing")
			}
		}
		return c, nil
	})
}
