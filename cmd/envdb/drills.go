package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/manager"
)

func newDrillsCommand(a *app) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "drills",
		Short: "List restore drills and their reports; show, export and verify them",
		Example: `  envdb drills
  envdb drills show last --html report.html
  envdb drills evidence --from 2026-01-01 --to 2026-12-31 -o evidence
  envdb drills verify`,
		Args: arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return look(c.Context(), a, renderDrills, func(ctx context.Context, m *manager.Manager) (*manager.DrillList, error) {
				return m.DrillReports(ctx, limit)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 20, "at most `n` reports; 0 for all")
	c.AddCommand(newDrillsShowCommand(a), newDrillsEvidenceCommand(a), newDrillsVerifyCommand(a))
	return c
}

func renderDrills(w io.Writer, l *manager.DrillList) {
	for _, d := range l.Drills {
		state := "ok"
		if len(d.Trouble) > 0 {
			state = d.Trouble[0]
		}
		fmt.Fprintf(w, "%s: %s@%s beside %s: %s\n", d.Name, d.From, d.At, d.Into, state)
		for _, warning := range d.Warning {
			fmt.Fprintf(w, "  warning: %s\n", warning)
		}
	}
	if len(l.Reports) == 0 {
		fmt.Fprintln(w, "no drill has left a report yet: envdb drill --from prod --at t-1d --into staging")
		return
	}
	rows := make([][]string, 0, len(l.Reports))
	for _, r := range l.Reports {
		name := r.Drill
		if name == "" {
			name = "by hand"
		}
		if r.Scenario != string(drill.Restore) {
			name += " (" + r.Scenario + ")"
		}
		rows = append(rows, []string{fmt.Sprint(r.Number), console.Time(r.Started), name, r.From, string(r.Backup), string(r.Outcome), console.Duration(r.RTO), console.Duration(r.Behind)})
	}
	console.Table(w, []string{"NUMBER", "BEGAN", "DRILL", "FROM", "BACKUP", "OUTCOME", "RTO", "RPO"}, rows)
}

func newDrillsShowCommand(a *app) *cobra.Command {
	var page, text string
	c := &cobra.Command{
		Use:   "show NUMBER|RUN|last",
		Short: "Show the report of a drill: as text, JSON, Markdown or a page",
		Example: `  envdb drills show last
  envdb drills show 12 --html report.html
  envdb drills show 12 --markdown report.md
  envdb drills show 12 -o json`,
		Args: arguments("NUMBER"),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.close()
			r, raw, err := s.manager.DrillReport(c.Context(), args[0])
			if err != nil {
				return err
			}
			s.finish()
			if err := writeReport(r, page, text); err != nil {
				return err
			}
			if a.output == "json" {
				_, err := a.stdout.Write(raw)
				return err
			}
			return print(a, r, func(w io.Writer, r *drill.Report) { renderDrill(w, r, page) })
		},
	}
	c.Flags().StringVar(&page, "html", "", "write it as a page into `file`")
	c.Flags().StringVar(&text, "markdown", "", "write it as Markdown into `file`")
	return c
}

// writeReport writes a report into the files that were asked for.
func writeReport(r *drill.Report, page, text string) error {
	if page != "" {
		content, err := r.HTML()
		if err != nil {
			return err
		}
		if err := os.WriteFile(page, content, 0o644); err != nil {
			return err
		}
	}
	if text != "" {
		return os.WriteFile(text, []byte(r.Markdown()), 0o644)
	}
	return nil
}

func newDrillsEvidenceCommand(a *app) *cobra.Command {
	var from, until, dir string
	c := &cobra.Command{
		Use:   "evidence",
		Short: "Write the reports of a time into a directory, with an index, for an auditor",
		Long: `Write the reports of a time into a directory, with an index, for an auditor:
each as a page, as Markdown and as the JSON that is stored, with the hash of each
and the controls that they are evidence of (NIST SP 800-53 CP-9(1), SOC 2 A1.3,
ISO/IEC 27001 A.8.13).`,
		Example: `  envdb drills evidence --from 2026-01-01 --to 2026-12-31 -o evidence`,
		Args:    arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runEvidence(c.Context(), from, until, dir)
		},
	}
	c.Flags().StringVar(&from, "from", "", "the first `day` (default: a year ago)")
	c.Flags().StringVar(&until, "to", "", "the last `day` (default: today)")
	c.Flags().StringVarP(&dir, "output", "o", "", "the `directory` to write; it is made, and must not hold other files")
	return c
}

func (a *app) runEvidence(ctx context.Context, from, until, dir string) error {
	a.output = "table"
	if dir == "" {
		return envdb.Fail(envdb.ErrMisuse, "evidence needs a directory").WithNext("envdb drills evidence -o evidence")
	}
	begin, end := time.Now().UTC().AddDate(-1, 0, 0), time.Now().UTC()
	for text, to := range map[string]*time.Time{from: &begin, until: &end} {
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return envdb.Fail(envdb.ErrMisuse, "%q is no day", text).WithNext("write e.g. 2026-01-31")
		}
		*to = day
	}
	if until != "" {
		end = end.Add(envdb.Day - 1)
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return envdb.Fail(envdb.ErrRefused, "%s is not empty", dir).WithState("nothing was written").WithNext("name a new directory")
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	exhibits, chain, err := s.manager.Evidence(ctx, begin, end)
	if err != nil {
		return err
	}
	s.finish()
	if err := writeEvidence(dir, exhibits, chain, begin, end); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %s, and %s\n", dir, counted(int64(len(exhibits)), "report"), filepath.Join(dir, "index.html"))
	return chainErr(chain)
}

func writeEvidence(dir string, exhibits []drill.Exhibit, chain drill.Verification, begin, end time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	index, err := drill.Index(exhibits, chain, begin, end)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "index.html"), index, 0o644); err != nil {
		return err
	}
	for _, e := range exhibits {
		path := filepath.Join(dir, e.Name())
		if err := os.WriteFile(path+".json", e.Raw, 0o644); err != nil {
			return err
		}
		if err := writeReport(e.Report, path+".html", path+".md"); err != nil {
			return err
		}
	}
	return nil
}

func newDrillsVerifyCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Check that no report was changed, taken away or put in another's place",
		Long: `Check that no report was changed, taken away or put in another's place.

Each report carries the hash of the one before it, and the record of each run
has the hash of its report. Who writes the last hash down somewhere else knows
later that nothing was cut off the end.`,
		Args: arguments(),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer s.close()
			v, err := s.manager.VerifyDrills(c.Context())
			if err != nil {
				return err
			}
			s.finish()
			if err := print(a, v, func(w io.Writer, v drill.Verification) {
				if len(v.Broken) == 0 {
					fmt.Fprintf(w, "%s, the chain is whole\n  last: %s\n", counted(int64(v.Reports), "report"), v.Last)
				}
			}); err != nil {
				return err
			}
			return chainErr(v)
		},
	}
}

func chainErr(v drill.Verification) error {
	if len(v.Broken) == 0 {
		return nil
	}
	return envdb.Fail(envdb.ErrVerification, "the chain of reports is broken: %s", strings.Join(v.Broken, "; ")).
		WithState("nothing was changed").WithNext("see who may write the store (docs/threat-model.md); a versioned bucket still has what was there")
}
