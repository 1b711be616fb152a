package envdb

import (
	"regexp"
	"time"
)

// BackupID names a backup: YYYYMMDD-HHMMSS in UTC, so ids sort by time. On a
// collision the next free second is taken, so an id is a name, not a clock.
type BackupID string

const backupIDLayout = "20060102-150405"

var backupIDForm = regexp.MustCompile(`^\d{8}-\d{6}$`)

// NewBackupID returns the id of a backup begun at t.
func NewBackupID(t time.Time) BackupID { return BackupID(t.UTC().Format(backupIDLayout)) }

// ParseBackupID returns s as an id, or an error if it does not have the form.
func ParseBackupID(s string) (BackupID, error) {
	if !backupIDForm.MatchString(s) {
		return "", Fail(ErrMisuse, "%q is not a backup id", s).WithNext("an id looks like 20261120-140500; see `envdb backups ENV`")
	}
	if _, err := time.Parse(backupIDLayout, s); err != nil {
		return "", Fail(ErrMisuse, "backup id %q: %w", s, err).WithNext("an id looks like 20261120-140500; see `envdb backups ENV`")
	}
	return BackupID(s), nil
}

// Time returns the second that the id names, or the zero time for an id that
// does not parse.
func (id BackupID) Time() time.Time {
	t, _ := time.Parse(backupIDLayout, string(id))
	return t
}

// Next returns the id one second later.
func (id BackupID) Next() BackupID { return NewBackupID(id.Time().Add(time.Second)) }
