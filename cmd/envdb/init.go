package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/manager"
)

type initOptions struct {
	template, project, store, url, target string
}

// initResult is what init did.
type initResult struct {
	Config     string           `json:"config"`
	Written    bool             `json:"written"`
	Repository string           `json:"repository"`
	Measured   *config.Measured `json:"measured,omitempty"`
}

func newInitCommand(a *app) *cobra.Command {
	var opts initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Measure the source, write a configuration, and prepare the store",
		Long: `Measure the source, write a commented configuration that fits it, and prepare
the store. A configuration that is there already is left as it is.

The configuration names secrets and does not hold them: give the URLs as
env:NAME or file:PATH.

Templates:
  mini   two systems, live and dev
  full   production, production-copy, staging, with every key explained`,
		Example: `  export PROD_DATABASE_URL=postgres://backup@db.example.com/shop
  envdb init --template mini --url env:PROD_DATABASE_URL --store /var/lib/envdb/store`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error { return a.runInit(c.Context(), opts) },
	}
	c.Flags().StringVar(&opts.template, "template", "full", "`mini or full`")
	c.Flags().StringVar(&opts.project, "project", "", "what the store calls it (default: the database's name): `name`")
	c.Flags().StringVar(&opts.store, "store", "./envdb-store", "where backups go: `directory`")
	c.Flags().StringVar(&opts.url, "url", "", "the source: env:`NAME` or file:PATH")
	c.Flags().StringVar(&opts.target, "target", "", "where the copy goes: env:`NAME` or file:PATH")
	return c
}

func (a *app) runInit(ctx context.Context, opts initOptions) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	result := initResult{Config: cmp.Or(a.configPath, os.Getenv("ENVDB_CONFIG"), config.FileName)}
	if _, err := os.Stat(result.Config); errors.Is(err, fs.ErrNotExist) {
		if result.Measured, err = a.writeConfig(ctx, result.Config, opts); err != nil {
			return err
		}
		result.Written = true
	} else if err != nil {
		return err
	}
	c, err := config.Load(result.Config, nil)
	if err != nil {
		return err
	}
	if result.Repository, err = prepareStore(ctx, c); err != nil {
		return err
	}
	return print(a, result, renderInit)
}

// writeConfig measures and writes; the file is only for its owner.
func (a *app) writeConfig(ctx context.Context, path string, opts initOptions) (*config.Measured, error) {
	store, err := filepath.Abs(opts.store)
	if err != nil {
		return nil, err
	}
	measured := config.Measured{Project: opts.project, Store: config.Store{URL: store}, SourceURL: opts.url, TargetURL: opts.target}
	if opts.url != "" {
		url, err := config.Process().ResolveURL(opts.url)
		if err != nil {
			return nil, err
		}
		screen, report := a.progress()
		facts, err := manager.Measure(ctx, url, report)
		screen.Stop()
		if err != nil {
			return nil, err
		}
		measured.Database, measured.ServerVersion, measured.Size, measured.BackupDuration = facts.Database, facts.ServerVersion, facts.Size, facts.BackupDuration
	}
	if measured.Project == "" {
		measured.Project = projectName(measured.Database)
	}
	text, err := config.Render(opts.template, measured)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "write the configuration: %w", err).WithNext("name another file with --config")
	}
	_, err = file.Write(text)
	return &measured, errors.Join(err, file.Close())
}

// projectName returns a name for the store's keys.
func projectName(database string) string {
	if envdb.CheckName(database) == nil {
		return database
	}
	return "main"
}

// prepareStore makes the repository, after it has seen that the store keeps
// its promises.
func prepareStore(ctx context.Context, c *config.Config) (string, error) {
	st, err := openStore(ctx, c)
	if err != nil {
		return "", err
	}
	if err := ledger.Probe(ctx, st); err != nil {
		return "", err
	}
	repository, err := backup.Init(ctx, st, c.Project, backup.InitOptions{})
	if err != nil {
		return "", err
	}
	return repository.ID(), nil
}

func renderInit(w io.Writer, r initResult) {
	if m := r.Measured; m != nil && m.Database != "" {
		fmt.Fprintf(w, "measured %s: %s, PostgreSQL %s; a backup takes about %s\n", m.Database, console.Bytes(m.Size), m.ServerVersion, console.Duration(m.BackupDuration))
	}
	if r.Written {
		fmt.Fprintf(w, "wrote %s\n", r.Config)
	} else {
		fmt.Fprintf(w, "%s is as it was\n", r.Config)
	}
	fmt.Fprintf(w, "the store holds repository %s\nNext: look at %s, then envdb doctor\n", r.Repository, r.Config)
}
