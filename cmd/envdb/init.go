package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
)

type initOptions struct {
	template, project, url, target string
	noEncryption                   bool
	recoveryFile                   string

	store     config.Store
	pathStyle bool
	flags     *pflag.FlagSet
}

// initResult is what init did.
type initResult struct {
	Config     string            `json:"config"`
	Written    bool              `json:"written"`
	Repository string            `json:"repository,omitempty"`
	Encryption backup.Encryption `json:"encryption"`
	// Identity is the reference to this machine's key; IdentityWritten says
	// that init made it.
	Identity        string `json:"identity,omitempty"`
	IdentityWritten bool   `json:"identity_written,omitempty"`
	// RecoveryKey is a secret, given once, or in RecoveryFile.
	RecoveryKey  string           `json:"recovery_key,omitempty"`
	RecoveryFile string           `json:"recovery_file,omitempty"`
	Measured     *config.Measured `json:"measured,omitempty"`

	pinned bool // the configuration has the data key's id
}

func newInitCommand(a *app) *cobra.Command {
	var opts initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Measure the source, write a configuration, and prepare the store",
		Long: `Measure the source, write a commented configuration that fits it, and prepare
the store. A configuration that is there already is left as it is.

The store is a directory or a bucket. S3's credentials come from where AWS's own
tools look for them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, or the
role of the machine. The bucket must be there.

Backups are encrypted. init makes a key for this machine, in ` + config.IdentityFile + ` beside
the configuration, and a recovery key, which it shows once: keep that one where
it outlives this machine. Without any key nobody reads the backups.

The configuration names secrets and does not hold them: give the URLs as
env:NAME or file:PATH.

Templates:
  mini   two systems, live and dev
  full   prod and prod-copy, with their other keys in comments; and staging, qa
         and one test environment per branch, to uncomment. docs/configuration.md
         has every key`,
		Example: `  export PROD_DATABASE_URL=postgres://backup@db.example.com/shop
  envdb init --template mini --url env:PROD_DATABASE_URL --store /var/lib/envdb/store
  envdb init --url env:PROD_DATABASE_URL --store s3://acme-backups/envdb --endpoint https://s3.example.com --region eu-1`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error {
			opts.flags = c.Flags()
			return a.runInit(c.Context(), opts)
		},
	}
	f := c.Flags()
	f.StringVar(&opts.template, "template", "full", "the `name` of the template: mini or full")
	f.StringVar(&opts.project, "project", "", "the `name` that the store knows it by (default: the database's name)")
	f.StringVar(&opts.url, "url", "", "the source: `env:NAME` or file:PATH")
	f.StringVar(&opts.target, "target", "", "where the copy goes: `env:NAME` or file:PATH")
	f.StringVar(&opts.store.URL, "store", "./envdb-store", "where backups go: a directory or `s3://bucket/prefix`")
	f.StringVar(&opts.store.Endpoint, "endpoint", "", "the `URL` of the S3 service, if it is not AWS's")
	f.StringVar(&opts.store.Region, "region", "", "the bucket's `region`")
	f.StringVar(&opts.store.Profile, "profile", "", "the `kind` of S3 service, if envdb is not to find it out: aws, r2, b2, ceph, minio, versitygw or generic")
	f.BoolVar(&opts.pathStyle, "path-style", false, "the bucket stands in the path of requests, not in the host's name")
	f.StringVar(&opts.store.SingleWriter, "single-writer", "", "a `name` for the one machine that writes, for a service without conditional writes")
	f.BoolVar(&opts.noEncryption, "no-encryption", false, "store backups as they are; this cannot be changed later")
	f.StringVar(&opts.recoveryFile, "recovery-file", "", "write the recovery key into a new `file` instead of showing it")
	return c
}

func (a *app) runInit(ctx context.Context, opts initOptions) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	if opts.flags.Changed("path-style") {
		opts.store.PathStyle = &opts.pathStyle
	}
	s, err := a.newSetup(ctx, opts)
	if err != nil {
		return err
	}
	err = s.prepare(ctx)
	// A recovery key is given out even if what follows fails: nobody sees it again.
	if err != nil && (a.output != "json" || s.result.RecoveryKey == "") {
		return err
	}
	return errors.Join(err, print(a, s.result, renderInit))
}

// newSetup reads the configuration that is there, or drafts one.
func (a *app) newSetup(ctx context.Context, opts initOptions) (*setup, error) {
	path := cmp.Or(a.configPath, os.Getenv("ENVDB_CONFIG"), config.FileName)
	s := &setup{app: a, opts: opts, result: initResult{Config: path}}
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.draft(ctx)
	case err != nil:
		return nil, err
	}
	if s.config, err = config.Load(path, nil); err != nil {
		return nil, err
	}
	return s, s.agree(path + ", which is left as it is")
}

// agree refuses flags that say something else than the configuration with its
// variables does: they would be ignored.
func (s *setup) agree(with string) error {
	if s.opts.noEncryption && s.config.Encryption().Configured {
		return disagreement(with, "no-encryption", "encryption")
	}
	have, err := s.config.Store()
	if err != nil {
		return err
	}
	want, err := s.wantedStore()
	if err != nil {
		return err
	}
	for _, c := range []struct {
		flag, key  string
		have, want any
	}{
		{"store", "url", have.URL, want.URL},
		{"endpoint", "endpoint", have.Endpoint, want.Endpoint},
		{"region", "region", have.Region, want.Region},
		{"profile", "profile", have.Profile, want.Profile},
		{"path-style", "path_style", have.PathStyle != nil && *have.PathStyle, s.opts.pathStyle},
		{"single-writer", "single_writer", have.SingleWriter, want.SingleWriter},
	} {
		if s.opts.flags.Changed(c.flag) && c.have != c.want {
			return disagreement(with, c.flag, c.key)
		}
	}
	return nil
}

func disagreement(with, flag, key string) error {
	return envdb.Fail(envdb.ErrMisuse, "--%s contradicts store.%s in %s", flag, key, with).
		WithState("nothing was changed").WithNext("leave --%s out, or change what it contradicts, or name another configuration with --config", flag)
}

func renderInit(w io.Writer, r initResult) {
	if m := r.Measured; m != nil && m.Database != "" {
		fmt.Fprintf(w, "measured %s: %s, PostgreSQL %s; a backup takes about %s\n", m.Database, console.Bytes(m.Size), m.ServerVersion, console.Duration(m.BackupDuration))
	}
	if r.IdentityWritten {
		fmt.Fprintf(w, "this machine's key is in %s; keep it out of version control\n", r.Identity[len("file:"):])
	}
	if r.RecoveryFile != "" {
		fmt.Fprintf(w, "the recovery key is in %s; move it to where it outlives this machine\n", r.RecoveryFile)
	}
	if r.Written {
		fmt.Fprintf(w, "wrote %s\n", r.Config)
	} else {
		fmt.Fprintf(w, "%s is as it was\n", r.Config)
	}
	fmt.Fprintf(w, "the store holds repository %s, %s\n", r.Repository, encryptionWords(r.Encryption))
	if !r.pinned && r.Encryption.KeyID != "" {
		fmt.Fprintf(w, "to refuse any other data key, write key_id: %q below store.encryption\n", r.Encryption.KeyID)
	}
	fmt.Fprintf(w, "Next: look at %s, then envdb doctor\n", r.Config)
}

// encryptionWords says how a repository is encrypted.
func encryptionWords(e backup.Encryption) string {
	if e.Mode == backup.NotEncrypted {
		return "not encrypted"
	}
	return fmt.Sprintf("encrypted (data key %s)", e.KeyID)
}
