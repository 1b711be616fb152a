package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newBackupCommand(a *app) *cobra.Command {
	var req manager.BackupRequest
	var dryRun bool
	c := &cobra.Command{
		Use:   "backup ENV",
		Short: "Take a backup of an environment now",
		Long: `Take a backup of an environment now: whole, from one snapshot, with what did not
change since the backup before only referred to. Writers are never made to
wait: if a statement waits for the backup, the backup steps aside.`,
		Example: "  envdb backup prod --note 'before the price change' --pin",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			return a.runBackup(c.Context(), req, dryRun)
		},
	}
	c.Flags().StringVar(&req.Note, "note", "", "a `text` for people: why")
	c.Flags().BoolVar(&req.Pin, "pin", false, "keep it until it is unpinned")
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
