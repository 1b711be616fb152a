package drill

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// ReportVersion is the version of the schema of a Report in JSON, which
// docs/drills.md describes.
const ReportVersion = 1

// Report is the evidence that a drill leaves. It is written once, and each
// carries the hash of the one before: see Chain.
type Report struct {
	Version int `json:"version"`
	// Number is its place in the chain, from 1 on; Previous the SHA-256 of the
	// report before it as it is stored, in hex, or "" for the first.
	Number   int    `json:"number"`
	Previous string `json:"previous"`

	Run     string `json:"run"`
	Project string `json:"project"`
	// Drill is its name in the configuration, or "" if it was asked for by hand.
	Drill    string  `json:"drill,omitempty"`
	Scenario string  `json:"scenario"`
	Outcome  Outcome `json:"outcome"`
	// Summary is one sentence; Error what ended the drill before its time, and
	// Next what to do about it.
	Summary string `json:"summary"`
	Error   string `json:"error,omitempty"`
	Next    string `json:"next,omitempty"`

	From string `json:"from"` // whose backup
	Into string `json:"into"` // beside which environment it was restored
	// At is what was asked for, Asked the moment that it meant then, Why how it
	// came to be chosen.
	At    string    `json:"at"`
	Asked time.Time `json:"asked,omitzero"`
	Why   string    `json:"why,omitempty"`

	Backup    envdb.BackupID `json:"backup,omitempty"`
	Point     time.Time      `json:"point,omitzero"`
	GoodUntil time.Time      `json:"good_until,omitzero"`
	// Passed lists what would have answered and could not be used.
	PassedOver []string `json:"passed_over,omitempty"`
	Release    string   `json:"release,omitempty"`
	Migration  string   `json:"migration,omitempty"`

	Started  time.Time     `json:"started"`
	Finished time.Time     `json:"finished"`
	Elapsed  time.Duration `json:"elapsed_ns"`
	Phases   []Phase       `json:"phases"`
	Checks   []Check       `json:"checks"`
	// Accident is what a scenario did, and how it was undone.
	Accident *Accident `json:"accident,omitempty"`

	Objectives Objectives `json:"objectives"`
	Measured   Measured   `json:"measured"`
	Verdicts   []Verdict  `json:"verdicts"`
	Warnings   []string   `json:"warnings,omitempty"`
	Trend      *Trend     `json:"trend,omitempty"`
	// Past is what the drills before it measured, oldest first; Ladder what
	// could be restored when it began.
	Past   []Past        `json:"past,omitempty"`
	Ladder []LadderPoint `json:"ladder,omitempty"`

	Tables int   `json:"tables"`
	Rows   int64 `json:"rows"`
	Bytes  int64 `json:"bytes"`
	// Sampled says that not every row was compared, and how they were chosen.
	Sampled string `json:"sampled,omitempty"`
	// Promoted is the version that was made live, for a drill that was to.
	Promoted string `json:"promoted,omitempty"`
	Machine  string `json:"machine"`
	Envdb    string `json:"envdb"`
	Source   string `json:"source_server,omitempty"` // PostgreSQL of the backup
	Target   string `json:"target_server,omitempty"` // PostgreSQL it was restored on
}

// Phase is a part of a drill's time. Phases follow each other without a gap;
// those of Parent are parts of that one.
type Phase struct {
	Name   string        `json:"name"`
	Parent string        `json:"parent,omitempty"`
	Took   time.Duration `json:"took_ns"`
	Bytes  int64         `json:"bytes,omitempty"`
	Rows   int64         `json:"rows,omitempty"`
	// Counts says that the phase is part of RTO.
	Counts bool `json:"counts"`
}

// Rate returns bytes per second, or 0.
func (p Phase) Rate() float64 {
	if p.Took <= 0 {
		return 0
	}
	return float64(p.Bytes) / p.Took.Seconds()
}

// LadderPoint is a restore point at the time of the drill.
type LadderPoint struct {
	Backup envdb.BackupID `json:"backup"`
	At     time.Time      `json:"at"`
	Until  time.Time      `json:"until,omitzero"`
	Proven bool           `json:"proven,omitempty"`
	Chosen bool           `json:"chosen,omitempty"`
}

// Accident is the damage of a scenario, and its repair.
type Accident struct {
	What   string    `json:"what"`
	SQL    []string  `json:"sql,omitempty"`
	At     time.Time `json:"at"`
	Before string    `json:"fingerprint_before"`
	Broken string    `json:"fingerprint_broken"`
	After  string    `json:"fingerprint_after"`
	// Lost says what lay between the point and the accident, and is gone.
	Lost []string `json:"lost"`
	// Between is how long that was.
	Between time.Duration `json:"between_ns"`
}

// Conclude sets the outcome by what was checked and measured. An error ends a
// drill as failed whatever was found before.
func (r *Report) Conclude(err error) {
	r.Outcome = Pass
	var reasons []string
	fail := func(why string) {
		r.Outcome = Fail
		reasons = append(reasons, why)
	}
	if err != nil {
		r.Error = err.Error()
		_, r.Next = envdb.Advice(err)
		fail(strings.SplitN(err.Error(), "\n", 2)[0])
	}
	for _, c := range r.Checks {
		if c.Outcome == Fail {
			what := c.Name
			if len(c.Findings) > 0 {
				what += ": " + c.Findings[0]
			}
			if c.Found > 1 {
				what += fmt.Sprintf(" and %d more", c.Found-1)
			}
			fail(what)
		}
	}
	for _, v := range r.Verdicts {
		if v.Outcome == Fail {
			fail(fmt.Sprintf("%s %s, and %s is the objective", v.Name, show(v.Got), show(v.Limit)))
		}
	}
	if r.Outcome == Pass {
		r.Summary = r.passed()
		return
	}
	r.Summary = strings.Join(reasons, "; ")
}

func (r *Report) passed() string {
	checked := r.Count(Pass)
	s := fmt.Sprintf("%s was restored to %s and checked in %s: %s passed", r.From, r.Point.UTC().Format("2006-01-02 15:04:05 UTC"), show(r.Measured.RTO), plural(checked, "check"))
	if n := r.Count(Skipped); n > 0 {
		s += fmt.Sprintf(", %d skipped", n)
	}
	if n := r.Count(Warned); n > 0 {
		s += fmt.Sprintf(", %s", plural(n, "warning"))
	}
	return s
}

// Count returns how many checks ended like that.
func (r *Report) Count(o Outcome) (n int) {
	for _, c := range r.Checks {
		if c.Outcome == o {
			n++
		}
	}
	return n
}

// Whole reports whether every row was compared, and all is well: then the backup
// is proven. Essential are the checks without which it is not, if they were
// skipped.
func (r *Report) Whole(essential ...string) bool {
	skipped := slices.ContainsFunc(r.Checks, func(c Check) bool {
		return c.Outcome == Skipped && slices.Contains(essential, c.Name)
	})
	return r.Outcome == Pass && r.Sampled == "" && !skipped
}

// Doubts reports whether what was found contradicts the backup's manifest.
func (r *Report) Doubts() bool {
	for _, c := range r.Checks {
		if c.Outcome == Fail && c.Contradicts {
			return true
		}
	}
	return false
}

// Unaccounted returns how much of the elapsed time no phase explains.
func (r *Report) Unaccounted() time.Duration {
	rest := r.Elapsed
	for _, p := range r.Phases {
		if p.Parent == "" {
			rest -= p.Took
		}
	}
	return rest
}

// show writes a duration as people read it: to three digits or so.
func show(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return envdb.FormatDuration(d.Round(time.Second))
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
