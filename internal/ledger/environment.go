package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/envdb/envdb"
)

// Environment is what is known of an environment beyond what the configuration
// says: that it was created from a pattern, and that it hibernates. One of
// which there is nothing to know has no record.
type Environment struct {
	Name        string       `json:"name"`
	Instance    *Instance    `json:"instance,omitempty"`
	Hibernation *Hibernation `json:"hibernation,omitempty"`
}

// Instance is an environment that was created from a pattern. Its record is
// written before its database is made, and goes after it.
type Instance struct {
	Pattern string `json:"pattern"`
	// Database is the name of its live version: another one under the same
	// name of an environment is not it.
	Database string            `json:"database"`
	Labels   map[string]string `json:"labels,omitempty"`
	// From is the environment, with the point, that it is filled from; empty
	// for a seed, or for nothing.
	From string `json:"from,omitempty"`
	// Ref is the git revision that it is seeded with, as a person named it;
	// empty for the work tree.
	Ref string `json:"ref,omitempty"`

	Created time.Time `json:"created"`
	By      string    `json:"by"`
	Run     string    `json:"run"`
	// Ready is when it first was live: zero while it is being created, and
	// after a run that died meanwhile.
	Ready time.Time `json:"ready,omitzero"`

	Expires        time.Time `json:"expires,omitzero"`
	ProtectedUntil time.Time `json:"protected_until,omitzero"`
	// Warned is when people were first told that it is going to go.
	Warned time.Time `json:"warned_at,omitzero"`
	// Destroying is when dropping its databases began. It does not come back.
	Destroying time.Time `json:"destroying,omitzero"`
	Use        Use       `json:"use,omitzero"`
}

// Use is what the server last said of the sessions in a live version.
type Use struct {
	At       time.Time `json:"at"`
	OID      uint32    `json:"oid"`
	Sessions int64     `json:"sessions"`
	Reset    time.Time `json:"reset,omitzero"`
	// Last is when somebody is known to have connected, at the latest.
	Last time.Time `json:"last"`
}

// Hibernation is that of an environment whose databases are dropped, or are
// about to be. Whatever became of the run that wrote it, it says how to wake up.
type Hibernation struct {
	Since time.Time `json:"since"`
	Run   string    `json:"run"`
	// Version is the id of the version that was live.
	Version string `json:"version"`
	// Backup is set once it is whole and verified. Only then databases are
	// dropped.
	Backup envdb.BackupID `json:"backup,omitempty"`
	// Bytes is how much of the store it keeps, what it shares with others too.
	Bytes int64 `json:"bytes,omitempty"`
}

func (e *Environment) empty() bool { return e.Instance == nil && e.Hibernation == nil }

func (l *Ledger) environmentsPrefix() string { return l.project + "/environments/" }

// environmentKey is the same for names that differ only in case: they would
// meet in a store's directories.
func (l *Ledger) environmentKey(name string) string {
	return l.environmentsPrefix() + escape(strings.ToLower(name))
}

// Person says who works here, for records.
func (l *Ledger) Person() string { return l.config.User + "@" + l.config.Host }

// Environment returns the record of an environment, or ErrNotFound.
func (l *Ledger) Environment(ctx context.Context, name string) (*Environment, error) {
	e, _, err := l.readEnvironment(ctx, name)
	if err == nil && e.empty() {
		return nil, envdb.Fail(envdb.ErrNotFound, "nothing is recorded of environment %s", name)
	}
	return e, err
}

// Environments returns every record, in the order of their names.
func (l *Ledger) Environments(ctx context.Context) ([]Environment, error) {
	var all []Environment
	for object, err := range l.store.List(ctx, l.environmentsPrefix()) {
		if err != nil {
			return nil, fmt.Errorf("list the records of environments: %w", err)
		}
		raw, _, err := l.read(ctx, object.Key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // destroyed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read the record %s: %w", object.Key, err)
		}
		e, err := l.openEnvironment(ctx, object.Key, raw)
		if err != nil {
			return nil, err
		}
		all = append(all, *e)
	}
	return all, nil
}

// ChangeEnvironment applies change to the record of an environment, or to an
// empty one, until no one else's write came in between; it is called again
// then, and finds what was written. A change that returns an error ends it. A
// record that says nothing any more is removed.
func (l *Ledger) ChangeEnvironment(ctx context.Context, name string, change func(*Environment) error) (*Environment, error) {
	for {
		e, cond, err := l.readEnvironment(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := change(e); err != nil {
			return nil, err
		}
		if e.empty() {
			return e, l.RemoveEnvironment(ctx, name)
		}
		err = l.writeEnvironment(ctx, e, cond)
		if !errors.Is(err, envdb.ErrCondition) {
			return e, err
		}
		if err := pause(ctx, jitter()); err != nil {
			return nil, err
		}
	}
}

// RemoveEnvironment removes the record of an environment; a missing one is no
// error.
func (l *Ledger) RemoveEnvironment(ctx context.Context, name string) error {
	if err := l.store.Delete(ctx, l.environmentKey(name)); err != nil {
		return fmt.Errorf("remove the record of %s: %w", name, err)
	}
	return nil
}

// readEnvironment returns the record of name and the condition under which it
// is still so.
func (l *Ledger) readEnvironment(ctx context.Context, name string) (*Environment, envdb.Condition, error) {
	key := l.environmentKey(name)
	raw, object, err := l.read(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return &Environment{Name: name}, envdb.IfAbsent(), nil
	}
	if err != nil {
		return nil, envdb.Condition{}, fmt.Errorf("read the record of %s: %w", name, err)
	}
	e, err := l.openEnvironment(ctx, key, raw)
	if err == nil && e.Name != name {
		err = envdb.Fail(envdb.ErrRefused, "%q and %q, which is there, differ only in case", name, e.Name).
			WithState("nothing was changed").WithNext("use another name")
	}
	return e, envdb.IfMatch(object.Tag), err
}

func (l *Ledger) openEnvironment(ctx context.Context, key string, sealed []byte) (*Environment, error) {
	raw, err := l.config.Unseal(ctx, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the record %s: %w", key, err)
	}
	e := &Environment{}
	err = json.Unmarshal(raw, e)
	if err == nil && l.environmentKey(e.Name) != key {
		err = fmt.Errorf("it is of environment %q", e.Name)
	}
	if err != nil {
		return nil, envdb.Fail(envdb.ErrVerification, "the record %s of an environment is unreadable: %w", key, err).
			WithState("nothing was changed").WithNext("find out who can write to the store; without the object the environment counts as never created")
	}
	return e, nil
}

func (l *Ledger) writeEnvironment(ctx context.Context, e *Environment, cond envdb.Condition) error {
	key := l.environmentKey(e.Name)
	raw, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	sealed, err := l.config.Seal(ctx, key, append(raw, '\n'))
	if err != nil {
		return err
	}
	if _, err = l.store.Put(ctx, key, bytes.NewReader(sealed), cond); err != nil {
		return fmt.Errorf("write the record of %s: %w", e.Name, err)
	}
	return nil
}
