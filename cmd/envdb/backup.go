package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newBackupCommand(a *app) *cobra.Command {
	var req manager.BackupRequest
	var dryRun, burst bool
	c := &cobra.Command{
		Use:   "backup ENV",
		Short: "Take a backup of an environment now",
		Long: `Take a backup of an environment now: whole, from one snapshot, with what did not
change since the backup before only referred to. Writers are never made to
wait: if a statement waits for the backup, the backup steps aside.

--burst, after a risky change: take none now, but let the daemon take backups 1m, 2m,
5m, 10m, 1h, 3h, 6h and 1d from now, whatever the ladder says. They stay until the last
one is a day old. A daemon must run for that.`,
		Example: "  envdb backup prod --note 'before the price change' --pin",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			if burst {
				return a.runBurst(c.Context(), req, dryRun)
			}
			return a.runBackup(c.Context(), req, dryRun)
		},
	}
	c.Flags().StringVar(&req.Note, "note", "", "a `text` for people: why")
	c.Flags().BoolVar(&req.Pin, "pin", false, "keep it until it is unpinned")
	c.Flags().BoolVar(&burst, "burst", false, "let the daemon take a dense sequence of backups, beginning a minute from now")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	return c
}

func (a *app) runBackup(ctx context.Context, req manager.BackupRequest, dryRun bool) error {
	return planned(ctx, a, dryRun, renderBackup,
		func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanBackup(ctx, req) },
		func(ctx context.Context, m *manager.Manager) (*manager.BackupResult, error) {
			return m.Backup(ctx, req)
		})
}

func (a *app) runBurst(ctx context.Context, req manager.BackupRequest, dryRun bool) error {
	if req.Pin || req.Note != "" {
		return envdb.Fail(envdb.ErrMisuse, "--burst takes no backup itself: --pin and --note have nothing to go with").WithNext("leave them out")
	}
	return planned(ctx, a, dryRun, renderBurst,
		func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) {
			return m.PlanBurst(ctx, req.Environment)
		},
		func(ctx context.Context, m *manager.Manager) (*manager.BurstResult, error) {
			return m.Burst(ctx, req.Environment)
		})
}

func renderBurst(w io.Writer, r *manager.BurstResult) {
	fmt.Fprintf(w, "a burst of backups of %s has begun; they are due at\n", r.Environment)
	for _, at := range r.Due {
		fmt.Fprintf(w, "  %s\n", console.Time(at))
	}
	fmt.Fprintln(w, "a daemon takes them (`envdb daemon`): without one nothing does")
}

func renderBackup(w io.Writer, r *manager.BackupResult) {
	t := r.Totals
	fmt.Fprintf(w, "backup %s of %s, as of %s\n", r.ID, r.Environment, console.Time(r.Point))
	fmt.Fprintf(w, "  %s with all definitions: %s, %s; stored %s%s, in %s\n",
		console.Bytes(t.LogicalBytes), counted(int64(t.Tables), "table"), counted(t.Rows, "row"), console.Bytes(t.StoredBytes), renderDedup(r), console.Duration(r.Elapsed))
	renderCode(w, r.Release, r.Migration)
	if r.Pinned {
		fmt.Fprintln(w, "  pinned")
	}
}

// renderDedup says how little of the data was new.
func renderDedup(r *manager.BackupResult) string {
	if r.Base == "" || r.Totals.LogicalBytes == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f%% was new since %s)", 100*float64(r.Totals.NewBytes)/float64(r.Totals.LogicalBytes), r.Base)
}
