package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
)

// DamagedError says that an object of the repository is missing, cut short or
// not what was written. It is an ErrVerification.
type DamagedError struct {
	Environment string
	Backup      envdb.BackupID // that was being read
	Object      string         // key of the object that is damaged
	Reason      error

	unmarked error // why no mark says so, although one should
	recorded bool  // a mark says so
}

// Error says which object of which backup is damaged, and how.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("backup %s of %s is damaged: %s: %v", e.Backup, e.Environment, e.Object, e.Reason)
}

// Unwrap returns what a person can do, and the reason.
func (e *DamagedError) Unwrap() []error {
	advice := envdb.Fail(envdb.ErrVerification, "%s", e.Error()).
		WithNext("take a new backup with `envdb backup %s`, use another one meanwhile, and see `envdb verify %s --read-data`", e.Environment, e.Environment)
	switch {
	case e.recorded:
		advice = advice.WithState("the damage is recorded; the next backup does not refer to %s", e.Object)
	case e.unmarked != nil:
		advice = advice.WithState("%s", unrecorded(e.unmarked))
	}
	return []error{advice, e.Reason}
}

// unrecorded says what it means that damage could not be marked. The reason is
// text only: that a mark was refused is not what happened to the object.
func unrecorded(why error) string {
	return fmt.Sprintf("the damage is not recorded, so the next backup may refer to what is damaged: %v", why)
}

// notDamage are the errors of the way to an object: credentials that expired
// say nothing of a pack.
var notDamage = []error{
	envdb.ErrUnreachable, envdb.ErrPreflight, envdb.ErrBusy, envdb.ErrInterrupted, context.Canceled, context.DeadlineExceeded,
}

// isDamage reports whether an error of reading an object says something of the
// object, rather than of the way to it.
func isDamage(err error) bool {
	return err != nil && !slices.ContainsFunc(notDamage, func(other error) bool { return errors.Is(err, other) })
}
