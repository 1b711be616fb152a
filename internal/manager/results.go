package manager

import (
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/generation"
)

// BackupResult is what a backup made.
type BackupResult struct {
	backup.Manifest
	Run     string        `json:"run"`
	Pinned  bool          `json:"pinned"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// BuildResult is what a mirror or a restore made.
type BuildResult struct {
	Run         string           `json:"run"`
	Environment string           `json:"environment"`
	Source      string           `json:"source"`
	Backup      envdb.BackupID   `json:"backup"`
	Point       time.Time        `json:"point,omitzero"`
	Neutrality  envdb.Neutrality `json:"neutrality"`
	// MaskedWith is the digest of the rules with which the data is masked, by
	// this run or by the one that filled the source.
	MaskedWith string `json:"masked_with,omitempty"`
	// Asked is the moment that was asked for, Behind how far before it the data
	// lies; 0 where it is exactly as it was then.
	Asked  *time.Time    `json:"asked,omitempty"`
	Behind time.Duration `json:"behind_ns,omitempty"`
	// Onto says that it is on a new server.
	Onto bool `json:"onto,omitempty"`
	// Database is the name of the version that was built, as it is now.
	Database string `json:"database"`
	Dark     bool   `json:"dark"`
	Previous string `json:"previous,omitempty"`

	// Commit is the git revision of what it was seeded with, if one was asked
	// for.
	Commit string `json:"commit,omitempty"`

	// Release and Migration say which code and schema belong to the data.
	Release   string            `json:"release,omitempty"`
	Migration *backup.Migration `json:"migration,omitempty"`

	Bytes          int64 `json:"bytes"`
	Tables         int   `json:"tables"`
	Rows           int64 `json:"rows"`
	ObjectsChecked int   `json:"objects_checked"`
	// Masked says what was masked; nil where no rules were.
	Masked    *MaskedResult         `json:"masked,omitempty"`
	Promotion *generation.Promotion `json:"promotion,omitempty"`
	Notes     []string              `json:"notes,omitempty"`
	Next      string                `json:"next,omitempty"`
	Elapsed   time.Duration         `json:"elapsed_ns"`
}

// SwapResult is what a promote or a rollback made.
type SwapResult struct {
	Run         string           `json:"run"`
	Environment string           `json:"environment"`
	Was         string           `json:"was"` // the name that the live version had
	Previous    string           `json:"previous,omitempty"`
	Source      string           `json:"source,omitempty"`
	Point       time.Time        `json:"point,omitzero"`
	Neutrality  envdb.Neutrality `json:"neutrality,omitempty"`
	// Masked is the digest of the rules with which the data was masked.
	Masked string        `json:"masked,omitempty"`
	Held   time.Duration `json:"logins_held_ns"`
	// Undo is the command that undoes it, as it can be run.
	Undo string `json:"undo,omitempty"`
}

// BackupLine is a backup in a list.
type BackupLine struct {
	Environment  string         `json:"environment"`
	ID           envdb.BackupID `json:"id"`
	Point        time.Time      `json:"point"`
	GoodUntil    time.Time      `json:"good_until,omitzero"`
	LogicalBytes int64          `json:"logical_bytes"`
	StoredBytes  int64          `json:"stored_bytes"`
	Release      string         `json:"release,omitempty"`
	Note         string         `json:"note,omitempty"`
	Pinned       bool           `json:"pinned,omitempty"`
	Proven       bool           `json:"proven,omitempty"`
	Bad          bool           `json:"bad,omitempty"`
	Damaged      []string       `json:"damaged,omitempty"`
	Unreadable   string         `json:"unreadable,omitempty"`
	// Tombstone says when a deleted backup goes, and who deleted it.
	Tombstone *backup.Tombstone `json:"tombstone,omitempty"`
}

// State returns the marks of the backup for people.
func (b BackupLine) State() string {
	switch {
	case b.Tombstone != nil && b.Tombstone.Begun:
		return "is being deleted"
	case b.Tombstone != nil:
		return "deleted, goes at " + b.Tombstone.SweepAfter.UTC().Format("2006-01-02 15:04 UTC")
	case b.Unreadable != "":
		return "unreadable"
	case b.Bad:
		return "bad"
	case len(b.Damaged) > 0:
		return "damaged"
	case b.Proven && b.Pinned:
		return "proven, pinned"
	case b.Proven:
		return "proven"
	case b.Pinned:
		return "pinned"
	}
	return "good"
}

// BackupList is the backups of an environment, oldest first.
type BackupList struct {
	Environment string       `json:"environment"`
	Backups     []BackupLine `json:"backups"`
	// OtherProjects have backups in the store while this one has none at all:
	// its name may be wrong. Elsewhere is a sentence of that.
	OtherProjects []string `json:"other_projects,omitempty"`
	Elsewhere     string   `json:"elsewhere,omitempty"`
	Next          string   `json:"next,omitempty"`
}

// VersionLine is a version in a list.
type VersionLine struct {
	Name       string             `json:"name"`
	State      envdb.VersionState `json:"state"`
	Source     string             `json:"source,omitempty"`
	Backup     string             `json:"backup,omitempty"`
	Point      time.Time          `json:"point,omitzero"`
	Neutrality envdb.Neutrality   `json:"neutrality,omitempty"`
	// Digest is of the inputs of a seed, Labels what was noted of the version.
	Digest  string            `json:"digest,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Created time.Time         `json:"created,omitzero"`
	// Masked is the digest of the rules with which the data was masked.
	Masked string `json:"masked,omitempty"`
	// Size is in bytes, and nil where it is not known: the role in the url may
	// not ask for it, or the database can only be dropped.
	Size *int64 `json:"size,omitempty"`
	// Unsealed says why a baseline or a spare is of no use.
	Unsealed string `json:"unsealed,omitempty"`
}

// VersionList is the versions of an environment, live first.
type VersionList struct {
	Environment string        `json:"environment"`
	Versions    []VersionLine `json:"versions"`
}

// Status is the state of every environment.
type Status struct {
	At           time.Time           `json:"at"`
	Environments []EnvironmentStatus `json:"environments"`
	// Unknown says why nobody knows which environments were created.
	Unknown string `json:"unknown,omitempty"`
	// Drills is how the drills of the configuration stand.
	Drills []DrillState `json:"drills,omitempty"`
}

// EnvironmentStatus is the state of one environment.
type EnvironmentStatus struct {
	Name       string           `json:"name"`
	Tier       envdb.Tier       `json:"tier"`
	State      string           `json:"state"` // "up", "hibernating", …, or why it cannot be asked
	DataSource string           `json:"data_source,omitempty"`
	DataPoint  time.Time        `json:"data_point,omitzero"`
	Neutrality envdb.Neutrality `json:"neutrality,omitempty"`
	// Digest is of what the live version was seeded with, Labels what was noted
	// of it.
	Digest   string            `json:"digest,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Seeded   time.Time         `json:"seeded,omitzero"`
	Masked   string            `json:"masked,omitempty"`
	Newest   *BackupLine       `json:"newest_backup,omitempty"`
	Backups  int               `json:"backups"`
	Versions []VersionLine     `json:"versions,omitempty"`
	LastRun  string            `json:"last_run,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	// Expires is when an environment that was created goes.
	Expires        *time.Time `json:"expires,omitempty"`
	ProtectedUntil *time.Time `json:"protected_until,omitempty"`
	// HibernatedBytes is how much of the store the backup keeps to which an
	// environment was reduced.
	HibernatingSince *time.Time `json:"hibernating_since,omitempty"`
	HibernatedBytes  int64      `json:"hibernated_bytes,omitempty"`
}

// EnvironmentLine is an environment of the configuration, or one that was
// created from a pattern of it.
type EnvironmentLine struct {
	Name       string     `json:"name"`
	Tier       envdb.Tier `json:"tier"`
	Protected  bool       `json:"protected"`
	MirrorFrom string     `json:"mirror_from,omitempty"`
	URL        string     `json:"url"` // without its password
	// State is "declared", "created", "being created", "being destroyed" or
	// "hibernating".
	State       string     `json:"state"`
	Hibernating *time.Time `json:"hibernating_since,omitempty"`

	// What follows is known of one that was created.
	Pattern        string            `json:"pattern,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	From           string            `json:"from,omitempty"`
	Created        *time.Time        `json:"created,omitempty"`
	By             string            `json:"by,omitempty"`
	Expires        *time.Time        `json:"expires,omitempty"`
	ProtectedUntil *time.Time        `json:"protected_until,omitempty"`
	// Idle is how long one of its pattern may be without a visitor, 0 for ever.
	// Observed is when DestroyExpired last looked; what it saw is that nobody
	// came after LastUsed, and if nobody does it goes at IdleDue.
	Idle     time.Duration `json:"idle_ns,omitempty"`
	Observed *time.Time    `json:"use_observed,omitempty"`
	LastUsed *time.Time    `json:"last_used,omitempty"`
	IdleDue  *time.Time    `json:"idle_due,omitempty"`
}

// EnvironmentList is the environments of the configuration, in its order, and
// then those that were created.
type EnvironmentList struct {
	At           time.Time         `json:"at"`
	Environments []EnvironmentLine `json:"environments"`
	// Patterns are what others can be created from.
	Patterns []string `json:"patterns,omitempty"`
	// Unknown says why nobody knows which were created.
	Unknown string `json:"unknown,omitempty"`
}

// EnvironmentURL is a connection string with its secrets, on request.
type EnvironmentURL struct {
	Environment string `json:"environment"`
	URL         string `json:"url"`
}

// IdentityReport compares a recorded identity with the one given now.
type IdentityReport struct {
	Environment string          `json:"environment"`
	Recorded    *envdb.Identity `json:"recorded,omitempty"`
	Now         *envdb.Identity `json:"now,omitempty"`
	Unreachable string          `json:"unreachable,omitempty"`
}

// Matches reports whether the server is the recorded one, as far as both are
// known.
func (r IdentityReport) Matches() bool {
	return r.Recorded == nil || r.Now == nil || r.Recorded.MayBe(*r.Now)
}
