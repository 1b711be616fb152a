package ledger

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/envdb/envdb"
)

// clockLease is the lease that nobody ever holds: it is written to see what the
// store's clock shows, where everybody may write who may take a lease.
const clockLease = "clock:"

// storeClock returns what the store's clock shows, or the zero time if the store
// does not say.
func (l *Ledger) storeClock(ctx context.Context) (time.Time, error) {
	if err := l.writeLease(ctx, &leaseState{Environment: clockLease}, envdb.Condition{}); err != nil {
		return time.Time{}, err
	}
	_, object, err := l.read(ctx, l.leaseKey(clockLease))
	return object.Modified, err
}

// StoreSkew returns how far the store's clock is ahead of this machine's, to
// about a second, which is what stores tell. It writes a small object.
func (l *Ledger) StoreSkew(ctx context.Context) (time.Duration, error) {
	began := l.config.Now()
	shows, err := l.storeClock(ctx)
	ended := l.config.Now()
	if err != nil || shows.IsZero() {
		return 0, err
	}
	// The object was written between the two; a store that keeps whole seconds
	// cut the rest off.
	switch {
	case shows.Add(time.Second).Before(began):
		return shows.Sub(began), nil
	case shows.After(ended.Add(time.Second)):
		return shows.Sub(ended), nil
	}
	return 0, nil
}

// silentFor returns for how long an object has not been written, by the store's
// own clock: this machine's may be wrong, and what is taken for dead is cleared
// away. again reads when the object was last written. It reports false if that
// cannot be known.
//
// This machine's clock decides whether it is worth asking, and for who may not
// write to the store: who may not, clears nothing away either.
func (l *Ledger) silentFor(ctx context.Context, modified time.Time, patience time.Duration, again func() (time.Time, error)) (time.Duration, bool) {
	age := l.config.Now().Sub(modified)
	if modified.IsZero() || age.Abs() <= patience {
		return age, !modified.IsZero()
	}
	now, err := l.storeClock(ctx)
	if mayNotWrite(err) {
		return age, true
	}
	if err != nil || now.IsZero() {
		return 0, false
	}
	// It may have been written since it was read; this machine may have slept.
	modified, err = again()
	return now.Sub(modified), err == nil && !modified.IsZero()
}

func mayNotWrite(err error) bool {
	return errors.Is(err, envdb.ErrPreflight) || errors.Is(err, envdb.ErrRefused) || errors.Is(err, fs.ErrPermission)
}
