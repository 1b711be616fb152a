package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/envdb/envdb"
)

// Filter chooses runs. The zero Filter takes all.
type Filter struct {
	Environment string
	Operation   envdb.Operation
	// Failed takes what did not succeed: failed and interrupted runs.
	Failed bool
	// Since takes runs that began then or later.
	Since time.Time
	// Limit is how many of the newest to take; 0 is all.
	Limit int
}

// admits judges by the name of the record. A running one may turn out to be
// interrupted.
func (f Filter) admits(k runKey) bool {
	return (f.Environment == "" || k.environment == escape(f.Environment)) &&
		(f.Operation == "" || k.operation == f.Operation) &&
		(!f.Failed || k.outcome != Succeeded) &&
		(f.Since.IsZero() || !k.started().Before(f.Since.Truncate(time.Millisecond)))
}

// started returns when the run began, from its id.
func (k runKey) started() time.Time {
	stamp := k.id[:len("20060102-150405")] + "." + k.id[len("20060102-150405-"):len(runIDLayout)]
	t, _ := time.Parse(runIDLayout, stamp)
	return t
}

// Runs returns the runs that f chooses, newest first. A run whose process is
// gone shows as interrupted, whatever its record says.
func (l *Ledger) Runs(ctx context.Context, f Filter) ([]Run, error) {
	keys, err := l.candidates(ctx, f)
	if err != nil {
		return nil, err
	}
	var runs []Run
	const batch = 16
	for some := range slices.Chunk(keys, batch) {
		loaded, err := l.loadAll(ctx, some)
		if err != nil {
			return nil, err
		}
		for _, run := range loaded {
			if run == nil || f.Failed && (run.Outcome == Running || run.Outcome == Succeeded) {
				continue
			}
			if runs = append(runs, *run); len(runs) == f.Limit {
				return runs, nil
			}
		}
	}
	return runs, nil
}

// candidates returns the names of the records that f may choose, newest first.
// For a few runs it looks at the last days first: they are most often asked
// for, and one listing of everything may be long.
func (l *Ledger) candidates(ctx context.Context, f Filter) ([]runKey, error) {
	if f.Limit > 0 && f.Since.IsZero() {
		recent := f
		recent.Since = l.config.Now().UTC().AddDate(0, 0, -1)
		keys, err := l.candidates(ctx, recent)
		// Of the failed ones, those that run may still drop out.
		if err != nil || !f.Failed && len(keys) >= f.Limit {
			return keys, err
		}
	}
	var keys []runKey
	for _, prefix := range l.prefixesSince(f.Since) {
		some, err := l.keys(ctx, prefix)
		if err != nil {
			return nil, err
		}
		keys = append(keys, some...)
	}
	keys = slices.DeleteFunc(keys, func(k runKey) bool { return !f.admits(k) })
	slices.SortFunc(keys, func(a, b runKey) int { return cmp.Compare(b.id, a.id) })
	return keys, nil
}

// prefixesSince returns what to list: single days, if they are few. Clocks of
// other machines may be a day ahead.
func (l *Ledger) prefixesSince(since time.Time) []string {
	const few = 8
	today := l.config.Now().UTC()
	if since.IsZero() || today.Sub(since) > few*24*time.Hour {
		return []string{l.runsPrefix()}
	}
	var prefixes []string
	for day := since.UTC().Truncate(24 * time.Hour); !day.After(today.AddDate(0, 0, 1)); day = day.AddDate(0, 0, 1) {
		prefixes = append(prefixes, l.dayPrefix(day.Format(dayLayout)))
	}
	return prefixes
}

// loadAll reads records side by side. A run that was deleted meanwhile is nil.
func (l *Ledger) loadAll(ctx context.Context, keys []runKey) ([]*Run, error) {
	runs := make([]*Run, len(keys))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, k := range keys {
		group.Go(func() error {
			run, err := l.loadJudged(ctx, k)
			if errors.Is(err, envdb.ErrNotFound) {
				return nil
			}
			runs[i] = run
			return err
		})
	}
	return runs, group.Wait()
}

// loadJudged reads a record and says whether its run still runs.
func (l *Ledger) loadJudged(ctx context.Context, k runKey) (*Run, error) {
	run, err := l.load(ctx, k)
	if err != nil || run.Outcome != Running {
		return run, err
	}
	why := l.whyDead(ctx, k, run)
	if why == "" {
		return run, nil
	}
	// It may have ended between the two looks; its own word counts.
	now, err := l.current(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	if now.outcome != Running {
		return l.load(ctx, now)
	}
	return interrupted(run, why), nil
}

// whyDead says why a running record's run cannot be running, or "" if that is
// not known.
func (l *Ledger) whyDead(ctx context.Context, k runKey, run *Run) string {
	if m := l.config.Machine; m.knows(run.Process) {
		if m.Gone(run.Process) {
			return fmt.Sprintf("process %d on %s is gone", run.Process.PID, run.Host)
		}
		return ""
	}
	// An unreadable record may not know the whole name of its environment.
	if run.Unleased || escape(run.Environment) != k.environment {
		return ""
	}
	state, _, err := l.readLease(ctx, run.Environment)
	if err != nil { // an unreadable lease must not hide the runs
		return ""
	}
	for _, h := range state.holders() {
		if h.Run == run.ID {
			return l.whySilent(ctx, h, state)
		}
	}
	return fmt.Sprintf("it no longer holds the lease of %s", run.Environment)
}

// whySilent says why a holder must be dead, or "". A single look cannot tell
// whether the beat changes, so a lease that nobody has written for long is
// called dead by the clock of the store. Nobody takes a lease over for it.
func (l *Ledger) whySilent(ctx context.Context, h Holder, state *leaseState) string {
	const old = 5 * time.Minute
	dies := l.lifeOf(h) == dead
	if !dies {
		silent, known := l.silentFor(ctx, state.modified, old, func() (time.Time, error) {
			again, _, err := l.readLease(ctx, state.Environment)
			if err != nil {
				return time.Time{}, err
			}
			return again.modified, nil
		})
		dies = known && silent > old
	}
	if dies {
		return fmt.Sprintf("%s gives no sign of life", h.Host)
	}
	return ""
}

func interrupted(run *Run, why string) *Run {
	run.Outcome = Interrupted
	if run.Error == "" {
		run.Error = "interrupted: " + why
		run.Next = "`envdb doctor` finds what it left behind; running it again is safe"
		if undo, _ := run.Facts[FactUndo].(string); undo != "" {
			run.Next = undo + " undoes what it had begun to do"
		}
	}
	return run
}

// Run returns the run with the id, or with the only id that begins with it;
// "latest" is the newest run.
func (l *Ledger) Run(ctx context.Context, idOrPrefix string) (*Run, error) {
	k, err := l.findKey(ctx, idOrPrefix)
	if err != nil {
		return nil, err
	}
	return l.loadJudged(ctx, k)
}

func (l *Ledger) findKey(ctx context.Context, prefix string) (runKey, error) {
	if prefix == "latest" {
		keys, err := l.candidates(ctx, Filter{Limit: 1})
		if err != nil {
			return runKey{}, err
		}
		if len(keys) == 0 {
			return runKey{}, envdb.Fail(envdb.ErrNotFound, "there are no runs yet")
		}
		return keys[0], nil
	}
	if prefix == "" || !isRunID(prefix) {
		return runKey{}, envdb.Fail(envdb.ErrMisuse, "%q is not the id of a run", prefix).WithNext("see `envdb runs`")
	}
	path := l.runsPrefix() + prefix
	if len(prefix) >= len(dayLayout) {
		path = l.dayPrefix(prefix[:len(dayLayout)]) + prefix
	}
	keys, err := l.keys(ctx, path)
	if err != nil {
		return runKey{}, err
	}
	switch len(keys) {
	case 0:
		return runKey{}, notFound(prefix)
	case 1:
		return keys[0], nil
	}
	return runKey{}, ambiguous(prefix, keys)
}

func ambiguous(prefix string, keys []runKey) error {
	const shown = 5
	var ids []string
	for _, k := range keys[max(0, len(keys)-shown):] {
		ids = append(ids, k.id)
	}
	return envdb.Fail(envdb.ErrMisuse, "%d runs begin with %q", len(keys), prefix).
		WithNext("give more of the id; the newest are %s", strings.Join(ids, ", "))
}

// Log returns the log of the run with the id. A run that logged nothing yet
// has an empty one.
func (l *Ledger) Log(ctx context.Context, id string) ([]byte, error) {
	k, err := l.findKey(ctx, id)
	if err != nil {
		return nil, err
	}
	key := l.logKey(k.id)
	sealed, _, err := l.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", k.id, err)
	}
	text, err := l.config.Unseal(ctx, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("log of run %s: %w", k.id, err)
	}
	return text, nil
}

// MarkInterrupted records that a run was found dead. It leaves a run that has
// ended as it is, and a run without a record too.
func (l *Ledger) MarkInterrupted(ctx context.Context, id, why string) error {
	k, err := l.current(ctx, id)
	if errors.Is(err, envdb.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	run, err := l.load(ctx, k)
	if err != nil || run.Outcome != Running {
		return err
	}
	run = interrupted(run, why)
	run.Finished = l.config.Now().UTC()
	// Under the names that it had: an unreadable record does not tell them.
	if err := l.storeRunAs(ctx, k.with(Interrupted), run, nil); err != nil {
		return fmt.Errorf("mark run %s interrupted: %w", id, err)
	}
	return nil
}
