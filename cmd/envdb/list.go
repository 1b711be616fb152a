package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newBackupsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "backups ENV",
		Short:   "List the restore points of an environment",
		Example: "  envdb backups prod\n  envdb backups prod -o json",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderBackups, func(ctx context.Context, m *manager.Manager) (*manager.BackupList, error) {
				return m.Backups(ctx, args[0])
			})
		},
	}
}

func renderBackups(w io.Writer, l *manager.BackupList) {
	if len(l.Backups) == 0 {
		fmt.Fprintf(w, "no backups of %s yet\nNext: envdb backup %s\n", l.Environment, l.Environment)
		return
	}
	rows := make([][]string, 0, len(l.Backups))
	for _, b := range l.Backups {
		rows = append(rows, []string{string(b.ID), console.Time(b.Point), console.Bytes(b.LogicalBytes), console.Bytes(b.StoredBytes), b.Release, b.State(), b.Note})
	}
	console.Table(w, []string{"BACKUP", "AS OF", "DATA", "STORED", "RELEASE", "STATE", "NOTE"}, rows)
}

func newVersionsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "versions ENV",
		Short:   "List the versions of an environment: live, dark, previous, baseline",
		Example: "  envdb versions prod-copy",
		Args:    arguments("ENV"),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderVersions, func(ctx context.Context, m *manager.Manager) (*manager.VersionList, error) {
				return m.Versions(ctx, args[0])
			})
		},
	}
}

func renderVersions(w io.Writer, l *manager.VersionList) {
	rows := make([][]string, 0, len(l.Versions))
	for _, v := range l.Versions {
		from := ""
		if v.Source != "" {
			from = v.Source + " as of " + console.Time(v.Point)
		}
		if v.Digest != "" {
			from = seededFrom(v.Digest, v.Labels)
		}
		rows = append(rows, []string{v.Name, string(v.State), dataState(v.Neutrality, v.Masked), from, console.Bytes(v.Size), v.Unsealed})
	}
	console.Table(w, []string{"DATABASE", "STATE", "DATA IS", "FROM", "SIZE", "NOT USED, BECAUSE"}, rows)
}

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show every environment: what is live, from when, and the newest restore point",
		Args:  arguments(),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderStatus, func(ctx context.Context, m *manager.Manager) (*manager.Status, error) {
				return m.Status(ctx)
			})
		},
	}
}

func renderStatus(w io.Writer, s *manager.Status) {
	rows := make([][]string, 0, len(s.Environments))
	for _, e := range s.Environments {
		newest := "none"
		switch {
		case e.Newest != nil:
			newest = console.Age(s.At.Sub(e.Newest.Point))
		case slices.ContainsFunc(e.Notes, func(note string) bool {
			return strings.HasPrefix(note, "store: ") || strings.HasPrefix(note, "backups: ")
		}):
			newest = "unknown" // nobody could look
		}
		data := ""
		if e.State == "up" {
			data = "own"
		}
		if e.DataSource != "" {
			data = fmt.Sprintf("%s, %s", e.DataSource, console.Age(s.At.Sub(e.DataPoint)))
		}
		if e.Digest != "" {
			data = fmt.Sprintf("%s, %s", seededFrom(e.Digest, e.Labels), console.Age(s.At.Sub(e.Seeded)))
		}
		rows = append(rows, []string{e.Name, string(e.Tier), e.State, data, dataState(e.Neutrality, e.Masked), newest, strings.Join(e.Notes, "; ")})
	}
	console.Table(w, []string{"ENVIRONMENT", "TIER", "STATE", "DATA FROM", "DATA IS", "NEWEST BACKUP", "NOTES"}, rows)
}

// seededFrom names the inputs of a seed for people.
func seededFrom(digest string, labels map[string]string) string {
	text := fmt.Sprintf("seed %.12s", digest)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text += fmt.Sprintf(" %s=%.12s", name, labels[name])
	}
	return text
}

func newEnvCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "env",
		Short: "List the environments, or print one's connection string",
	}
	c.AddCommand(&cobra.Command{
		Use:   "list",
		Short: "List the environments of the configuration",
		Args:  arguments(),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderEnvironments, func(_ context.Context, m *manager.Manager) (*manager.EnvironmentList, error) {
				return m.Environments()
			})
		},
	}, &cobra.Command{
		Use:   "url ENV[@VERSION]",
		Short: "Print a connection string for scripts, with its password",
		Long: `Print a connection string for scripts, with its password. With @VERSION (a name
from "envdb versions ENV") it leads to that version, also a dark one.`,
		Example: "  psql \"$(envdb env url prod-copy)\"",
		Args:    arguments("ENV[@VERSION]"),
		RunE: func(c *cobra.Command, args []string) error {
			name, version, _ := strings.Cut(args[0], "@")
			return look(c.Context(), a, func(w io.Writer, u *manager.EnvironmentURL) { fmt.Fprintln(w, u.URL) },
				func(ctx context.Context, m *manager.Manager) (*manager.EnvironmentURL, error) {
					return m.URL(ctx, name, version)
				})
		},
	})
	return needsOneOf(c)
}

func renderEnvironments(w io.Writer, l *manager.EnvironmentList) {
	rows := make([][]string, 0, len(l.Environments))
	for _, e := range l.Environments {
		protected := ""
		if e.Protected {
			protected = "protected"
		}
		rows = append(rows, []string{e.Name, string(e.Tier), protected, e.MirrorFrom, e.URL})
	}
	console.Table(w, []string{"ENVIRONMENT", "TIER", "", "MIRRORS", "URL"}, rows)
}

// look runs a command whose result is all that there is to see, and prints it.
func look[T any](ctx context.Context, a *app, text func(io.Writer, T), read func(context.Context, *manager.Manager) (T, error)) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	result, err := read(ctx, s.manager)
	if err != nil {
		return err
	}
	return print(a, result, text)
}
