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

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/manager"
)

func newEnvCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "env",
		Short: "List the environments, print one's connection string, protect one for a time",
	}
	c.AddCommand(newEnvListCommand(a), newEnvURLCommand(a), newEnvProtectCommand(a))
	return needsOneOf(c)
}

func newEnvListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the environments of the configuration, and those that were created",
		Long: `List the environments of the configuration, and those that were created, with what
is left of their lives: "6d4h left" until the ttl of their pattern is over, and
"idle 5h00m of 2d0h" where it has idle. Whether anybody came is observed by
"envdb destroy --expired" and nothing else; this list asks the store and no server.
With -o json: expires, last_used, use_observed, idle_due.`,
		Args: arguments(),
		RunE: func(c *cobra.Command, args []string) error {
			return look(c.Context(), a, renderEnvironments, func(ctx context.Context, m *manager.Manager) (*manager.EnvironmentList, error) {
				return m.Environments(ctx)
			})
		},
	}
}

func newEnvURLCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "url ENV[@VERSION]",
		Short: "Print a connection string for scripts, with its password",
		Long: `Print a connection string for scripts, with its password. With @VERSION (a name,
an id or a state of "envdb versions ENV") it leads to that version, also a dark
one; not to a baseline or a spare, which nobody can connect to.`,
		Example: "  psql \"$(envdb env url prod-copy)\"\n  psql \"$(envdb env url prod-copy@previous)\"",
		Args:    arguments("ENV[@VERSION]"),
		RunE: func(c *cobra.Command, args []string) error {
			name, version, _ := strings.Cut(args[0], "@")
			return look(c.Context(), a, func(w io.Writer, u *manager.EnvironmentURL) { fmt.Fprintln(w, u.URL) },
				func(ctx context.Context, m *manager.Manager) (*manager.EnvironmentURL, error) {
					return m.URL(ctx, name, version)
				})
		},
	}
}

func newEnvProtectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "protect NAME SPAN|off",
		Short: "Keep an environment that was created from being destroyed for a time",
		Long: `Keep an environment that was created from being destroyed, by a person or because
its time is over, for SPAN from now: 2d, 1w. Another SPAN takes the place of the
one before; off ends the protection.`,
		Example: "  envdb env protect test-feature-x 2d\n  envdb env protect test-feature-x off",
		Args:    arguments("NAME", "SPAN|off"),
		RunE: func(c *cobra.Command, args []string) error {
			req := manager.ProtectRequest{Environment: args[0]}
			if args[1] != "off" {
				span, err := positive(args[1])
				if err != nil {
					return err
				}
				req.For = span
			}
			return look(c.Context(), a, renderProtected, func(ctx context.Context, m *manager.Manager) (*manager.EnvironmentLine, error) {
				return m.Protect(ctx, req)
			})
		},
	}
}

// positive reads a span of time that is more than none.
func positive(text string) (time.Duration, error) {
	span, err := envdb.ParseDuration(text)
	if err == nil && span == 0 {
		err = envdb.Fail(envdb.ErrMisuse, "duration %q is none", text).WithNext("write for how long, e.g. 2d")
	}
	return span, err
}

func renderProtected(w io.Writer, e *manager.EnvironmentLine) {
	if e.ProtectedUntil == nil {
		fmt.Fprintf(w, "%s is not protected\n", e.Name)
		return
	}
	fmt.Fprintf(w, "%s is protected until %s\n", e.Name, console.Time(*e.ProtectedUntil))
}

func renderEnvironments(w io.Writer, l *manager.EnvironmentList) {
	rows := make([][]string, 0, len(l.Environments))
	for _, e := range l.Environments {
		rows = append(rows, []string{e.Name, string(e.Tier), protectionText(e), e.MirrorFrom, lifeText(e, l.At), labelText(e.Labels), e.URL})
	}
	console.Table(w, []string{"ENVIRONMENT", "TIER", "", "MIRRORS", "LIFE", "LABELS", "URL"}, rows)
	if len(l.Patterns) > 0 {
		fmt.Fprintf(w, "patterns: %s (envdb create NAME)\n", strings.Join(l.Patterns, ", "))
	}
	if l.Unknown != "" {
		fmt.Fprintf(w, "which environments were created is not known: %s\n", l.Unknown)
	}
}

// protectionText says whether an environment can be overwritten or destroyed.
func protectionText(e manager.EnvironmentLine) string {
	switch {
	case !e.Protected:
		return ""
	case e.ProtectedUntil != nil:
		return "protected until " + console.Time(*e.ProtectedUntil)
	}
	return "protected"
}

// lifeText says how far one that comes and goes is, and how long it has left.
func lifeText(e manager.EnvironmentLine, now time.Time) string {
	var words []string
	if e.State != "declared" && e.State != "created" {
		words = append(words, e.State)
	}
	switch {
	case e.Pattern == "":
	case e.Expires == nil:
		words = append(words, "stays")
	default:
		words = append(words, leftText(*e.Expires, now))
	}
	if idle := idleText(e, now); idle != "" && e.State == "created" {
		words = append(words, idle)
	}
	return strings.Join(words, ", ")
}

// lookedLately is how old a look at an environment may be that goes without
// saying: what makes them is called every hour.
const lookedLately = 2 * time.Hour

// idleText says for how long nobody came, of how long that may be, and when
// anyone looked if that was not lately.
func idleText(e manager.EnvironmentLine, now time.Time) string {
	switch {
	case e.Idle == 0:
		return ""
	case e.LastUsed == nil || e.Observed == nil:
		return "idle: nobody looked yet"
	}
	text := fmt.Sprintf("idle %s of %s", console.Duration(max(now.Sub(*e.LastUsed), 0).Truncate(time.Minute)), console.Duration(e.Idle))
	if looked := now.Sub(*e.Observed); looked > lookedLately {
		text += " (looked " + console.Age(looked) + ")"
	}
	return text
}

// leftText says how much of a life is left.
func leftText(end, now time.Time) string {
	if !end.After(now) {
		return "its time is over"
	}
	return console.Duration(end.Sub(now)) + " left"
}

func labelText(labels map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+"="+labels[name])
	}
	return strings.Join(words, " ")
}

// stateText is the state of an environment in the status.
func stateText(e manager.EnvironmentStatus) string {
	if e.HibernatingSince == nil {
		return e.State
	}
	return fmt.Sprintf("hibernating since %s (%s)", console.Time(*e.HibernatingSince), console.Bytes(e.HibernatedBytes))
}

// lifeNotes say how long an environment that was created has left.
func lifeNotes(e manager.EnvironmentStatus, now time.Time) []string {
	var notes []string
	if e.Expires != nil {
		notes = append(notes, leftText(*e.Expires, now))
	}
	if e.ProtectedUntil != nil {
		notes = append(notes, "protected until "+console.Time(*e.ProtectedUntil))
	}
	return notes
}
