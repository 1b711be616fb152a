package manager

import (
	"time"

	"github.com/envdb/envdb"
)

// Plan is what an operation is going to do. A dry run prints the same Plan
// that a real run executes.
type Plan struct {
	Operation   envdb.Operation `json:"operation"`
	Environment string          `json:"environment"`
	Source      string          `json:"source,omitempty"`
	// Asked is the moment that was asked for, Point the restore point that
	// answers it; both in UTC.
	Asked  *time.Time     `json:"asked,omitempty"`
	Point  *time.Time     `json:"point,omitempty"`
	Backup envdb.BackupID `json:"backup,omitempty"`
	// Behind is how far before Asked the data lies; 0 where it is exactly as it
	// was then.
	Behind time.Duration `json:"behind_ns,omitempty"`
	// TakesBackup says that a backup of Source comes first.
	TakesBackup bool `json:"takes_backup,omitempty"`
	// Bytes is the logical size of what is copied.
	Bytes int64 `json:"bytes,omitempty"`
	// Live is the database that serves now, or will.
	Live       string           `json:"live,omitempty"`
	Neutrality envdb.Neutrality `json:"neutrality,omitempty"`
	// PeakBytes is what the environment takes on its server's disk when it
	// takes most; Peak are the parts of it. What comes is an estimate.
	PeakBytes int64      `json:"peak_bytes,omitempty"`
	Peak      []DiskPart `json:"peak,omitempty"`
	// Masked lists what will be masked, one line for each table.
	Masked   []string `json:"masked,omitempty"`
	Steps    []string `json:"steps"`
	Warnings []string `json:"warnings,omitempty"`
}

// add appends a step, and returns p.
func (p *Plan) add(steps ...string) *Plan {
	p.Steps = append(p.Steps, steps...)
	return p
}
