package ledger

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Rollup stands for the successful ladder backups of an environment on a day
// that is over: there are up to 1,440 of them, and they say nothing that their
// sum does not.
type Rollup struct {
	Day         string          `json:"day"` // yyyymmdd, UTC
	Environment string          `json:"environment"`
	Operation   envdb.Operation `json:"operation"`
	Count       int             `json:"count"`
	// Took are durations.
	Shortest time.Duration `json:"shortest_ns"`
	Median   time.Duration `json:"median_ns"`
	Longest  time.Duration `json:"longest_ns"`
	Logical  int64         `json:"logical_bytes"`
	Stored   int64         `json:"stored_bytes"`
	// Runs are those that it stands for, with how long each took: so that it can
	// be finished after a crash, and counts none twice.
	Runs []RolledRun `json:"runs"`
	// Unreadable says why nothing else is known.
	Unreadable string `json:"unreadable,omitempty"`
}

// RolledRun is a run that a Rollup stands for.
type RolledRun struct {
	ID      string        `json:"id"`
	Took    time.Duration `json:"took_ns"`
	Logical int64         `json:"logical_bytes,omitempty"`
	Stored  int64         `json:"stored_bytes,omitempty"`
}

// rollupSuffix ends the key of a rollup. It has no outcome, so that nobody takes
// it for a record.
const rollupSuffix = ".rollup"

func (l *Ledger) rollupKey(day, env string) string {
	return l.dayPrefix(day) + "ladder." + escape(env) + rollupSuffix
}

// parseRollupKey reads what the key of a rollup tells below the prefix of runs:
// the day, and the name of the environment as it is escaped.
func parseRollupKey(key string) (day, environment string, ok bool) {
	day, name, _ := strings.Cut(key, "/")
	name, isLadder := strings.CutPrefix(name, "ladder.")
	name, isRollup := strings.CutSuffix(name, rollupSuffix)
	_, err := time.Parse(dayLayout, day)
	return day, name, isLadder && isRollup && err == nil
}

// without takes runs out.
func (r *Rollup) without(runs map[string]bool) {
	r.Runs = slices.DeleteFunc(r.Runs, func(run RolledRun) bool { return runs[run.ID] })
	r.sum()
}

// add takes a run in, unless it is in already.
func (r *Rollup) add(run *Run) {
	if slices.ContainsFunc(r.Runs, func(old RolledRun) bool { return old.ID == run.ID }) {
		return
	}
	r.Runs = append(r.Runs, RolledRun{run.ID, run.Finished.Sub(run.Started), run.number("bytes"), run.number("stored")})
}

// sum computes what the runs come to.
func (r *Rollup) sum() {
	slices.SortFunc(r.Runs, func(a, b RolledRun) int { return cmp.Compare(a.ID, b.ID) })
	took := make([]time.Duration, len(r.Runs))
	r.Count, r.Logical, r.Stored = len(r.Runs), 0, 0
	r.Shortest, r.Median, r.Longest = 0, 0, 0
	for i, run := range r.Runs {
		took[i] = run.Took
		r.Logical += run.Logical
		r.Stored += run.Stored
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.Shortest, r.Median, r.Longest = took[0], took[len(took)/2], took[len(took)-1]
	}
}

// number returns a fact that is a number, or 0.
func (r *Run) number(fact string) int64 {
	switch n := r.Facts[fact].(type) {
	case json.Number:
		i, _ := n.Int64()
		return i
	case int64:
		return n
	}
	return 0
}

// readRollup returns a rollup, and the condition under which it is still so. One
// that is damaged is ErrVerification.
func (l *Ledger) readRollup(ctx context.Context, key string) (*Rollup, envdb.Condition, error) {
	sealed, object, err := l.read(ctx, key)
	if err != nil {
		return nil, envdb.Condition{}, fmt.Errorf("read %s: %w", key, err)
	}
	rollup, err := l.openRollup(ctx, key, sealed)
	return rollup, envdb.IfMatch(object.Tag), err
}

func (l *Ledger) openRollup(ctx context.Context, key string, sealed []byte) (*Rollup, error) {
	raw, err := l.config.Unseal(ctx, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	rollup := &Rollup{}
	err = json.Unmarshal(raw, rollup)
	if err == nil && l.rollupKey(rollup.Day, rollup.Environment) != key {
		err = fmt.Errorf("it is of %q on day %q", rollup.Environment, rollup.Day)
	}
	if err != nil {
		return nil, envdb.Fail(envdb.ErrVerification, "%s is damaged: %w", key, err).
			WithState("the runs that are still there were left as they are").
			WithNext("delete that object; the runs that it stands for are lost to the history")
	}
	return rollup, nil
}

func (l *Ledger) writeRollup(ctx context.Context, key string, rollup *Rollup, cond envdb.Condition) error {
	raw, err := json.Marshal(rollup)
	if err != nil {
		return err
	}
	sealed, err := l.config.Seal(ctx, key, raw)
	if err != nil {
		return err
	}
	_, err = l.store.Put(ctx, key, bytes.NewReader(sealed), cond)
	return err
}

// Rollups returns what was rolled up, newest day first: of an environment, or of
// all if it is empty, since a moment. A run whose record is still there is not
// counted: it is one of Runs. One that cannot be read hides no other.
func (l *Ledger) Rollups(ctx context.Context, env string, since time.Time) ([]Rollup, error) {
	var all []Rollup
	for _, prefix := range l.prefixesSince(since) {
		there := map[string]bool{} // runs, which are listed before what stands for them
		for object, err := range l.store.List(ctx, prefix) {
			if err != nil {
				return nil, fmt.Errorf("list runs: %w", err)
			}
			if k, isRecord := parseRunKey(object.Key); isRecord {
				there[k.id] = true
			}
			day, escaped, isRollup := parseRollupKey(strings.TrimPrefix(object.Key, l.runsPrefix()))
			if !isRollup || env != "" && escape(env) != escaped {
				continue
			}
			rollup, _, err := l.readRollup(ctx, object.Key)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				continue // it was too old
			case ctx.Err() != nil, errors.Is(err, envdb.ErrUnreachable):
				return nil, err
			case err != nil:
				rollup = &Rollup{Day: day, Environment: unescape(escaped), Operation: envdb.OpBackup, Unreadable: err.Error()}
			}
			rollup.without(there)
			if rollup.Count > 0 || rollup.Unreadable != "" {
				all = append(all, *rollup)
			}
		}
	}
	slices.SortFunc(all, func(a, b Rollup) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.Environment, b.Environment))
	})
	return all, nil
}
