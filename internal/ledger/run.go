package ledger

import (
	"time"

	"github.com/envdb/envdb"
)

// Outcome is how a run stands.
type Outcome string

// The outcomes. A run is Interrupted when it was stopped before its end, or
// when its process is gone.
const (
	Running     Outcome = "running"
	Interrupted Outcome = "interrupted"
	Failed      Outcome = "failed"
	Succeeded   Outcome = "succeeded"
)

// FactUndo is the command that undoes what a run has begun to do and has not
// undone itself: a drill that damages an environment on purpose.
const FactUndo = "undo"

func (o Outcome) known() bool { return o == Running || o.rank() > 0 }

// rank orders the records of one run: the highest is the truth.
func (o Outcome) rank() int {
	switch o {
	case Interrupted:
		return 1
	case Failed, Succeeded:
		return 2
	}
	return 0
}

// Trigger is what begins a run.
type Trigger string

// The triggers. A person's is empty.
const (
	TriggerPerson   Trigger = ""
	TriggerLadder   Trigger = "ladder"
	TriggerBurst    Trigger = "burst"
	TriggerCalendar Trigger = "calendar"
	TriggerDrill    Trigger = "drill"
)

// Run is one execution of an operation. Whoever begins it sets the first group
// of fields; the ledger sets the others.
type Run struct {
	ID          string          `json:"id"` // may be left empty
	Operation   envdb.Operation `json:"operation"`
	Environment string          `json:"environment"`
	// Source is the environment that a mirror copies.
	Source string `json:"source,omitempty"`
	// Point is the moment whose data the run takes or brings back.
	Point time.Time `json:"point,omitzero"`
	// Backup is the backup that the run writes or reads.
	Backup envdb.BackupID `json:"backup,omitempty"`
	// Versions are the databases that the run creates, each recorded before it
	// is created; see [Recording.WillCreate].
	Versions []string `json:"versions,omitempty"`
	// Unleased says that the run works without the lease of its environment.
	Unleased bool           `json:"unleased,omitempty"`
	Facts    map[string]any `json:"facts,omitempty"`
	// Trigger is what began the run; Job and Turn are those of a calendar.
	Trigger Trigger   `json:"trigger,omitempty"`
	Job     string    `json:"job,omitempty"`
	Turn    time.Time `json:"turn,omitzero"`

	User    string  `json:"user"`
	Host    string  `json:"host"`
	Process Process `json:"process"`
	Version string  `json:"version"` // envdb's

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished,omitzero"`
	Outcome  Outcome   `json:"outcome"`
	// Error, State and Next are what a person was told of the failure.
	Error string `json:"error,omitempty"`
	State string `json:"state,omitempty"`
	Next  string `json:"next,omitempty"`
	Steps []Step `json:"steps,omitempty"`
}

// Step is a part of a run: when it began, how long it took, and how far it is.
type Step struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	// Took is zero while the step runs.
	Took  time.Duration `json:"took_ns,omitempty"`
	Done  int64         `json:"done,omitempty"`
	Total int64         `json:"total,omitempty"`
	Unit  string        `json:"unit,omitempty"`
}

// Took returns how long the run took, or has taken by now.
func (r *Run) Took(now time.Time) time.Duration {
	if r.Finished.IsZero() {
		return now.Sub(r.Started)
	}
	return r.Finished.Sub(r.Started)
}

// needsNoStore reports whether the run may go on while the store cannot be
// written: it needs only PostgreSQL, or only reads.
func (r *Run) needsNoStore() bool {
	switch r.Operation {
	case envdb.OpPromote, envdb.OpRollback, envdb.OpReset, envdb.OpVerify:
		return true
	}
	return false
}
