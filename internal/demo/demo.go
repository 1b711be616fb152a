// Package demo shows envdb at work on two throwaway clusters: production's,
// with a shop in it, and everyone else's; and, if wanted, on an S3 server.
//
// The one idea in it: the demo does nothing of its own. It types the commands
// that a person would type, shows them, and lets the real command line run.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres/cluster"
	"github.com/envdb/envdb/internal/store/gateway"
)

// Options say how the demo runs.
type Options struct {
	// Dir is where everything lives; it must not exist yet or be empty.
	Dir string
	// Keep leaves the clusters and the store for the person to play with.
	Keep bool
	// Command runs one envdb command line against the demo's configuration.
	Command func(ctx context.Context, args ...string) error
	// S3 keeps the store in a bucket of an S3 server of the demo's own.
	S3 bool
	// Setenv sets a variable for the commands: the keys of that server.
	Setenv func(name, value string) error
	// Program is how the person would type envdb, e.g. "bin/envdb".
	Program string
	Out     io.Writer
}

// Demo is a demo that runs.
type demo struct {
	Options
	production, everyone *cluster.Cluster
	server               *gateway.Gateway // nil without S3
	started              time.Time
	chapters             int
}

// ConfigFile returns the path of the demo's configuration below dir.
func ConfigFile(dir string) string { return filepath.Join(dir, "envdb.yaml") }

// Run runs the demo, and cleans up unless it is to be kept.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{Options: o, started: time.Now()}
	program, err := d.s3Program()
	if err != nil {
		return err
	}
	if err := d.occupy(); err != nil {
		return err
	}
	defer func() {
		if o.Keep && err == nil {
			return
		}
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, d.remove(cleanup))
	}()
	startStore := func(ctx context.Context) error { return d.startStore(ctx, program) }
	for _, act := range []func(context.Context) error{d.startClusters, startStore, d.fillShop, d.takeBackups, d.mirrorBoth, d.breakAndGoBack, d.seedOthers, d.breakAndReset, d.mirrorMasked, d.lookAround, d.rehearse} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.farewell()
	return nil
}

// occupy makes the directory, and refuses one that holds anything.
func (d *demo) occupy() error {
	entries, err := os.ReadDir(d.Dir)
	if err == nil && len(entries) > 0 {
		p := envdb.Fail(envdb.ErrPreflight, "%s is not empty", d.Dir).WithState("nothing was changed")
		if _, err := os.Stat(ConfigFile(d.Dir)); err != nil {
			return p.WithNext("name another directory with --dir")
		}
		return p.WithNext("%s demo --stop --dir %s ends the demo that was kept there; or name another --dir", d.Program, d.Dir)
	}
	if err := os.MkdirAll(d.Dir, 0o711); err != nil {
		return fmt.Errorf("demo directory: %w", err)
	}
	return nil
}

func (d *demo) remove(ctx context.Context) error {
	var errs []error
	for _, c := range []*cluster.Cluster{d.production, d.everyone} {
		if c != nil {
			errs = append(errs, c.Destroy(ctx))
		}
	}
	if d.server != nil {
		errs = append(errs, d.server.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(d.Dir))...)
}

// chapter prints what comes now.
func (d *demo) chapter(format string, args ...any) {
	d.chapters++
	fmt.Fprintf(d.Out, "\n── %d. %s\n", d.chapters, fmt.Sprintf(format, args...))
}

// say prints a line of the story.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "   %s\n", fmt.Sprintf(format, args...))
}

// envdb shows a command line and runs it.
func (d *demo) envdb(ctx context.Context, args ...string) error {
	fmt.Fprintf(d.Out, "\n$ envdb %s\n", typed(args))
	if err := d.Command(ctx, args...); err != nil {
		return fmt.Errorf("envdb %s: %w", typed(args), err)
	}
	return nil
}
