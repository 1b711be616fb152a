package manager

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/drill"
	"github.com/envdb/envdb/internal/ledger"
)

// DrillLine is a report in short.
type DrillLine struct {
	Number   int            `json:"number"`
	Run      string         `json:"run"`
	Drill    string         `json:"drill,omitempty"`
	Scenario string         `json:"scenario"`
	From     string         `json:"from"`
	Into     string         `json:"into"`
	Backup   envdb.BackupID `json:"backup,omitempty"`
	Point    time.Time      `json:"point,omitzero"`
	Started  time.Time      `json:"started"`
	Outcome  drill.Outcome  `json:"outcome"`
	RTO      time.Duration  `json:"rto_ns"`
	Behind   time.Duration  `json:"behind_ns"`
	Summary  string         `json:"summary"`
}

// DrillList is the reports that there are, and how the drills of the
// configuration stand.
type DrillList struct {
	At      time.Time    `json:"at"`
	Reports []DrillLine  `json:"reports"`
	Drills  []DrillState `json:"drills"`
}

// DrillState is how a drill of the configuration stands.
type DrillState struct {
	Name      string `json:"name"`
	From      string `json:"from"`
	Into      string `json:"into"`
	At        string `json:"at"`
	Runs      int    `json:"runs"`
	Scheduled bool   `json:"scheduled"`
	// LastRun and LastPass are zero for never.
	LastRun  time.Time     `json:"last_run,omitzero"`
	LastPass time.Time     `json:"last_pass,omitzero"`
	Outcome  drill.Outcome `json:"outcome,omitempty"`
	RTO      time.Duration `json:"rto_ns,omitempty"`
	Missed   []string      `json:"objectives_missed,omitempty"`
	// Stale says that it has not passed for longer than it may: since ProvenSince,
	// which is the first run of one that never passed, and zero of one that never
	// ran.
	Stale       bool          `json:"stale"`
	ProvenSince time.Time     `json:"proven_since,omitzero"`
	StaleAfter  time.Duration `json:"stale_after_ns"`
	// Trouble says what is wrong: never drilled, failing, stale, an objective
	// missed, a check that is always skipped.
	Trouble []string `json:"trouble,omitempty"`
	Warning []string `json:"warning,omitempty"`
}

func lineOf(r *drill.Report) DrillLine {
	return DrillLine{
		Number: r.Number, Run: r.Run, Drill: r.Drill, Scenario: r.Scenario, From: r.From, Into: r.Into, Backup: r.Backup, Point: r.Point,
		Started: r.Started, Outcome: r.Outcome, RTO: r.Measured.RTO, Behind: r.Measured.Behind, Summary: r.Summary,
	}
}

// DrillReports lists the newest reports, the newest first; a limit of 0 is all.
func (m *Manager) DrillReports(ctx context.Context, limit int) (*DrillList, error) {
	list := &DrillList{At: m.now().UTC(), Reports: []DrillLine{}, Drills: []DrillState{}}
	if err := m.eachReport(ctx, limit, func(r *drill.Report) { list.Reports = append(list.Reports, lineOf(r)) }); err != nil {
		return nil, err
	}
	var err error
	list.Drills, err = m.DrillStates(ctx)
	return list, err
}

// skippedOften is how many of the last drills a check may be skipped in, before
// that is a warning.
const skippedOften = 3

// DrillStates says how each drill of the configuration stands.
func (m *Manager) DrillStates(ctx context.Context) ([]DrillState, error) {
	drills := m.config.Drills()
	if len(drills) == 0 {
		return []DrillState{}, nil
	}
	reports := map[string][]*drill.Report{} // the newest first
	if err := m.eachReport(ctx, pastRead*len(drills), func(r *drill.Report) {
		if r.Drill != "" {
			reports[r.Drill] = append(reports[r.Drill], r)
		}
	}); err != nil {
		return nil, err
	}
	states := make([]DrillState, 0, len(drills))
	for _, d := range drills {
		states = append(states, m.stateOfDrill(d, reports[d.Name]))
	}
	return states, nil
}

func (m *Manager) stateOfDrill(d config.Drill, reports []*drill.Report) DrillState {
	s := DrillState{Name: d.Name, From: d.From, Into: d.Into, At: d.At.String(), Runs: len(reports), Scheduled: !d.Schedule.IsZero(), StaleAfter: d.StaleAfter}
	for _, r := range reports {
		if r.Outcome == drill.Pass {
			s.LastPass = r.Started
			break
		}
	}
	if len(reports) == 0 {
		s.Trouble = append(s.Trouble, "it was never run")
		return s
	}
	last := reports[0]
	s.LastRun, s.Outcome, s.RTO = last.Started, last.Outcome, last.Measured.RTO
	if last.Outcome != drill.Pass {
		s.Trouble = append(s.Trouble, "it fails: "+last.Summary)
	}
	for _, v := range last.Verdicts {
		if v.Outcome == drill.Fail {
			s.Missed = append(s.Missed, v.Name)
		}
	}
	since := s.LastPass
	if since.IsZero() {
		since = reports[len(reports)-1].Started
	}
	s.ProvenSince = since
	age := m.now().Sub(since)
	switch s.Stale = age > d.StaleAfter; {
	case s.LastPass.IsZero() && len(s.Trouble) == 0:
		s.Trouble = append(s.Trouble, "it has never passed")
	case s.LastPass.IsZero():
	case s.Stale:
		s.Trouble = append(s.Trouble, "it passed last "+envdb.FormatDuration(age.Round(time.Minute))+" ago, and "+envdb.FormatDuration(d.StaleAfter)+" is allowed")
	}
	if w := last.Trend.Warning(); w != "" {
		s.Warning = append(s.Warning, w)
	}
	for _, name := range alwaysSkipped(reports) {
		s.Warning = append(s.Warning, "the check "+name+" is always skipped")
	}
	return s
}

// alwaysSkipped names the checks that were skipped in each of the last drills.
func alwaysSkipped(reports []*drill.Report) []string {
	if len(reports) < skippedOften {
		return nil
	}
	times := map[string]int{}
	for _, r := range reports[:skippedOften] {
		for _, c := range r.Checks {
			if c.Outcome == drill.Skipped {
				times[c.Name]++
			}
		}
	}
	var names []string
	for name, n := range times {
		if n == skippedOften {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// DrillReport returns a report by its number or its run; "last" is the newest.
func (m *Manager) DrillReport(ctx context.Context, id string) (*drill.Report, []byte, error) {
	numbers, err := m.ledger.Reports(ctx)
	if err != nil {
		return nil, nil, err
	}
	unknown := envdb.Fail(envdb.ErrNotFound, "there is no drill %q", id).WithNext("envdb drills")
	if len(numbers) == 0 {
		return nil, nil, unknown.WithNext("envdb drill --from prod --at t-1d --into staging")
	}
	if id == "last" {
		id = strconv.Itoa(numbers[len(numbers)-1])
	}
	if n, err := strconv.Atoi(id); err == nil && !strings.Contains(id, "-") {
		r, raw, err := m.report1(ctx, n)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, unknown
		}
		return r, raw, err
	}
	slices.Reverse(numbers)
	for _, n := range numbers {
		r, raw, err := m.report1(ctx, n)
		if err != nil {
			return nil, nil, err
		}
		if r.Run == id {
			return r, raw, nil
		}
	}
	return nil, nil, unknown
}

func (m *Manager) report1(ctx context.Context, number int) (*drill.Report, []byte, error) {
	raw, err := m.ledger.Report(ctx, number)
	if err != nil {
		return nil, nil, err
	}
	r, err := drill.Decode(raw)
	return r, raw, err
}

// Evidence returns the reports of drills that began within a time, oldest first,
// as they are stored, and what a look at the whole chain finds.
func (m *Manager) Evidence(ctx context.Context, from, until time.Time) ([]drill.Exhibit, drill.Verification, error) {
	links, v, err := m.chain(ctx)
	if err != nil {
		return nil, v, err
	}
	exhibits := []drill.Exhibit{}
	for _, link := range links {
		r, err := drill.Decode(link.Raw)
		if err != nil || r.Started.Before(from) || r.Started.After(until) {
			continue
		}
		exhibits = append(exhibits, drill.Exhibit{Report: r, Raw: link.Raw})
	}
	return exhibits, v, nil
}

// VerifyDrills looks whether the chain of reports is whole, and whether each
// report is the one whose hash its run noted.
func (m *Manager) VerifyDrills(ctx context.Context) (drill.Verification, error) {
	_, v, err := m.chain(ctx)
	return v, err
}

func (m *Manager) chain(ctx context.Context) ([]drill.Link, drill.Verification, error) {
	numbers, err := m.ledger.Reports(ctx)
	if err != nil {
		return nil, drill.Verification{}, err
	}
	var links []drill.Link
	for _, n := range numbers {
		raw, err := m.ledger.Report(ctx, n)
		if errors.Is(err, envdb.ErrUnreachable) || ctx.Err() != nil {
			return nil, drill.Verification{}, err
		}
		links = append(links, drill.Link{Number: n, Raw: raw, Err: err})
	}
	runs, err := m.ledger.Runs(ctx, ledger.Filter{Operation: envdb.OpDrill})
	if err != nil {
		return nil, drill.Verification{}, err
	}
	noted := map[string]string{}
	for _, run := range runs {
		if hash, ok := run.Facts["report_sha256"].(string); ok && hash != "" {
			noted[run.ID] = hash
		}
	}
	return links, drill.Verify(links, noted), nil
}
