package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/console"
	"github.com/envdb/envdb/schedule"
)

// shownTurns is how many turns of a job are shown.
const shownTurns = 5

// scheduleList is what the calendar says, by the configuration alone.
type scheduleList struct {
	From time.Time      `json:"from"`
	Jobs []scheduledJob `json:"jobs"`
}

// scheduledJob is a job with its next turns.
type scheduledJob struct {
	Name        string          `json:"name"`
	Operation   envdb.Operation `json:"operation"`
	Environment string          `json:"environment,omitempty"`
	Source      string          `json:"source,omitempty"`
	// Schedule names the nominal times, Zone whose clocks they go by.
	Schedule string          `json:"schedule"`
	Zone     string          `json:"zone"`
	Missed   schedule.Missed `json:"missed"`
	Deadline string          `json:"deadline,omitempty"`
	Jitter   string          `json:"jitter,omitempty"`
	Quiet    config.Quiet    `json:"quiet,omitempty"`
	Turns    []scheduledTurn `json:"turns"`
}

// scheduledTurn is one of the times that a job is to run.
type scheduledTurn struct {
	Nominal  time.Time  `json:"nominal"`
	Begins   time.Time  `json:"begins"`
	Deadline *time.Time `json:"deadline,omitempty"`
	// QuietUntil is set for a turn that begins in quiet hours; Skipped says that
	// it is not made up for when they end.
	QuietUntil *time.Time `json:"quiet_until,omitempty"`
	Skipped    bool       `json:"skipped,omitempty"`
}

func newSchedulesCommand(a *app) *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "schedules [JOB]",
		Short: "Show what has a schedule, and its next five times",
		Long: `Show what has a schedule, and its next five times: of all jobs, or of one, named
as in the list. It reads the configuration and asks neither the store nor a
server, so that a schedule can be tried before a daemon acts on it.

  UTC, HERE   the nominal time, by which the store knows the turn
  BEGINS      with the job's jitter, which is always the same
  NOTE        what quiet hours of the environment do to the turn

--from shows what a schedule does on another day: when the clocks change, say.
docs/schedules.md has the rules.`,
		Example: "  envdb schedules\n  envdb schedules mirror/prod-copy --from \"2026-03-28 12:00\"",
		Args:    optional("JOB"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.runSchedules(strings.Join(args, ""), from)
		},
	}
	c.Flags().StringVar(&from, "from", "", "the times after this `moment` instead of now: 2026-03-28T12:00:00Z, or without an offset in the terminal's zone")
	return c
}

func (a *app) runSchedules(name, from string) error {
	if err := a.checkOutput(); err != nil {
		return err
	}
	at := time.Now().UTC().Truncate(time.Second)
	if from != "" {
		var err error
		if at, err = parseFrom(from); err != nil {
			return err
		}
	}
	c, err := config.Load(a.configPath, nil)
	if err != nil {
		return err
	}
	list, err := listSchedules(c, name, at)
	if err != nil {
		return err
	}
	return print(a, list, renderSchedules)
}

// parseFrom reads a moment, which unlike a point may be in the future.
func parseFrom(text string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC(), nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, envdb.Fail(envdb.ErrMisuse, "%q is not a moment", text).WithNext(`write "2026-03-28 12:00" or 2026-03-28T12:00:00Z`)
}

// listSchedules returns the jobs of the configuration, or the one of that name.
func listSchedules(c *config.Config, name string, from time.Time) (*scheduleList, error) {
	list := &scheduleList{From: from, Jobs: []scheduledJob{}}
	quiet := map[string]config.Quiet{}
	for _, env := range c.Environments() {
		quiet[env.Name] = env.Quiet
	}
	names := []string{}
	for _, job := range c.Jobs() {
		names = append(names, job.Name)
		if name != "" && job.Name != name {
			continue
		}
		shown, err := showJob(job, quiet[job.Environment], from)
		if err != nil {
			return nil, err
		}
		list.Jobs = append(list.Jobs, shown)
	}
	if name != "" && !slices.Contains(names, name) {
		p := envdb.Fail(envdb.ErrNotFound, "there is no job %q", name)
		if len(names) == 0 {
			return nil, p.WithNext("give one a schedule: docs/schedules.md")
		}
		return nil, p.WithNext("name one of %s", strings.Join(names, ", "))
	}
	return list, nil
}

// showJob returns a job with its next turns.
func showJob(job config.Job, quiet config.Quiet, from time.Time) (scheduledJob, error) {
	terms := job.Schedule.Terms
	shown := scheduledJob{
		Name: job.Name, Operation: job.Operation, Environment: job.Environment, Source: job.Source,
		Schedule: job.Schedule.Text, Zone: job.Schedule.Zone().String(), Missed: terms.Missed,
		Deadline: spanText(terms.Deadline), Jitter: spanText(terms.Jitter),
	}
	calendar, err := job.Schedule.Calendar(job.Name)
	if err != nil {
		return shown, err
	}
	if job.Connects() {
		shown.Quiet = quiet
	}
	for _, turn := range calendar.Next(from, shownTurns) {
		shown.Turns = append(shown.Turns, showTurn(calendar, turn, shown.Quiet))
	}
	return shown, nil
}

func spanText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return envdb.FormatDuration(d)
}

// showTurn returns a turn with what becomes of it in quiet hours.
func showTurn(calendar schedule.Calendar, turn schedule.Turn, quiet config.Quiet) scheduledTurn {
	shown := scheduledTurn{Nominal: turn.Nominal, Begins: turn.Begins}
	if !turn.Deadline.IsZero() {
		shown.Deadline = &turn.Deadline
	}
	if until, inside := quiet.At(turn.Begins); inside {
		shown.QuietUntil = &until
		then, due := calendar.Due(until, turn.Nominal, nil)
		shown.Skipped = !due || !then.Nominal.Equal(turn.Nominal)
	}
	return shown
}

func renderSchedules(w io.Writer, l *scheduleList) { renderSchedulesIn(w, l, time.Local) }

func renderSchedulesIn(w io.Writer, l *scheduleList, here *time.Location) {
	if len(l.Jobs) == 0 {
		fmt.Fprintln(w, "nothing has a schedule\nNext: docs/schedules.md says how to give a mirror, a seed or a verification one; envdb ladder shows when backups are due")
	}
	for i, job := range l.Jobs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %s\n", job.Name, termsText(job))
		headers, rows := turnTable(job, here)
		console.Table(w, headers, rows)
	}
}

// termsText says when a job runs, and how strictly.
func termsText(job scheduledJob) string {
	words := []string{job.Schedule, "missed: " + string(job.Missed)}
	if job.Deadline != "" {
		words = append(words, "deadline: "+job.Deadline)
	}
	if job.Jitter != "" {
		words = append(words, "jitter: "+job.Jitter)
	}
	for _, window := range job.Quiet {
		words = append(words, "quiet: "+window.String())
	}
	return strings.Join(words, "; ")
}

// turnTable lists turns; what says nothing new has no column.
func turnTable(job scheduledJob, here *time.Location) (headers []string, rows [][]string) {
	const clock = "Mon 2006-01-02 15:04:05"
	columns := []struct {
		header string
		shown  bool
		cell   func(scheduledTurn) string
	}{
		{"UTC", true, func(t scheduledTurn) string { return t.Nominal.UTC().Format(clock) }},
		{"HERE", slices.ContainsFunc(job.Turns, func(t scheduledTurn) bool { return offset(t.Nominal.In(here)) != 0 }), func(t scheduledTurn) string { return t.Nominal.In(here).Format(clock + " MST") }},
		{"BEGINS", job.Jitter != "", func(t scheduledTurn) string { return t.Begins.UTC().Format("15:04:05") }},
		{"NOTE", slices.ContainsFunc(job.Turns, func(t scheduledTurn) bool { return t.QuietUntil != nil }), func(t scheduledTurn) string { return quietNote(t, here) }},
	}
	rows = make([][]string, len(job.Turns))
	for _, column := range columns {
		if !column.shown {
			continue
		}
		headers = append(headers, column.header)
		for i, turn := range job.Turns {
			rows[i] = append(rows[i], column.cell(turn))
		}
	}
	return headers, rows
}

func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}

func quietNote(t scheduledTurn, here *time.Location) string {
	switch {
	case t.QuietUntil == nil:
		return ""
	case t.Skipped:
		return "does not run: quiet until " + console.TimeIn(*t.QuietUntil, here)
	}
	return "waits: quiet until " + console.TimeIn(*t.QuietUntil, here)
}
