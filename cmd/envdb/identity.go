package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/manager"
)

func newIdentityCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "identity",
		Short: "Show or accept who a protected server says it is",
		Long: `envdb remembers who each protected database is (the cluster's system identifier
and the database's oid), so that no other URL can lead a mirror into it, even
while it does not answer. After a planned move of production to a new cluster,
accept its new identity.`,
		Example: "  envdb identity show prod\n  envdb identity accept prod",
	}
	c.AddCommand(&cobra.Command{
		Use:   "show ENV",
		Short: "Show the recorded identity and the one the server gives now",
		Args:  arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderIdentity, func(ctx context.Context, m *manager.Manager) (*manager.IdentityReport, error) {
				return m.Identity(ctx, args[0])
			})
		},
	}, &cobra.Command{
		Use:   "accept ENV",
		Short: "Record the identity that the server gives now",
		Args:  arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderIdentity, func(ctx context.Context, m *manager.Manager) (*manager.IdentityReport, error) {
				return m.AcceptIdentity(ctx, args[0])
			})
		},
	})
	return needsOneOf(c)
}

func renderIdentity(w io.Writer, r *manager.IdentityReport) {
	if r.Recorded == nil {
		fmt.Fprintf(w, "recorded: none\n")
	} else {
		fmt.Fprintf(w, "recorded: cluster %s, database %q (oid %d)\n", r.Recorded.SystemIdentifier, r.Recorded.Database, r.Recorded.DatabaseOID)
	}
	if r.Now == nil {
		fmt.Fprintf(w, "now:      %s\n", r.Unreachable)
		return
	}
	fmt.Fprintf(w, "now:      cluster %s, database %q (oid %d)\n", r.Now.SystemIdentifier, r.Now.Database, r.Now.DatabaseOID)
	if !r.Matches() {
		fmt.Fprintf(w, "they differ\nNext: if %s was moved on purpose, envdb identity accept %s\n", r.Environment, r.Environment)
	}
}
