package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/store/gateway"
)

// Where the store lives below the demo's directory.
const (
	storeDir    = "store"
	serverDir   = "s3"
	bucket      = "envdb-demo"
	recoveryKey = "recovery-key.txt"
)

// s3Program returns the S3 server's program, "" if there is to be none.
func (d *demo) s3Program() (string, error) {
	if !d.S3 {
		return "", nil
	}
	if d.Keep {
		return "", envdb.Fail(envdb.ErrMisuse, "--keep does not go with --s3: the S3 server ends with the demo").
			WithState("nothing was changed").WithNext("leave one of them out")
	}
	return gateway.Find()
}

// startStore prepares the store, in a bucket if wanted.
func (d *demo) startStore(ctx context.Context, program string) error {
	if d.S3 {
		if err := d.startServer(ctx, program); err != nil {
			return err
		}
	}
	d.chapter("A store for the backups, encrypted, with a key for this machine and one for recovery")
	if err := os.WriteFile(ConfigFile(d.Dir), []byte(d.config()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := d.envdb(ctx, "init", "--recovery-file", filepath.Join(d.Dir, recoveryKey)); err != nil {
		return err
	}
	return d.envdb(ctx, "key", "list")
}

// startServer starts an S3 server that only this demo has the keys of.
func (d *demo) startServer(ctx context.Context, program string) (err error) {
	d.chapter("An S3 server, on this machine alone, with keys made for it")
	began := time.Now()
	dir := filepath.Join(d.Dir, serverDir)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	if d.server, err = gateway.Start(ctx, gateway.Options{Program: program, Dir: dir}); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	if err := d.server.CreateBucket(bucket); err != nil {
		return err
	}
	for _, variable := range d.server.Env() {
		name, value, _ := strings.Cut(variable, "=")
		if err := d.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	d.say("versitygw at %s, with the bucket %s (%s)", d.server.URL(), bucket, console.Duration(time.Since(began)))
	return nil
}

// storeConfig is the section "store" of the configuration.
func (d *demo) storeConfig() string {
	if d.server == nil {
		return "  url: " + filepath.Join(d.Dir, storeDir)
	}
	return fmt.Sprintf("  url: s3://%s/envdb\n  endpoint: %s\n  region: %s\n  profile: versitygw", bucket, d.server.URL(), gateway.Region)
}

// objects is the directory in which the store's objects lie as files; the S3
// server keeps them so too.
func (d *demo) objects() string {
	if d.server == nil {
		return filepath.Join(d.Dir, storeDir)
	}
	return filepath.Join(d.Dir, serverDir, "buckets", bucket, "envdb")
}
