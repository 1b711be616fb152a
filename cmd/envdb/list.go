package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

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
	switch {
	case l.Elsewhere != "":
		fmt.Fprintf(w, "no backups of %s: %s\nNext: %s\n", l.Environment, l.Elsewhere, l.Next)
		return
	case len(l.Backups) == 0:
		fmt.Fprintf(w, "no backups of %s yet\nNext: %s\n", l.Environment, l.Next)
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
		Use:   "versions ENV",
		Short: "List the versions of an environment: live, dark, previous, baseline",
		Long: `List the versions of an environment: the databases that envdb keeps of it.

  STATE     live serves; dark is built and does not serve; previous was live;
            baseline and spare are sealed copies, of which resets are made; aside
            is a database that envdb did not make
  DATA IS   raw: as it was in the source, so a copy of production holds what
            production holds; neutralised: jobs, subscriptions and outbound
            addresses of production were taken out; masked: values were replaced
            by rules; seeded: from migrations and fixtures
  SIZE      on disk; - where the role in the url may not ask for it
  NOT USED, BECAUSE   why no reset is made of a baseline or spare any more`,
		Example: "  envdb versions prod-copy\n  envdb versions prod-copy -o json",
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
	unsized := false
	for _, v := range l.Versions {
		size := "-"
		if v.Size != nil {
			size = console.Bytes(*v.Size)
		}
		unsized = unsized || v.Size == nil
		from := ""
		if v.Source != "" {
			from = v.Source + " as of " + console.Time(v.Point)
		}
		if v.Digest != "" {
			from = seededFrom(v.Digest, v.Labels)
		}
		rows = append(rows, []string{v.Name, string(v.State), dataState(v.Neutrality, v.Masked), from, size, v.Unsealed})
	}
	console.Table(w, []string{"DATABASE", "STATE", "DATA IS", "FROM", "SIZE", "NOT USED, BECAUSE"}, rows)
	if unsized {
		fmt.Fprintln(w, "a size of - is not known: the role in the url may not ask for it (pg_read_all_stats may); it says nothing of the content")
	}
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
		rows = append(rows, []string{e.Name, string(e.Tier), stateText(e), data, dataState(e.Neutrality, e.Masked), newest, strings.Join(append(lifeNotes(e, s.At), e.Notes...), "; ")})
	}
	console.Table(w, []string{"ENVIRONMENT", "TIER", "STATE", "DATA FROM", "DATA IS", "NEWEST BACKUP", "NOTES"}, rows)
	for _, d := range s.Drills {
		fmt.Fprintf(w, "drill %s: %s\n", d.Name, drillText(d, s.At))
	}
	if s.Unknown != "" {
		fmt.Fprintf(w, "which environments were created is not known: %s\n", s.Unknown)
	}
}

// drillText says how a drill stands.
func drillText(d manager.DrillState, now time.Time) string {
	text := "never run"
	if !d.LastPass.IsZero() {
		text = fmt.Sprintf("passed %s, restored and checked in %s", console.Age(now.Sub(d.LastPass)), console.Duration(d.RTO))
	}
	if len(d.Trouble) > 0 && !d.LastRun.IsZero() {
		text = strings.Join(d.Trouble, "; ")
	}
	return text
}

// seededFrom names the inputs of a seed for people.
func seededFrom(digest string, labels map[string]string) string {
	text := fmt.Sprintf("seed %.12s", digest)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text += fmt.Sprintf(" %s=%.12s", name, labels[name])
	}
	return text
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
