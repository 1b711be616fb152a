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
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/manager"
)

type drillOptions struct {
	name, from, at, into, scenario, sql string
	rto, rpo, sample, confirm, html     string
	identity                            string
	checks                              []string
	promote, dryRun, selfTest           bool
	seed                                uint64
	seeds                               int
}

func newDrillCommand(a *app) *cobra.Command {
	var opts drillOptions
	c := &cobra.Command{
		Use:   "drill [NAME]",
		Short: "Rehearse a restore, check it, measure it, and keep the report",
		Long: `Rehearse a restore, check it, measure it, and keep the report.

A backup is restored beside an environment, into a version that nobody but envdb
may enter, and held to its manifest: every object, every count, every row by its
fingerprint, foreign keys, indexes, sequences, and your own checks. Then it is
dropped again. The report says how long it took (RTO), how far behind it was
(RPO), and carries the hash of the one before it.

A scenario damages what is live in --into first, and the restore repairs it:
` + scenarioHelp(),
		Example: `  envdb drill weekly                                  a drill of the configuration
  envdb drill --from prod --at t-1d --into staging    production as of a day ago, beside staging
  envdb drill --from staging --into staging --scenario drop-table --confirm staging
  envdb drill --self-test                             would a drill notice? (starts a throwaway cluster)`,
		Args: optional("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.name = args[0]
			}
			if opts.selfTest {
				return a.runSelfTest(c.Context(), opts.seeds)
			}
			return a.runDrill(c.Context(), opts)
		},
	}
	f := c.Flags()
	f.StringVar(&opts.from, "from", "", "restore a backup of `ENV`")
	f.StringVar(&opts.at, "at", "", "the `point` to restore: t-1d, latest, oldest, \"random 30d\", each-rung, longest-unproven, an id, a moment (default latest)")
	f.StringVar(&opts.into, "into", "", "beside `ENV`, which must be one that may be overwritten")
	f.StringVar(&opts.scenario, "scenario", "", "what goes wrong first: `name`, see above (default restore)")
	f.StringVar(&opts.sql, "sql", "", "the damage of the scenario sql, from `file`")
	f.StringVar(&opts.identity, "identity", "", "the `key` that an earthquake leaves, e.g. file:recovery.txt")
	f.StringVar(&opts.rto, "rto", "", "fail if it takes longer than `duration`")
	f.StringVar(&opts.rpo, "rpo", "", "fail if the restored state is older than `duration` before the moment asked for")
	f.StringVar(&opts.sample, "sample", "", "read `percent` of the bytes of large tables row by row, not all")
	f.StringSliceVar(&opts.checks, "checks", nil, "SQL `files` or directories with expectations in comments")
	f.BoolVar(&opts.promote, "promote", false, "leave --into as it was at the point, if all checks pass; --from must be the same")
	f.StringVar(&opts.confirm, "confirm", "", "`ENV` of --into again, where a scenario damages it")
	f.StringVar(&opts.html, "html", "", "write the report as a page into `file`")
	f.Uint64Var(&opts.seed, "seed", 0, "make random choices as the drill with this `seed` did")
	f.BoolVar(&opts.dryRun, "dry-run", false, "print the plan, and do nothing")
	f.BoolVar(&opts.selfTest, "self-test", false, "damage copies on purpose, and see that each drill fails and names the damage")
	f.IntVar(&opts.seeds, "seeds", 20, "how many `seeds` the self-test takes for each kind of damage")
	return c
}

func scenarioHelp() string {
	var b strings.Builder
	for _, s := range drill.Scenarios() {
		fmt.Fprintf(&b, "\n  %-22s%s", s.Name, s.Means)
	}
	return b.String()
}

func (a *app) runDrill(ctx context.Context, opts drillOptions) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	req, err := drillRequest(s, opts)
	if err != nil {
		return err
	}
	if opts.dryRun {
		plan, err := s.manager.PlanDrill(ctx, req)
		if err != nil {
			return err
		}
		return a.printPlan(plan)
	}
	if (req.Scenario.Damages() || req.Promote) && opts.confirm != req.Into {
		return envdb.Fail(envdb.ErrRefused, "this drill changes what is live in %s, and what is there now will be gone", req.Into).
			WithState("nothing was changed").WithNext("repeat with --confirm %s", req.Into)
	}
	report, failed := s.manager.Drill(ctx, req)
	s.finish()
	if report == nil || report.Outcome == "" {
		return failed
	}
	if opts.html != "" {
		page, err := report.HTML()
		if err == nil {
			err = os.WriteFile(opts.html, page, 0o644)
		}
		if err != nil {
			return fmt.Errorf("the drill is done and its report stored, but the page was not written: %w", err)
		}
	}
	if err := print(a, report, func(w io.Writer, r *drill.Report) { renderDrill(w, r, opts.html) }); err != nil {
		return err
	}
	return failed
}

// drillRequest is what the configuration and the flags ask for; flags win.
func drillRequest(s *session, opts drillOptions) (manager.DrillRequest, error) {
	req := manager.DrillRequest{Seed: opts.seed, Zone: time.Local}
	var err error
	switch {
	case opts.name != "":
		if req.Drill, err = s.manager.NamedDrill(opts.name); err != nil {
			return req, err
		}
	case opts.from == "" || opts.into == "":
		return req, envdb.Fail(envdb.ErrMisuse, "a drill without a name needs --from and --into").WithNext("envdb drill --from prod --at t-1d --into staging")
	default:
		req.Drill = config.DefaultDrill(opts.from, opts.into)
	}
	if opts.from != "" {
		req.From = opts.from
	}
	if opts.into != "" {
		req.Into = opts.into
	}
	if opts.at != "" {
		if req.At, err = drill.ParseAt(opts.at, time.Now(), time.Local); err != nil {
			return req, err
		}
	}
	if opts.scenario != "" {
		if req.Scenario, err = drill.ParseScenario(opts.scenario); err != nil {
			return req, err
		}
	}
	if opts.sql != "" {
		text, err := os.ReadFile(opts.sql)
		if err != nil {
			return req, envdb.Fail(envdb.ErrPreflight, "read the damage: %w", err).WithState("nothing was changed").WithNext("correct --sql")
		}
		req.SQL = string(text)
	}
	if (req.Scenario == drill.OwnSQL) != (req.SQL != "") {
		return req, envdb.Fail(envdb.ErrMisuse, "--sql is what the scenario sql runs, and nothing else").WithNext("envdb drill … --scenario sql --sql damage.sql")
	}
	for flag, to := range map[string]*time.Duration{opts.rto: &req.Objectives.RTO, opts.rpo: &req.Objectives.RPO} {
		if flag == "" {
			continue
		}
		if *to, err = envdb.ParseDuration(flag); err != nil {
			return req, err
		}
	}
	if opts.sample != "" {
		if req.Sample, err = config.ParseShare(opts.sample); err != nil {
			return req, err
		}
	}
	for _, path := range opts.checks {
		path, err = filepath.Abs(path)
		if err != nil {
			return req, err
		}
		req.Checks = append(req.Checks, path)
	}
	req.Promote = req.Promote || opts.promote
	if opts.identity != "" {
		req.Identity = opts.identity
	}
	return req, nil
}

// renderDrill shows a report in short.
func renderDrill(w io.Writer, r *drill.Report, page string) {
	fmt.Fprintf(w, "drill %d: %s: %s\n", r.Number, strings.ToUpper(string(r.Outcome)), r.Summary)
	for _, f := range r.Facts() {
		fmt.Fprintf(w, "  %-22s %s\n", f.Name, f.Value)
	}
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "  %-22s %s: %s, at most %s\n", "objective "+v.Name, v.Outcome, console.Duration(v.Got), console.Duration(v.Limit))
	}
	rows := make([][]string, 0, len(r.Checks))
	for _, c := range r.Checks {
		found := c.Covers
		if len(c.Findings) > 0 {
			found = c.Findings[0]
			if c.Found > 1 {
				found += fmt.Sprintf(" (and %d more)", c.Found-1)
			}
		}
		if c.Reason != "" && c.Outcome == drill.Skipped {
			found = c.Reason
		}
		took := ""
		if c.Took > 0 {
			took = console.Duration(c.Took)
		}
		rows = append(rows, []string{"  " + c.Name, string(c.Outcome), took, found})
	}
	if len(rows) == 0 {
		return
	}
	console.Table(w, []string{"  CHECK", "OUTCOME", "TOOK", "COMPARED, OR FOUND"}, rows)
	if a := r.Accident; a != nil {
		fmt.Fprintf(w, "  accident: %s\n", a.What)
		for _, lost := range a.Lost {
			fmt.Fprintf(w, "    %s\n", lost)
		}
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "  warning: %s\n", warning)
	}
	if page != "" {
		fmt.Fprintf(w, "  report: %s\n", page)
		return
	}
	fmt.Fprintf(w, "  report: envdb drills show %d --html report.html\n", r.Number)
}
