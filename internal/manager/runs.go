package manager

import (
	"context"
	"encoding/json"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
)

// RunQuery chooses runs.
type RunQuery = ledger.Filter

// RunList is a list of runs, newest first.
type RunList struct {
	At   time.Time    `json:"at"`
	Runs []ledger.Run `json:"runs"`
	// Rollups stand for the ladder backups of days that are over, newest first.
	Rollups []ledger.Rollup `json:"rollups,omitempty"`
}

// RunReport is one run with its log.
type RunReport struct {
	At  time.Time  `json:"at"`
	Run ledger.Run `json:"run"`
	Log string     `json:"log,omitempty"`
	// LogUnreadable says why there is no log: it is sealed, and the key is not
	// here.
	LogUnreadable string `json:"log_unreadable,omitempty"`
}

// Runs returns the runs that the query chooses.
func (m *Manager) Runs(ctx context.Context, q RunQuery) (*RunList, error) {
	runs, err := m.ledger.Runs(ctx, q)
	if err != nil {
		return nil, err
	}
	list := &RunList{At: m.now().UTC(), Runs: runs}
	if q.Failed || q.Operation != "" && q.Operation != envdb.OpBackup {
		return list, nil
	}
	since := q.Since
	if since.IsZero() && q.Limit > 0 {
		since = list.At.Add(-rollupsShown)
	}
	if list.Rollups, err = m.ledger.Rollups(ctx, q.Environment, since); err != nil {
		return nil, err
	}
	for i := range list.Rollups {
		list.Rollups[i].Runs = nil // their sum is what is asked for
	}
	return list, nil
}

// rollupsShown is how far back rollups are shown where nobody says how far.
const rollupsShown = envdb.Week

// followEvery is how often a run is looked at that somebody follows. Its process
// stores where it is every ten seconds, and when a step begins.
const followEvery = 2 * time.Second

// Follow calls each for a run as it is now and whenever it has changed, until it
// has ended, and returns it. The run may be on another machine.
func (m *Manager) Follow(ctx context.Context, id string, each func(*RunReport) error) (*RunReport, error) {
	var was string
	for {
		report, err := m.Run(ctx, id)
		if err != nil {
			return nil, err
		}
		id = report.Run.ID // "latest" may be another one by then
		seen, err := json.Marshal([]any{report.Run, report.Log})
		if err != nil {
			return nil, err
		}
		if text := string(seen); text != was {
			was = text
			if err := each(report); err != nil {
				return nil, err
			}
		}
		if report.Run.Outcome != ledger.Running {
			return report, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(followEvery):
		}
	}
}

// Presence counts the holders of leases, and the daemons, by their life.
func (m *Manager) Presence(ctx context.Context, leases []ledger.LeaseLine) (holders, daemons map[string]int, err error) {
	holders = map[string]int{"alive": 0, "dead": 0, "in doubt": 0}
	daemons = map[string]int{"alive": 0, "dead": 0}
	for _, lease := range leases {
		for _, h := range lease.Holders {
			holders[h.Life]++
		}
	}
	all, err := m.ledger.Daemons(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range all {
		daemons[d.Life]++
	}
	return holders, daemons, nil
}

// Run returns one run and its log; the beginning of an id is enough.
func (m *Manager) Run(ctx context.Context, id string) (*RunReport, error) {
	run, err := m.ledger.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	report := &RunReport{At: m.now().UTC(), Run: *run}
	log, err := m.ledger.Log(ctx, run.ID)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		report.LogUnreadable = err.Error()
	}
	report.Log = string(log)
	return report, nil
}
