package manager

import (
	"context"
	"time"

	"github.com/envdb/envdb/internal/ledger"
)

// RunQuery chooses runs.
type RunQuery = ledger.Filter

// RunList is a list of runs, newest first.
type RunList struct {
	At   time.Time    `json:"at"`
	Runs []ledger.Run `json:"runs"`
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
	return &RunList{At: m.now().UTC(), Runs: runs}, nil
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
