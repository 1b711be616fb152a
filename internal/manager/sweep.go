package manager

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/schedule"
)

// expire deletes what no rule keeps, and sweeps. Without anything to do there
// is no run.
func (m *Manager) expire(ctx context.Context, repository *backup.Repository, env config.Environment, confirmed bool) (EnvironmentRetention, error) {
	line := EnvironmentRetention{Environment: env.Name}
	view, err := m.viewer(repository).Fresh(ctx, env.Name)
	if err != nil {
		return line, err
	}
	if err := m.keepPolicyMark(ctx, repository, env, view); err != nil {
		return line, err
	}
	v, err := m.judge(ctx, repository, env, view)
	if err != nil {
		return v.line, err
	}
	if v.idle(confirmed) {
		return v.line, v.blocked
	}
	line = v.line
	err = m.run(ctx, job{operation: envdb.OpExpire, environment: env.Name}, func(ctx context.Context, x *execution) error {
		line.Run = x.id()
		if err := m.sameClock(ctx, repository, env.Name); err != nil {
			line.Blocked = err.Error()
			return err
		}
		x.step("bury")
		if err := m.buryExpired(ctx, x, repository, env, v.expiry, confirmed, &line); err != nil {
			return err
		}
		x.step("sweep")
		err := m.sweep(ctx, repository, env, &line)
		x.facts("buried", len(line.Goes), "gone", len(line.Gone), "objects", line.Objects)
		return cmp.Or(err, v.blocked)
	})
	return line, err
}

// buryExpired deletes what no rule keeps; what is held back only if a person
// agreed.
func (m *Manager) buryExpired(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, e schedule.Expiry, confirmed bool, line *EnvironmentRetention) error {
	now := m.now().UTC()
	stone := backup.Tombstone{SweepAfter: now.Add(graceOf(env)), By: byPolicy, Why: "no rule keeps it", Run: x.id(), Buried: now}
	for _, id := range e.Goes {
		if err := bury(ctx, repository, env.Name, id, stone); err != nil {
			return err
		}
	}
	if !confirmed {
		return nil
	}
	stone.By, stone.Why = m.ledger.Person(), "no rule keeps it, and it was agreed to"
	for i, held := range e.Asks {
		if err := bury(ctx, repository, env.Name, held.ID, stone); err != nil {
			return err
		}
		agreed := line.HeldBack[i]
		agreed.Goes = stone.SweepAfter
		line.Goes = append(line.Goes, agreed)
	}
	line.HeldBack = []PointLine{}
	return nil
}

// bury deletes a backup that no rule keeps. One that was pinned just now, or
// that another deleted, is no error.
func bury(ctx context.Context, repository *backup.Repository, env string, id envdb.BackupID, stone backup.Tombstone) error {
	err := repository.Bury(ctx, env, id, stone)
	if errors.Is(err, envdb.ErrRefused) || isNotFound(err) {
		return nil
	}
	return err
}

// sameClock refuses to delete while this machine's clock is not the store's: it
// says when the time of grace is over.
func (m *Manager) sameClock(ctx context.Context, repository *backup.Repository, env string) error {
	store, err := repository.Clock(ctx, env)
	if err != nil || store.IsZero() {
		return err
	}
	skew := schedule.SkewOf(store, m.now())
	if !skew.Stops() {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "nothing expires: the clocks of the store and of this machine are %s apart", envdb.FormatDuration(max(time.Duration(skew), -time.Duration(skew)).Round(time.Second))).
		WithState("nothing was deleted").WithNext("set this machine's clock")
}

// sweep deletes what was deleted and whose time has come.
func (m *Manager) sweep(ctx context.Context, repository *backup.Repository, env config.Environment, line *EnvironmentRetention) error {
	swept, err := repository.Sweep(ctx, env.Name, backup.SweepRequest{
		Now:  m.now(),
		Dead: m.runIsDead(ctx),
		Held: func(ctx context.Context, id envdb.BackupID) (bool, error) { return m.isHeld(ctx, env.Name, id) },
		Go: func(fresh *backup.View) (map[envdb.BackupID]bool, error) {
			return m.stillGo(ctx, repository, env, fresh, line)
		},
	})
	line.Gone, line.Later, line.Objects = append(line.Gone, swept.Gone...), swept.Stays, swept.Objects
	line.Deleted = slices.DeleteFunc(line.Deleted, func(p PointLine) bool { return slices.Contains(line.Gone, p.ID) })
	return err
}

// stillGo plans again: what a person deleted goes; what the policy did goes
// unless the rules keep it by now, or it is the last of its kind that is good.
// What they keep is brought back.
func (m *Manager) stillGo(ctx context.Context, repository *backup.Repository, env config.Environment, fresh *backup.View, line *EnvironmentRetention) (map[envdb.BackupID]bool, error) {
	policies, err := m.oldPolicies(ctx, repository, fresh)
	if err != nil {
		return nil, err
	}
	rules, points, err := m.rulesOf(env, fresh, policies)
	if err != nil {
		return nil, err
	}
	may := map[envdb.BackupID]bool{}
	var expired []envdb.BackupID
	for i := range fresh.Backups {
		switch b := &fresh.Backups[i]; {
		case b.Tombstone == nil:
		case b.Tombstone.By == byPolicy:
			points = append(points, restorePoint(b))
			expired = append(expired, b.ID)
		default:
			may[b.ID] = true
		}
	}
	if len(expired) == 0 {
		return may, nil
	}
	now := m.now().UTC()
	if _, err := rules.Expire(now, skewOf(fresh), points); err != nil {
		m.log.Warn("what expired is not deleted yet", "env", env.Name, "reason", err)
		return may, nil
	}
	for _, d := range rules.Keep(now, points) {
		if !slices.Contains(expired, d.ID) {
			continue
		}
		if !d.Kept() {
			may[d.ID] = true
			continue
		}
		if err := repository.Exhume(ctx, env.Name, d.ID); err != nil && !errors.Is(err, envdb.ErrRefused) {
			return nil, err
		}
		line.Back = append(line.Back, d.ID)
	}
	return may, nil
}

// isHeld reports whether a run that may live reads a backup.
func (m *Manager) isHeld(ctx context.Context, env string, id envdb.BackupID) (bool, error) {
	holds, err := m.ledger.Holds(ctx, env)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(holds, func(h ledger.Hold) bool { return h.Backup == id && !h.Gone }), nil
}
