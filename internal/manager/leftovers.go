package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// runIsDead returns a judge of runs by their records: a run is dead when it
// ended, or when its process is gone. One without a record is dead too: the
// record is written before anything else.
func (m *Manager) runIsDead(ctx context.Context) func(run string) (bool, error) {
	return func(id string) (bool, error) {
		run, err := m.ledger.Run(ctx, id)
		if isNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		return run.Outcome != ledger.Running, nil
	}
}

// runIsAlive judges in doubt that a run is alive.
func (m *Manager) runIsAlive(ctx context.Context) func(run string) bool {
	dead := m.runIsDead(ctx)
	return func(run string) bool {
		gone, err := dead(run)
		return err != nil || !gone
	}
}

// recordsRead is how many of an environment's newest runs are asked for the
// databases that they were going to create.
const recordsRead = 50

// recordedVersions returns which databases the runs of an environment named
// before they created them.
func (m *Manager) recordedVersions(ctx context.Context, env string) (generation.Recorded, error) {
	runs, err := m.ledger.Runs(ctx, ledger.Filter{Environment: env, Limit: recordsRead})
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, run := range runs {
		for _, database := range run.Versions {
			named[database] = named[database] || run.Outcome != ledger.Running
		}
	}
	return func(database string) bool { return named[database] }, nil
}

// Attic is a store that may hold half-written objects of writers that died.
// They are no part of it; they only take up space.
type Attic interface {
	// Unfinished finds them; it never counts those of a writer that lives.
	Unfinished(ctx context.Context) (Unfinished, error)
	// RemoveUnfinished removes them, and returns what it removed.
	RemoveUnfinished(ctx context.Context) (Unfinished, error)
}

// Unfinished counts half-written objects.
type Unfinished struct {
	Files int
	Bytes int64
}

// examineAttic finds half-written objects in the store, and removes them if
// clean. That they cannot be looked for is no problem: they are only space.
func examineAttic(ctx context.Context, store envdb.Store, clean bool, d *Diagnosis) {
	attic, ok := store.(Attic)
	if !ok {
		return
	}
	look := attic.Unfinished
	if clean {
		look = attic.RemoveUnfinished
	}
	found, err := look(ctx)
	switch {
	case found.Files == 0:
	case clean:
		d.add("store", Fine, "removed %s (%d bytes) of interrupted runs", counted(found.Files, "half-written object"), found.Bytes)
	default:
		d.add("store", Caution, "interrupted runs left %s (%d bytes)", counted(found.Files, "half-written object"), found.Bytes).Next = "envdb doctor --clean"
	}
	if err != nil && ctx.Err() == nil {
		_, next := envdb.Advice(err)
		d.add("store", Caution, "what interrupted runs left half-written cannot be looked for: %v", err).Next = next
	}
}

// examineLeftovers finds what dead runs left behind, in the store and on the
// server, and removes it if clean.
func (m *Manager) examineLeftovers(ctx context.Context, repository *backup.Repository, name string, clean bool, d *Diagnosis) error {
	if repository != nil {
		if err := m.examineStored(ctx, repository, name, clean, d); err != nil {
			return err
		}
	}
	if err := m.examineDamage(ctx, name, d); err != nil {
		return err
	}
	return m.examineVersions(ctx, name, clean, d)
}

// examineStored finds the objects of backups that died, and the holds of runs
// that died while they read one.
func (m *Manager) examineStored(ctx context.Context, repository *backup.Repository, name string, clean bool, d *Diagnosis) error {
	left, err := repository.Leftovers(ctx, name, m.runIsDead(ctx))
	if err != nil {
		return err
	}
	for _, l := range left {
		if !clean {
			d.add(name, Caution, "an interrupted backup left %s in the store (%s)", counted(l.Objects, "object"), l.ID).Next = "envdb doctor --clean"
			continue
		}
		if err := repository.RemoveLeftover(ctx, name, l); err != nil {
			return err
		}
		d.add(name, Fine, "removed %s that the interrupted backup %s left in the store", counted(l.Objects, "object"), l.ID)
	}
	holds, err := m.ledger.Holds(ctx, name)
	if err != nil {
		return err
	}
	for _, hold := range holds {
		if !hold.Gone {
			continue
		}
		if !clean {
			d.add(name, Caution, "the interrupted run %s still holds backup %s", hold.Holder.Run, hold.Backup).Next = "envdb doctor --clean"
			continue
		}
		if err := m.ledger.RemoveHold(ctx, hold); err != nil {
			return err
		}
		d.add(name, Fine, "released backup %s, which the interrupted run %s held", hold.Backup, hold.Holder.Run)
	}
	return nil
}

// examineVersions finds databases that runs did not finish, and previous
// versions that a promote did not get to drop.
func (m *Manager) examineVersions(ctx context.Context, name string, clean bool, d *Diagnosis) error {
	env, err := m.config.Environment(name)
	if errors.Is(err, config.ErrUnset) || err != nil && d.troubled(name) {
		return nil // examineServer said so
	}
	if err != nil {
		return err
	}
	generations, err := generation.Open(ctx, env.Environment, generation.Options{Run: "doctor", Log: m.log, Now: m.now})
	if err != nil {
		if d.troubled(name) {
			return nil // examineServer said so
		}
		if isSilence(err) {
			return err
		}
		return fmt.Errorf("unfinished databases were not looked for: %w", err)
	}
	defer generations.Close()
	recorded, err := m.recordedVersions(ctx, name)
	if err != nil {
		return err
	}
	var doubt error // a run of which nothing can be said is taken for alive
	dead := m.runIsDead(ctx)
	left, err := generations.Leftovers(ctx, func(run string) bool {
		gone, err := dead(run)
		doubt = errors.Join(doubt, err)
		return err != nil || !gone
	}, recorded)
	if err = errors.Join(err, doubt); err != nil {
		return fmt.Errorf("look for unfinished databases: %w", err)
	}
	for _, v := range left {
		if err := m.examineVersion(ctx, env, v.Name, "an interrupted run left the unfinished database "+v.Name, clean, d); err != nil {
			return err
		}
	}
	// Where none is to be kept, what was confirmed was the promote, not this.
	surplus, err := generations.Surplus(ctx, max(env.KeepPrevious, 1))
	if err != nil {
		return err
	}
	for _, v := range surplus {
		if err := m.examineVersion(ctx, env, v.Name, "the previous version "+v.Name+" is one too many (keep_previous)", clean, d); err != nil {
			return err
		}
	}
	obsolete, err := unneeded(ctx, generations, env)
	if err != nil {
		return err
	}
	for _, v := range obsolete {
		if err := m.examineVersion(ctx, env, v.Name, "no reset uses "+ofNoUse(v), clean, d); err != nil {
			return err
		}
	}
	return nil
}

// afterRollback reports whether a reset would use the baseline or spare once a
// previous version is live again, whose baseline it is.
func afterRollback(v generation.Version, versions []generation.Version) bool {
	baseline := v.ID
	if v.State == envdb.Spare && v.Marker != nil {
		baseline = v.Marker.Baseline
	}
	return slices.ContainsFunc(versions, func(p generation.Version) bool {
		return p.State == envdb.Previous && p.Marker != nil && (p.ID == baseline || p.Marker.Baseline == baseline)
	})
}

// ofNoUse names a baseline or a spare, and what is wrong with it.
func ofNoUse(v generation.Version) string {
	if v.Unsealed == "" {
		return fmt.Sprintf("the %s %s", v.State, v.Name)
	}
	return fmt.Sprintf("the %s %s: %s", v.State, v.Name, v.Unsealed)
}

// examineVersion reports a database that should not be there, or drops it.
func (m *Manager) examineVersion(ctx context.Context, env config.Environment, database, what string, clean bool, d *Diagnosis) error {
	if !clean {
		d.add(env.Name, Caution, "%s", what).Next = "envdb doctor --clean"
		return nil
	}
	if _, err := m.discard(ctx, env, database); err != nil {
		return err
	}
	d.add(env.Name, Fine, "%s: dropped it", what)
	return nil
}
