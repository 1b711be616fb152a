package drill

import "time"

// Outcome is how a check, an objective or a drill ended.
type Outcome string

// The outcomes. A check that could not be made is Skipped, with the reason, and
// is never counted as passed; Warned found something that its author calls no
// failure.
const (
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
	Skipped Outcome = "skipped"
	Warned  Outcome = "warn"
)

// Check is one thing that was looked at in the restored database, or in the
// backup that it came from.
type Check struct {
	Name    string  `json:"name"`
	Outcome Outcome `json:"outcome"`
	// Covers says what was compared, e.g. "12 tables, 511,201 rows".
	Covers string `json:"covers,omitempty"`
	// Reason says why it was skipped, or what else is to be known of it.
	Reason string `json:"reason,omitempty"`
	// Findings name what is wrong, at most MaxFindings of them; Found is how
	// many there are.
	Findings []string      `json:"findings,omitempty"`
	Found    int           `json:"found,omitempty"`
	Took     time.Duration `json:"took_ns"`
	// Contradicts says that what was found contradicts the backup's own
	// manifest: it is the backup that is in doubt, not the drill.
	Contradicts bool `json:"contradicts_manifest,omitempty"`
}

// MaxFindings is how many findings a check lists.
const MaxFindings = 20

// Find adds what is wrong, and makes the check fail.
func (c *Check) Find(what string) {
	c.Outcome = Fail
	c.Found++
	if len(c.Findings) < MaxFindings {
		c.Findings = append(c.Findings, what)
	}
}

// Skip says why the check could not be made.
func (c *Check) Skip(why string) { c.Outcome, c.Reason = Skipped, why }
