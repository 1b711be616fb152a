package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// LeaseLine is the lease of an environment, or of a job of the daemon.
type LeaseLine struct {
	Environment string
	Holders     []HolderLine
}

// HolderLine is a holder and its life: alive, dead, or in doubt for who just
// came.
type HolderLine struct {
	Holder
	Life string
}

// freeLeases remembers which leases were free when they were last read, so that
// a look at all of them costs one listing while nothing happens.
type freeLeases struct {
	mu   sync.Mutex
	seen map[string]freeLease // by key
}

// freeLease is one that is free, and since when, of this process's time, its
// object is known as it is.
type freeLease struct {
	modified time.Time
	since    time.Time
	settled  bool
}

// settled is how long an object must be known to be sure that another write has
// another time: stores keep seconds, and their clocks are their own.
const settled = 2 * time.Second

func (f *freeLeases) has(key string, modified time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, known := f.seen[key]
	return known && last.settled && last.modified.Equal(modified)
}

// read takes in what was read of a lease after it had been listed.
func (f *freeLeases) read(key string, modified time.Time, free bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, known := f.seen[key]
	switch {
	case !free || modified.IsZero():
		delete(f.seen, key)
	case !known || !last.modified.Equal(modified):
		if f.seen == nil {
			f.seen = map[string]freeLease{}
		}
		f.seen[key] = freeLease{modified: modified, since: time.Now()}
	case time.Since(last.since) > settled:
		last.settled = true
		f.seen[key] = last
	}
}

// Leases returns the leases that somebody holds.
func (l *Ledger) Leases(ctx context.Context) ([]LeaseLine, error) {
	var held []LeaseLine
	prefix := l.project + "/leases/"
	for object, err := range l.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list the leases: %w", err)
		}
		path, isLease := strings.CutSuffix(strings.TrimPrefix(object.Key, prefix), ".json")
		if !isLease || strings.Contains(path, "/") || l.free.has(object.Key, object.Modified) {
			continue
		}
		raw, _, err := l.read(ctx, object.Key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a person removed it
		}
		if err != nil {
			return nil, fmt.Errorf("list the leases: %w", err)
		}
		state := &leaseState{}
		if json.Unmarshal(raw, state) != nil || l.leaseKey(state.Environment) != object.Key {
			l.config.Log.WarnContext(ctx, "a lease cannot be read", "object", object.Key)
			continue
		}
		line := LeaseLine{Environment: state.Environment}
		for _, h := range state.holders() {
			line.Holders = append(line.Holders, HolderLine{h, l.lifeOf(h).String()})
		}
		l.free.read(object.Key, object.Modified, len(line.Holders) == 0)
		if len(line.Holders) > 0 {
			held = append(held, line)
		}
	}
	return held, nil
}

// Reaped is what Reap found.
type Reaped struct {
	// Leases are those that are held, as they were before.
	Leases []LeaseLine
	// Gone are the holders whose runs were marked.
	Gone []Holder
}

// Reap marks the runs of holders that are dead for certain as interrupted. Dead
// readers leave their leases; a dead writer stays in its own until the next
// writer comes, who ends what its sessions still do on the server. What cannot be
// done for one does not keep the others.
func (l *Ledger) Reap(ctx context.Context) (*Reaped, error) {
	leases, err := l.Leases(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	reaped := &Reaped{Leases: leases}
	for _, lease := range leases {
		for _, h := range lease.Holders {
			if l.letGo.has(h.ID) {
				if err := l.removeHolder(ctx, lease.Environment, h.ID); err != nil {
					errs = append(errs, fmt.Errorf("release the lease of %s: %w", lease.Environment, err))
				}
				continue
			}
			if h.Life != dead.String() {
				continue
			}
			marked, err := l.markDead(ctx, h.Holder)
			if marked {
				reaped.Gone = append(reaped.Gone, h.Holder)
			}
			if err == nil {
				err = l.removeDeadReader(ctx, lease.Environment, h.ID)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("run %s, which is gone: %w", h.Run, err))
			}
		}
		if ctx.Err() != nil {
			break
		}
	}
	return reaped, errors.Join(errs...)
}

// markDead marks a dead holder's run, and reports whether it was not before.
func (l *Ledger) markDead(ctx context.Context, h Holder) (bool, error) {
	k, err := l.current(ctx, h.Run)
	if errors.Is(err, envdb.ErrNotFound) {
		return false, nil // the lease of a job has no record
	}
	if err != nil || k.outcome != Running {
		return false, err
	}
	err = l.MarkInterrupted(ctx, h.Run, h.Host+" gives no sign of life")
	return err == nil, err
}

func (l *Ledger) removeDeadReader(ctx context.Context, env, id string) error {
	return l.changeLease(ctx, env, func(s *leaseState) error {
		if s.Writer != nil && s.Writer.ID == id && !isJob(env) {
			return errNothingToChange
		}
		if s.find(id) == nil {
			return errNothingToChange
		}
		s.without(id)
		return nil
	})
}

// JobLease is the name of the lease under which one of several daemons does a
// job. No environment is called so: names have no colon.
func JobLease(job string) string { return jobPrefix + job }

const jobPrefix = "job:"

// isJob reports whether a lease is of a job: there is nothing on a server that
// the next holder would have to end.
func isJob(env string) bool { return strings.HasPrefix(env, jobPrefix) }
