package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Tidied is what Tidy did.
type Tidied struct {
	RolledUp int // runs whose records a rollup replaced
	Deleted  int // runs, and rollups, that were older than is kept
}

// Tidy rolls the successful ladder backups of days that are over up, and deletes
// what is older than keep. What runs, failed, was interrupted or begun by a
// person stays until then. It can be cut short, and done by several daemons at
// once: a rollup is stored before what it stands for is removed. What cannot be
// tidied up on one day does not keep the others.
func (l *Ledger) Tidy(ctx context.Context, keep time.Duration) (Tidied, error) {
	var t Tidied
	now := l.config.Now().UTC()
	oldest := now.Add(-keep).Format(dayLayout)
	today := now.Format(dayLayout)
	days, err := l.days(ctx)
	if err != nil {
		return t, err
	}
	var errs []error
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if day >= today {
			break
		}
		tidy := l.rollUp
		if day < oldest {
			tidy = l.forgetDay
		}
		err := errors.Join(l.settle(ctx, days[day]), tidy(ctx, day, days[day], &t))
		errs = append(errs, err)
		if ctx.Err() != nil || errors.Is(err, envdb.ErrUnreachable) {
			break
		}
	}
	return t, errors.Join(errs...)
}

// settle marks those as interrupted that are said to run and are known to be
// dead: whoever took their place died, or lost the store, before it said so.
func (l *Ledger) settle(ctx context.Context, keys []string) error {
	for _, key := range keys {
		k, ok := parseRunKey(key)
		if !ok || k.outcome != Running {
			continue
		}
		run, err := l.load(ctx, k)
		if errors.Is(err, envdb.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if why := l.whyDead(ctx, k, run); run.Outcome == Running && why != "" {
			if err := l.MarkInterrupted(ctx, k.id, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// days lists all keys of the history by day.
func (l *Ledger) days(ctx context.Context) (map[string][]string, error) {
	days := map[string][]string{}
	for object, err := range l.store.List(ctx, l.runsPrefix()) {
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		day, _, found := strings.Cut(strings.TrimPrefix(object.Key, l.runsPrefix()), "/")
		if _, err := time.Parse(dayLayout, day); found && err == nil {
			days[day] = append(days[day], object.Key)
		}
	}
	return days, nil
}

// pastRun is what is stored of a run: the record that counts, and before it what
// has to be removed first, so that who dies in between leaves a run that is
// removed the next time, and no lesser record that would count then.
type pastRun struct {
	last   runKey // zero if there is only a log
	before []string
}

// remove deletes what is stored of the run.
func (l *Ledger) remove(ctx context.Context, run pastRun) error {
	keys := run.before
	if run.last.key != "" {
		keys = append(keys, run.last.key)
	}
	for _, key := range keys {
		if err := l.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove %s: %w", key, err)
		}
	}
	return nil
}

// pastRuns returns the runs of some keys, by their ids.
func pastRuns(keys []string) map[string]pastRun {
	runs := map[string]pastRun{}
	for _, key := range keys {
		name := key[strings.LastIndexByte(key, '/')+1:]
		k, isRecord := parseRunKey(key)
		id, isLog := strings.CutSuffix(name, ".log")
		switch {
		case isRecord:
			run := runs[k.id]
			lesser := k.key
			if run.last.key == "" || k.outcome.rank() > run.last.outcome.rank() {
				lesser, run.last = run.last.key, k
			}
			if lesser != "" {
				run.before = append(run.before, lesser)
			}
			runs[k.id] = run
		case isLog && len(id) == runIDLength:
			run := runs[id]
			run.before = append(run.before, key)
			runs[id] = run
		}
	}
	return runs
}

// forgetDay deletes what is known of a day, but for runs that are not known to
// have ended, and what is not ours.
func (l *Ledger) forgetDay(ctx context.Context, _ string, keys []string, t *Tidied) error {
	runs := pastRuns(keys)
	for _, id := range slices.Sorted(maps.Keys(runs)) {
		run := runs[id]
		if run.last.outcome == Running {
			continue
		}
		if err := l.remove(ctx, run); err != nil {
			return err
		}
		if run.last.key != "" {
			t.Deleted++
		}
	}
	for _, key := range keys {
		if !strings.HasSuffix(key, rollupSuffix) {
			continue
		}
		if err := l.store.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove %s: %w", key, err)
		}
		t.Deleted++
	}
	return nil
}

// rollUp rolls one day up.
func (l *Ledger) rollUp(ctx context.Context, day string, keys []string, t *Tidied) error {
	byEnv := map[string][]runKey{}
	for _, run := range pastRuns(keys) {
		if k := run.last; k.outcome == Succeeded && k.operation == envdb.OpBackup {
			byEnv[k.environment] = append(byEnv[k.environment], k)
		}
	}
	var errs []error
	for _, env := range slices.Sorted(maps.Keys(byEnv)) {
		runs, err := l.loadAll(ctx, byEnv[env])
		if err != nil {
			return err
		}
		runs = slices.DeleteFunc(runs, func(r *Run) bool { return r == nil || r.Trigger != TriggerLadder || r.Outcome != Succeeded })
		if len(runs) == 0 {
			continue
		}
		if err := l.rollUpRuns(ctx, day, runs); err != nil {
			errs = append(errs, err)
			continue
		}
		t.RolledUp += len(runs)
	}
	return errors.Join(errs...)
}

// rollUpRuns stores the rollup of some runs, and then removes their records.
func (l *Ledger) rollUpRuns(ctx context.Context, day string, runs []*Run) error {
	key := l.rollupKey(day, runs[0].Environment)
	for {
		rollup, cond, err := l.readRollup(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			rollup, cond, err = &Rollup{Day: day, Environment: runs[0].Environment, Operation: envdb.OpBackup}, envdb.IfAbsent(), nil
		}
		if err != nil {
			return err
		}
		for _, run := range runs {
			rollup.add(run)
		}
		rollup.sum()
		err = l.writeRollup(ctx, key, rollup, cond)
		if errors.Is(err, envdb.ErrCondition) { // another daemon does it, too
			if err := pause(ctx, jitter()); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("roll %s of %s up: %w", day, rollup.Environment, err)
		}
		break
	}
	for _, run := range runs {
		var keys []string
		for object, err := range l.store.List(ctx, l.runPrefix(run.ID)) {
			if err != nil {
				return fmt.Errorf("roll run %s up: %w", run.ID, err)
			}
			keys = append(keys, object.Key)
		}
		if err := l.remove(ctx, pastRuns(keys)[run.ID]); err != nil {
			return fmt.Errorf("roll run %s up: %w", run.ID, err)
		}
	}
	return nil
}
