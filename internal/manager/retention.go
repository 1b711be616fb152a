package manager

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/schedule"
)

const (
	// expiryGrace is how long what expired can be had back, of an environment that
	// the configuration does not know any more.
	expiryGrace = time.Hour
	// byPolicy is who buries what no rung keeps: it may be brought back by a
	// policy. What a person deleted may not.
	byPolicy = "policy"
)

// graceOf returns how long a backup that expired can be had back.
func graceOf(env config.Environment) time.Duration {
	if env.Backup.Grace > 0 {
		return env.Backup.Grace
	}
	return expiryGrace
}

// ExpireRequest asks to delete what no rule keeps.
type ExpireRequest struct {
	// Environment is empty for all that have a ladder, or something deleted.
	Environment string
	// Confirm is the environment's name, where something is held back until a
	// person agrees.
	Confirm string
}

// Retention is what becomes of the backups of some environments.
type Retention struct {
	At time.Time `json:"at"`
	// Planned says that nothing was done: it is what would be.
	Planned      bool                   `json:"planned,omitempty"`
	Environments []EnvironmentRetention `json:"environments"`
}

// EnvironmentRetention is what becomes of the backups of one of them.
type EnvironmentRetention struct {
	Environment string `json:"environment"`
	Run         string `json:"run,omitempty"`
	// Goes are what no rule keeps: deleted now, gone after the time of grace.
	Goes []PointLine `json:"goes"`
	// HeldBack are what no rule keeps, and what is not deleted until a person
	// agrees.
	HeldBack []PointLine `json:"held_back"`
	Stays    []PointLine `json:"stays"`
	// Deleted have a tombstone already, and wait for its time.
	Deleted []PointLine `json:"deleted"`
	// Back were deleted by policy and are needed after all.
	Back []envdb.BackupID `json:"back,omitempty"`
	// Gone are those that do not exist any more, Later those whose time has come
	// and that are still needed.
	Gone  []envdb.BackupID    `json:"gone"`
	Later []backup.SweptLater `json:"later,omitempty"`
	// Objects is how many packs and indexes went with them.
	Objects int `json:"objects,omitempty"`
	// Blocked says why nothing expires.
	Blocked string `json:"blocked,omitempty"`
	Error   string `json:"error,omitempty"`
}

// PointLine is a restore point and its reasons.
type PointLine struct {
	ID    envdb.BackupID `json:"id"`
	Point time.Time      `json:"point,omitzero"`
	// Goes is when it goes, if that is known.
	Goes    time.Time `json:"goes,omitzero"`
	Reasons []string  `json:"reasons"`
}

// verdict is what the rules say of the backups of an environment.
type verdict struct {
	line   EnvironmentRetention
	expiry schedule.Expiry
	due    bool // something waits to be swept
	// blocked says why nothing may expire.
	blocked error
}

// idle reports whether there is nothing to do.
func (v *verdict) idle(confirmed bool) bool {
	return !v.due && len(v.expiry.Goes) == 0 && (!confirmed || len(v.expiry.Asks) == 0)
}

// PlanExpire returns what Expire would do.
func (m *Manager) PlanExpire(ctx context.Context, req ExpireRequest) (*Retention, error) {
	result, err := m.eachRetention(ctx, req, func(ctx context.Context, repository *backup.Repository, env config.Environment) (EnvironmentRetention, error) {
		view, err := m.viewer(repository).Fresh(ctx, env.Name)
		if err != nil {
			return EnvironmentRetention{Environment: env.Name}, err
		}
		v, err := m.judge(ctx, repository, env, view)
		return v.line, err
	})
	if result != nil {
		result.Planned = true
	}
	return result, err
}

// Expire deletes what no rule keeps, and what was deleted and whose time has
// come. Whoever asks does not have to be the only one.
func (m *Manager) Expire(ctx context.Context, req ExpireRequest) (*Retention, error) {
	return m.eachRetention(ctx, req, func(ctx context.Context, repository *backup.Repository, env config.Environment) (EnvironmentRetention, error) {
		return m.expire(ctx, repository, env, req.Confirm == env.Name)
	})
}

// eachRetention does something with every environment that is asked for. One
// that fails does not keep the others.
func (m *Manager) eachRetention(ctx context.Context, req ExpireRequest, act func(context.Context, *backup.Repository, config.Environment) (EnvironmentRetention, error)) (*Retention, error) {
	if req.Confirm != "" && req.Confirm != req.Environment {
		return nil, envdb.Fail(envdb.ErrMisuse, "--confirm %s does not name the environment whose backups expire", req.Confirm).
			WithState("nothing was changed").WithNext("envdb expire %s --confirm %[1]s", req.Confirm)
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	environments, err := m.withRetention(ctx, repository, req.Environment)
	if err != nil {
		return nil, err
	}
	result := &Retention{At: m.now().UTC(), Environments: []EnvironmentRetention{}}
	var errs []error
	for _, env := range environments {
		if ctx.Err() != nil {
			return result, context.Cause(ctx)
		}
		line, err := act(ctx, repository, env)
		if err != nil {
			line.Error = err.Error()
			errs = append(errs, err)
		}
		result.Environments = append(result.Environments, line)
	}
	return result, errors.Join(errs...)
}

// withRetention returns the environments whose backups may expire: the named
// one, or all that have a ladder or something deleted. One that is gone from
// the configuration has no ladder.
func (m *Manager) withRetention(ctx context.Context, repository *backup.Repository, name string) ([]config.Environment, error) {
	if name != "" {
		env, err := m.config.Environment(name)
		if err != nil && !errors.Is(err, config.ErrUnset) {
			view, unseen := m.viewer(repository).View(ctx, name)
			if unseen != nil || len(view.Backups)+len(view.Swept) == 0 {
				return nil, err
			}
			env = config.Environment{}
			env.Name = name
		}
		return []config.Environment{env}, nil
	}
	all, _, unknown := m.known(ctx)
	if unknown != nil {
		return nil, unknown
	}
	var with []config.Environment
	for _, env := range all {
		if len(env.Backup.Ladder) > 0 {
			with = append(with, env)
			continue
		}
		view, err := m.viewer(repository).View(ctx, env.Name)
		if err != nil {
			return nil, err
		}
		if len(view.Swept) > 0 || slices.ContainsFunc(view.Backups, func(b backup.Summary) bool { return b.Tombstone != nil }) {
			with = append(with, env)
		}
	}
	return with, nil
}

// judge says what is to become of the backups in a view. That nothing may
// expire is no error: it stands in the line.
func (m *Manager) judge(ctx context.Context, repository *backup.Repository, env config.Environment, view *backup.View) (verdict, error) {
	v := verdict{line: EnvironmentRetention{
		Environment: env.Name, Goes: []PointLine{}, HeldBack: []PointLine{}, Stays: []PointLine{}, Deleted: []PointLine{}, Gone: []envdb.BackupID{},
	}}
	policies, err := m.oldPolicies(ctx, repository, view)
	if err != nil {
		return v, err
	}
	rules, points, err := m.rulesOf(env, view, policies)
	if err != nil {
		return v, err
	}
	now := m.now().UTC()
	v.due = len(view.Swept) > 0
	for _, b := range view.Backups {
		if t := b.Tombstone; t != nil {
			v.line.Deleted = append(v.line.Deleted, PointLine{ID: b.ID, Point: b.Point, Goes: t.SweepAfter, Reasons: []string{deletedBy(t)}})
			v.due = v.due || !t.SweepAfter.After(now)
		}
	}
	pointOf := func(id envdb.BackupID) PointLine {
		line := PointLine{ID: id, Reasons: []string{}}
		if b := view.Find(id); b != nil {
			line.Point = b.Point
		}
		return line
	}
	for _, d := range rules.Keep(now, points) {
		if !d.Kept() {
			continue
		}
		line := pointOf(d.ID)
		for _, why := range d.Reasons {
			line.Reasons = append(line.Reasons, why.String())
		}
		if until, leaves := d.Leaves(); leaves {
			line.Goes = until
		}
		v.line.Stays = append(v.line.Stays, line)
	}
	expiry, err := rules.Expire(now, skewOf(view), points)
	if err != nil {
		v.line.Blocked, v.blocked = err.Error(), err
		return v, nil
	}
	v.expiry = expiry
	for _, id := range expiry.Goes {
		line := pointOf(id)
		line.Goes = now.Add(graceOf(env))
		v.line.Goes = append(v.line.Goes, line)
	}
	for _, held := range expiry.Asks {
		line := pointOf(held.ID)
		if held.Last {
			line.Reasons = append(line.Reasons, "one of the last three good ones")
		}
		if !held.Promised.IsZero() {
			line.Reasons = append(line.Reasons, "promised until "+held.Promised.UTC().Format("2006-01-02 15:04 UTC"))
		}
		v.line.HeldBack = append(v.line.HeldBack, line)
	}
	return v, nil
}

func deletedBy(t *backup.Tombstone) string {
	text := "deleted"
	if t.By != "" {
		text += " by " + t.By
	}
	if t.Why != "" {
		text += ": " + t.Why
	}
	return text
}

// skewOf is how far the source's clock was off when the newest backup was
// taken: its moment lies between the beginning and the end of the backup.
func skewOf(view *backup.View) schedule.Skew {
	var newest *backup.Summary
	for i := range view.Backups {
		if b := &view.Backups[i]; b.Err == nil && (newest == nil || b.Started.After(newest.Started)) {
			newest = b
		}
	}
	switch {
	case newest == nil || newest.Point.IsZero():
		return 0
	case newest.Point.Before(newest.Started):
		return schedule.SkewOf(newest.Point, newest.Started)
	case newest.Point.After(newest.Finished):
		return schedule.SkewOf(newest.Point, newest.Finished)
	}
	return 0
}

// promised returns until when the policy keeps a backup that holds the moment.
// That nobody knows is no reason to have no backup.
func (m *Manager) promised(ctx context.Context, log *slog.Logger, repository *backup.Repository, env config.Environment, id envdb.BackupID, at time.Time) time.Time {
	policy, err := policyOf(env)
	if err != nil || policy.IsZero() {
		return time.Time{}
	}
	view, err := m.viewer(repository).View(ctx, env.Name)
	if err != nil {
		log.Warn("the backup does not say until when the ladder keeps it", "reason", err)
		return time.Time{}
	}
	if err := m.keepPolicyMark(ctx, repository, env, view); err != nil {
		log.Debug("the policy in force is not marked; whoever expires marks it", "reason", err)
	}
	return policy.Promise(schedule.RestorePoint{ID: id, State: schedule.Good, At: at}, restorePoints(view))
}
