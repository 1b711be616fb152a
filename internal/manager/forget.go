package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

// deletionGrace is how long what a person deleted can be had back.
const deletionGrace = 7 * envdb.Day

// DeleteRequest asks to delete one backup.
type DeleteRequest struct {
	Environment string
	Point       envdb.Point
	// Confirm is the environment's name again, where one of its last three good
	// restore points is deleted.
	Confirm string
}

// DeletionResult is what became of a backup that was deleted, or undeleted.
type DeletionResult struct {
	BackupLine
	Run string `json:"run"`
	// Undo is the command that undoes it.
	Undo string `json:"undo,omitempty"`
}

// PlanDelete returns what Delete would do.
func (m *Manager) PlanDelete(ctx context.Context, req DeleteRequest) (*Plan, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	b, err := m.deletable(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpDelete, Environment: req.Environment, Backup: b.ID}
	if !b.Point.IsZero() {
		p.Point = &b.Point
	}
	p.add(
		fmt.Sprintf("mark backup %s as deleted: it is restored no more, and no new backup refers to it", b.ID),
		fmt.Sprintf("after %s, delete it with all that no other backup refers to", m.now().Add(deletionGrace).UTC().Format(time.DateTime+" UTC")),
	)
	return p, nil
}

// Delete deletes a backup: for seven days it can be had back.
func (m *Manager) Delete(ctx context.Context, req DeleteRequest) (*DeletionResult, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	b, err := m.deletable(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	return m.changeDeletion(ctx, repository, envdb.OpDelete, req.Environment, b.ID, func(ctx context.Context, x *execution) error {
		now := m.now().UTC()
		return repository.Bury(ctx, req.Environment, b.ID, backup.Tombstone{SweepAfter: now.Add(deletionGrace), By: m.ledger.Person(), Run: x.id(), Buried: now})
	})
}

// Undelete takes a deletion back.
func (m *Manager) Undelete(ctx context.Context, env string, at envdb.Point) (*DeletionResult, error) {
	id, named := at.Backup()
	if !named {
		return nil, envdb.Fail(envdb.ErrMisuse, "undelete needs the id of a backup: no point leads to a deleted one").
			WithNext("see `envdb backups %s`", env)
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := repository.Find(ctx, env, id); err != nil {
		return nil, err
	}
	return m.changeDeletion(ctx, repository, envdb.OpUndelete, env, id, func(ctx context.Context, _ *execution) error {
		return repository.Exhume(ctx, env, id)
	})
}

// changeDeletion is the run in which a backup is deleted or had back.
func (m *Manager) changeDeletion(ctx context.Context, repository *backup.Repository, op envdb.Operation, env string, id envdb.BackupID, change func(context.Context, *execution) error) (*DeletionResult, error) {
	var result *DeletionResult
	err := m.run(ctx, job{operation: op, environment: env, backup: id}, func(ctx context.Context, x *execution) error {
		if err := change(ctx, x); err != nil {
			return err
		}
		now, err := repository.Find(ctx, env, id)
		if err != nil {
			return err
		}
		result = &DeletionResult{BackupLine: backupLine(env, now), Run: x.id()}
		if op == envdb.OpDelete {
			result.Undo = fmt.Sprintf("envdb undelete %s@%s", env, id)
		}
		return nil
	})
	return result, err
}

// deletable returns the backup that a person wants to delete. One that cannot
// be restored is named by its id, like any other.
func (m *Manager) deletable(ctx context.Context, repository *backup.Repository, req DeleteRequest) (*backup.Summary, error) {
	id, named := req.Point.Backup()
	if !named {
		found, _, err := m.resolve(ctx, repository, req.Environment, req.Point)
		if err != nil {
			return nil, err
		}
		id = found.ID()
	}
	view, err := m.viewer(repository).Fresh(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	b := view.Find(id)
	switch {
	case b == nil:
		return nil, envdb.Fail(envdb.ErrNotFound, "%s has no backup %s", req.Environment, id).WithNext("see `envdb backups %s`", req.Environment)
	case b.Tombstone != nil:
		return nil, envdb.Fail(envdb.ErrRefused, "backup %s of %s is deleted already, and goes at %s", id, req.Environment, b.Tombstone.SweepAfter.UTC().Format(time.DateTime+" UTC")).
			WithState("nothing was changed").WithNext("envdb undelete %s@%s brings it back", req.Environment, id)
	case b.Pinned:
		return nil, envdb.Fail(envdb.ErrRefused, "backup %s of %s is pinned", id, req.Environment).
			WithState("nothing was changed").WithNext("envdb unpin %s@%s, then delete it", req.Environment, id)
	}
	return b, m.confirmLast(view, id, req.Confirm)
}

// confirmLast asks for the name of an environment that is about to lose one of
// its last good restore points.
func (m *Manager) confirmLast(view *backup.View, id envdb.BackupID, confirm string) error {
	if confirm == view.Environment || !slices.Contains(schedule.LastGood(m.now(), restorePoints(view)), id) {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "backup %s is one of the last three good restore points of %s", id, view.Environment).
		WithState("nothing was changed").WithNext("repeat with --confirm %s", view.Environment)
}

// BurstResult is a burst that began.
type BurstResult struct {
	Environment string      `json:"environment"`
	Begun       time.Time   `json:"begun"`
	Due         []time.Time `json:"due"`
}

// Burst begins a dense sequence of backups, which a daemon takes.
func (m *Manager) Burst(ctx context.Context, name string) (*BurstResult, error) {
	env, err := m.environment(ctx, name)
	if err != nil && !errors.Is(err, config.ErrUnset) {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	burst := schedule.NewBurst(m.now().Truncate(time.Second))
	if err := repository.MarkBurst(ctx, env.Name, burst.Begun); err != nil {
		return nil, err
	}
	return &BurstResult{Environment: env.Name, Begun: burst.Begun, Due: burst.Due}, nil
}

// PlanBurst returns what Burst would do.
func (m *Manager) PlanBurst(ctx context.Context, name string) (*Plan, error) {
	env, err := m.environment(ctx, name)
	if err != nil && !errors.Is(err, config.ErrUnset) {
		return nil, err
	}
	var due []string
	for _, at := range schedule.NewBurst(m.now()).Due {
		due = append(due, at.UTC().Format(time.DateTime))
	}
	return (&Plan{Operation: envdb.OpBackup, Environment: env.Name}).
		add("mark a burst: a daemon takes backups at "+strings.Join(due, ", ")+" UTC", "keep them until the last one is a day old"), nil
}
