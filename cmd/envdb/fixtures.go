package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/manager"
)

func newFixturesCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "fixtures",
		Short: "Write rows of an environment as fixtures",
	}
	var req manager.DumpRequest
	dump := &cobra.Command{
		Use:   "dump ENV[@VERSION]",
		Short: "Write rows of an environment as fixtures",
		Long: `Write rows of an environment as fixtures: a YAML file for each table, with the
rows of one moment in the order of the primary key. Loading the files gives the
same rows.`,
		Example: `  envdb fixtures dump qa --tables customers,orders --dir fixtures
  envdb fixtures dump qa --dir fixtures --overwrite`,
		Args: arguments("ENV[@VERSION]"),
		RunE: func(c *cobra.Command, args []string) error {
			req.Environment, req.Version, _ = strings.Cut(args[0], "@")
			return look(c.Context(), a, renderDumped, func(ctx context.Context, m *manager.Manager) (*manager.DumpResult, error) {
				return m.DumpFixtures(ctx, req)
			})
		},
	}
	dump.Flags().StringSliceVar(&req.Tables, "tables", nil, "the `tables`, with commas; without it every table")
	dump.Flags().StringVarP(&req.Dir, "dir", "d", "fixtures", "the `directory` that the files go into")
	dump.Flags().BoolVar(&req.Overwrite, "overwrite", false, "replace files that are there")
	c.AddCommand(dump)
	return needsOneOf(c)
}

func renderDumped(w io.Writer, r *manager.DumpResult) {
	for _, file := range r.Files {
		fmt.Fprintln(w, file)
	}
	if r.Warning != "" {
		fmt.Fprintf(w, "note: %s\n", r.Warning)
	}
}
