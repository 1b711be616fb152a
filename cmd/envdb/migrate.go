package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newMigrateCommand(a *app) *cobra.Command {
	var req manager.MigrateRequest
	var to int64
	var dryRun bool
	c := &cobra.Command{
		Use:   "migrate ENV",
		Short: "Bring the schema of what is live up or down, after a backup",
		Long: `Bring the schema of what is live up or down, after a backup.

The backup is taken first and pinned, so that there is a way back from something
big. Then the migrations run in the live database, and the checks. If anything
fails, the error names the backup and the command that goes back to it.

For production, type its name again: --confirm ENV.`,
		Example: `  envdb migrate staging
  envdb migrate staging --to 20261101120000
  envdb migrate prod --dry-run
  envdb migrate prod --confirm prod`,
		Args: arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment = args[0]
			if c.Flags().Changed("to") {
				req.To = &to
			}
			return a.runMigrate(c.Context(), req, dryRun)
		},
	}
	c.Flags().Int64Var(&to, "to", 0, "go to this `version`, up or down; 0 takes every migration back")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "print the plan, and do nothing")
	c.Flags().StringVar(&req.Confirm, "confirm", "", "`ENV` again, to migrate a protected environment")
	return c
}

func (a *app) runMigrate(ctx context.Context, req manager.MigrateRequest, dryRun bool) error {
	return planned(ctx, a, dryRun, renderMigrated,
		func(ctx context.Context, m *manager.Manager) (*manager.Plan, error) { return m.PlanMigrate(ctx, req) },
		func(ctx context.Context, m *manager.Manager) (*manager.MigrateResult, error) {
			return m.Migrate(ctx, req)
		})
}

func renderMigrated(w io.Writer, r *manager.MigrateResult) {
	fmt.Fprintf(w, "%s is migrated: %s", r.Environment, counted(int64(r.Applied), "migration"))
	if r.Version != 0 || r.From != 0 {
		fmt.Fprintf(w, ", version %d (was %d)", r.Version, r.From)
	}
	fmt.Fprintf(w, ", in %s\n", console.Duration(r.Elapsed))
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	if r.Back != "" {
		fmt.Fprintf(w, "  backup %s holds it as it was before, and is pinned\nBack: %s\n", r.Backup, r.Back)
	}
}
