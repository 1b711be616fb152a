package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/demo"
)

type demoOptions struct {
	dir        string
	keep, stop bool
	s3         bool
}

func newDemoCommand(a *app) *cobra.Command {
	var opts demoOptions
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on two throwaway clusters",
		Long: `Start two throwaway PostgreSQL clusters, fill one with a shop, back it up, change
it, back it up again, mirror it as of both moments, break the copy, and roll it
back: with the same commands that you would type.

Needs PostgreSQL's server programs on this machine, and nothing else. With --s3
the backups lie in a bucket of versitygw, an S3 server that is started for the
demo; ENVDB_VERSITYGW or PATH leads to it, and make demo ARGS=--s3 builds it.`,
		Example: "  envdb demo\n  envdb demo --s3        and keep the backups in a bucket\n  envdb demo --keep      and play with it\n  envdb demo --stop      end a demo that was kept",
		Args:    arguments(),
		RunE:    func(c *cobra.Command, args []string) error { return a.runDemo(c.Context(), opts) },
	}
	c.Flags().StringVar(&opts.dir, "dir", filepath.Join(os.TempDir(), "envdb-demo"), "the `directory` where everything lives")
	c.Flags().BoolVar(&opts.keep, "keep", false, "leave the clusters running and the store in place")
	c.Flags().BoolVar(&opts.s3, "s3", false, "keep the backups in a bucket of an S3 server of the demo's own")
	c.Flags().BoolVar(&opts.stop, "stop", false, "end a demo that was kept, and remove it")
	return c
}

func (a *app) runDemo(ctx context.Context, opts demoOptions) error {
	dir, err := filepath.Abs(opts.dir)
	if err != nil {
		return err
	}
	if opts.stop {
		return demo.Stop(ctx, dir, a.stdout)
	}
	program, err := os.Executable()
	if err != nil {
		program = "envdb"
	}
	return demo.Run(ctx, demo.Options{
		Dir: dir, Keep: opts.keep, S3: opts.s3, Setenv: os.Setenv, Out: a.stdout, Program: program,
		Command: func(ctx context.Context, args ...string) error {
			inner := newRootCommand(&app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr})
			inner.SetArgs(append([]string{"--quiet", "--config", demo.ConfigFile(dir)}, args...))
			return inner.ExecuteContext(ctx)
		},
	})
}
