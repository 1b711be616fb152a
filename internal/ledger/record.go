package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/envdb/envdb"
)

func encode(r *Run) ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	return append(raw, '\n'), err
}

// decode reads a record. Numbers among the facts stay exact.
func decode(raw []byte) (*Run, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	r := &Run{}
	return r, d.Decode(r)
}

// storeRun writes the record and log of a run that has ended, and then removes
// its other records. Done again, it changes nothing.
func (l *Ledger) storeRun(ctx context.Context, run *Run, log []byte) error {
	return l.storeRunAs(ctx, l.recordKey(run), run, log)
}

// storeRunAs is storeRun for a run whose record has that key.
func (l *Ledger) storeRunAs(ctx context.Context, key string, run *Run, log []byte) error {
	raw, err := encode(run)
	if err != nil {
		return err
	}
	if log != nil {
		if err := l.putSealed(ctx, l.logKey(run.ID), log); err != nil {
			return err
		}
	}
	if err := l.putSealed(ctx, key, raw); err != nil {
		return err
	}
	return l.removeLesserRecords(ctx, run)
}

// putSealed writes a record or a log, sealed for its key.
func (l *Ledger) putSealed(ctx context.Context, key string, plain []byte) error {
	sealed, err := l.config.Seal(ctx, key, plain)
	if err != nil {
		return err
	}
	_, err = l.store.Put(ctx, key, bytes.NewReader(sealed), envdb.Condition{})
	return err
}

// removeLesserRecords deletes the records of the run that its last one
// overrules.
func (l *Ledger) removeLesserRecords(ctx context.Context, run *Run) error {
	var lesser []string
	for object, err := range l.store.List(ctx, l.runPrefix(run.ID)) {
		if err != nil {
			return err
		}
		if k, ok := parseRunKey(object.Key); ok && k.outcome.rank() < run.Outcome.rank() {
			lesser = append(lesser, object.Key)
		}
	}
	for _, key := range lesser {
		if err := l.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// load reads the record under k. If it was replaced meanwhile, the record that
// replaced it is read.
func (l *Ledger) load(ctx context.Context, k runKey) (*Run, error) {
	for range 3 { // a record is replaced at most twice
		raw, _, err := l.read(ctx, k.key)
		if errors.Is(err, fs.ErrNotExist) {
			if k, err = l.current(ctx, k.id); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read run %s: %w", k.id, err)
		}
		run, err := l.openRecord(ctx, k, raw)
		if err != nil { // do not let one hide the others
			return &Run{
				ID: k.id, Environment: unescape(k.environment), Operation: k.operation, Outcome: k.outcome,
				Started: k.started(), Error: fmt.Sprintf("the record %s is unreadable: %v", k.key, err),
			}, nil
		}
		return run, nil
	}
	return nil, notFound(k.id)
}

// openRecord reads what is stored of a record. It has to be of the run that its
// key names.
func (l *Ledger) openRecord(ctx context.Context, k runKey, sealed []byte) (*Run, error) {
	raw, err := l.config.Unseal(ctx, k.key, sealed)
	if err != nil {
		return nil, err
	}
	run, err := decode(raw)
	if err == nil && (run.ID != k.id || escape(run.Environment) != k.environment) {
		err = fmt.Errorf("it is of run %q in environment %q", run.ID, run.Environment)
	}
	return run, err
}

// current returns the highest record of a run. The id may come from an object
// that anybody wrote.
func (l *Ledger) current(ctx context.Context, id string) (runKey, error) {
	if len(id) != runIDLength || !isRunID(id) {
		return runKey{}, notFound(id)
	}
	keys, err := l.keys(ctx, l.runPrefix(id))
	if err != nil {
		return runKey{}, err
	}
	if len(keys) == 0 {
		return runKey{}, notFound(id)
	}
	return keys[0], nil
}

func notFound(id string) error {
	return envdb.Fail(envdb.ErrNotFound, "there is no run %q", id).WithNext("see `envdb runs`")
}

// keys returns the highest record of every run under prefix, oldest run first.
func (l *Ledger) keys(ctx context.Context, prefix string) ([]runKey, error) {
	var keys []runKey
	for object, err := range l.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		k, ok := parseRunKey(object.Key)
		if !ok {
			continue
		}
		if last := len(keys) - 1; last >= 0 && strings.EqualFold(keys[last].id, k.id) {
			if k.outcome.rank() > keys[last].outcome.rank() {
				keys[last] = k
			}
			continue
		}
		keys = append(keys, k)
	}
	return keys, nil
}
