package manager

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/schedule"
)

// Rungs is what the restore points of an environment say about its ladder.
type Rungs struct {
	Environment string
	Rules       schedule.Rules
	Points      []schedule.RestorePoint
	Due         schedule.Due
	View        *backup.View
}

// NewestMoment returns the newest moment that can be restored exactly; zero if
// there is none.
func (r *Rungs) NewestMoment() (newest time.Time) {
	for i := range r.Points {
		p := &r.Points[i]
		if p.State == schedule.Good {
			newest = latest(newest, latest(p.At, p.GoodUntil))
		}
	}
	return newest
}

// LookLadder returns what is due on an environment's ladder at now. While
// nothing changes that takes one small request to the store, and none to the
// server. While another daemon takes a backup, it watches whether that one lives.
func (m *Manager) LookLadder(ctx context.Context, name string, now time.Time) (*Rungs, error) {
	r, err := m.rungs(ctx, name, now, (*backup.Viewer).View)
	if err == nil && r.Due.Running {
		err = m.ledger.Watch(ctx, ledger.JobLease("ladder/"+name))
	}
	return r, err
}

// rungs reads the ladder by one of the ways to get a view.
func (m *Manager) rungs(ctx context.Context, name string, now time.Time, view func(*backup.Viewer, context.Context, string) (*backup.View, error)) (*Rungs, error) {
	env, err := m.config.Environment(name)
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	v, err := view(m.viewer(repository), ctx, name)
	if err != nil {
		return nil, err
	}
	policies, err := m.oldPolicies(ctx, repository, v)
	if err != nil {
		return nil, err
	}
	if v, err = m.withoutDead(ctx, v); err != nil {
		return nil, err
	}
	rules, points, err := m.rulesOf(env, v, policies)
	if err != nil {
		return nil, err
	}
	return &Rungs{Environment: name, Rules: rules, Points: points, Due: rules.Due(now, points), View: v}, nil
}

// Climb is what was done about a ladder.
type Climb struct {
	// Done says what: nothing, because it was not due after all; renewed, because
	// nothing has changed since the newest backup; or a backup.
	Done ClimbDone
	// Until is the moment up to which the newest backup is known to be exact.
	Until time.Time
	// Why says what changed since the newest backup.
	Why    string
	Backup *BackupResult
	// Asked says that the server was asked, and Skew how far its clock is ahead.
	Asked bool
	Skew  schedule.Skew
}

// ClimbDone is what a climb came to.
type ClimbDone string

// What a climb can come to.
const (
	ClimbedNothing ClimbDone = "nothing"
	ClimbedRenewed ClimbDone = "renewed"
	ClimbedBackup  ClimbDone = "backup"
)

// Climb does what is due on an environment's ladder: it renews the good-until
// of the newest backup if nothing has changed since, without a run and without
// reading data, and takes a backup otherwise. Of several daemons one does it;
// the others get ErrBusy.
func (m *Manager) Climb(ctx context.Context, name string, look bool) (*Climb, error) {
	now := m.now()
	r, err := m.LookLadder(ctx, name, now)
	if err != nil {
		return nil, err
	}
	c := &Climb{Done: ClimbedNothing}
	if !r.Due.Any() {
		return c, nil
	}
	env, err := m.environment(ctx, name)
	if err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.keepPolicyMark(ctx, repository, env, r.View); err != nil {
		return nil, err
	}
	if look {
		if renewed, err := m.stillGood(ctx, env, r, c); renewed || err != nil {
			return c, err
		}
	}
	lease, err := m.ledger.Exclude(ctx, ledger.JobLease("ladder/"+name), ledger.Claim{Run: m.ledger.NewRunID(), Operation: envdb.OpBackup})
	if err != nil {
		return nil, err
	}
	ctx = lease.Context()
	err = m.climbAlone(ctx, name, c)
	return c, tidy(ctx, m.log, err, lease.Release)
}

// climbAlone takes the backup, unless another daemon has taken it meanwhile.
func (m *Manager) climbAlone(ctx context.Context, name string, c *Climb) error {
	r, err := m.rungs(ctx, name, m.now(), (*backup.Viewer).Fresh)
	if err != nil {
		return err
	}
	if !r.Due.Any() {
		return nil
	}
	if r.Due.Running {
		return envdb.Fail(envdb.ErrBusy, "a backup of %s is being taken", name).WithNext("envdb runs --env %s", name)
	}
	trigger := ledger.TriggerLadder
	if len(r.Due.Rungs) == 0 {
		trigger = ledger.TriggerBurst
	}
	result, err := m.because(Cause{Trigger: trigger}).Backup(ctx, BackupRequest{Environment: name, Note: burstNote(r.Due)})
	if err != nil {
		return err
	}
	c.Done, c.Backup = ClimbedBackup, result
	return nil
}

// burstNote says of which burst a backup is.
func burstNote(d schedule.Due) string {
	if len(d.Bursts) == 0 {
		return ""
	}
	return fmt.Sprintf("burst, due %s", d.Bursts[0].UTC().Format("2006-01-02 15:04:05 UTC"))
}

// stillGood marks the newest backup as good until now, if nothing has changed.
func (m *Manager) stillGood(ctx context.Context, env config.Environment, r *Rungs, c *Climb) (bool, error) {
	newest := newestUsable(r.View)
	if newest == nil || newest.Stillness == nil || r.Due.Running {
		return false, nil
	}
	s, err := m.unchangedSince(ctx, env, newest)
	if err != nil {
		return false, err
	}
	c.Asked, c.Skew, c.Why = true, s.Skew, s.Changed
	if s.Changed != "" {
		return false, nil
	}
	if s.Skew.Stops() {
		c.Why = s.Skew.String()
		return false, nil
	}
	repository, err := m.open(ctx)
	if err != nil {
		return false, err
	}
	if err := repository.MarkGoodUntil(ctx, env.Name, newest.ID, s.Until); err != nil {
		return false, err
	}
	c.Done, c.Until = ClimbedRenewed, s.Until
	return true, nil
}

// newestUsable returns the newest backup that can be restored, or nil.
func newestUsable(v *backup.View) *backup.Summary {
	var newest *backup.Summary
	for i := range v.Backups {
		if b := &v.Backups[i]; b.Usable() && (newest == nil || b.Point.After(newest.Point)) {
			newest = b
		}
	}
	return newest
}

// views keeps the viewer of a repository, which remembers what it saw.
type views struct {
	mu     sync.Mutex
	of     *backup.Repository
	viewer *backup.Viewer
}

// viewer returns the viewer of a repository.
func (m *Manager) viewer(r *backup.Repository) *backup.Viewer {
	m.views.mu.Lock()
	defer m.views.mu.Unlock()
	if m.views.of != r {
		m.views.of, m.views.viewer = r, r.Viewer()
	}
	return m.views.viewer
}
