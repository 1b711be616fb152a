package manager

import (
	"context"
	"fmt"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
)

// Hibernating is three things that a crash may come between: the live version
// is taken out of service, so that nobody writes what the backup would not
// hold; it is backed up, and the backup read back; only then the databases are
// dropped. The record is written before each, and says to Wake which way leads
// back: the live version still serves, the retired one is made live again, or
// the backup is restored.

// HibernateRequest asks to turn an environment into a backup.
type HibernateRequest struct {
	Environment string
	Confirm     string // the environment's name: its databases are dropped
}

// HibernateResult is what a hibernation kept and dropped.
type HibernateResult struct {
	Run         string `json:"run"`
	Environment string `json:"environment"`
	// Hibernated is false if it hibernated already.
	Hibernated bool           `json:"hibernated"`
	Backup     envdb.BackupID `json:"backup"`
	Point      time.Time      `json:"point,omitzero"`
	// Bytes is how much of the store the backup keeps, Freed how much of the
	// server's disk the databases took.
	Bytes   int64         `json:"stored_bytes"`
	Freed   int64         `json:"freed_bytes"`
	Dropped []string      `json:"dropped"`
	Elapsed time.Duration `json:"elapsed_ns"`
}

// PlanHibernate returns what Hibernate would do.
func (m *Manager) PlanHibernate(ctx context.Context, req HibernateRequest) (*Plan, error) {
	env, _, err := m.target(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	g, err := m.look(ctx, env)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	doomed, left, err := g.Destroyable(ctx, nil)
	if err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpHibernate, Environment: env.Name, Live: g.Base()}
	p.add("take "+g.Base()+" out of service, and end its sessions", "back it up, pin the backup, and read every piece of it back")
	for _, v := range doomed {
		p.Bytes += v.Size
		p.add(fmt.Sprintf("drop %s (%s)", v.Name, v.State))
	}
	for name, why := range left {
		p.Warnings = append(p.Warnings, name+" stays: "+why)
	}
	return p, nil
}

// Hibernate backs an environment up, verifies the backup by reading it back,
// and drops its databases. Until they are dropped a failure brings the live
// version back as it was.
func (m *Manager) Hibernate(ctx context.Context, req HibernateRequest) (*HibernateResult, error) {
	started := m.now()
	env, target, err := m.target(ctx, req.Environment)
	if err != nil {
		return nil, err
	}
	if err := confirmGone(env, envdb.OpHibernate, req.Confirm); err != nil {
		return nil, err
	}
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	var result *HibernateResult
	err = m.run(ctx, job{operation: envdb.OpHibernate, environment: env.Name}, func(ctx context.Context, x *execution) error {
		result, err = m.hibernate(ctx, x, repository, env, target)
		return err
	})
	if result != nil {
		result.Elapsed = m.now().Sub(started)
	}
	return result, err
}

// hibernate is the work of a hibernation, inside a run. What an earlier run did
// of it is carried on with.
func (m *Manager) hibernate(ctx context.Context, x *execution, repository *backup.Repository, env config.Environment, target envdb.Target) (*HibernateResult, error) {
	x.step("preflight")
	g, ctx, closeAll, err := m.openGenerations(ctx, x, env)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if err := m.guard(ctx, repository, g); err != nil {
		return nil, err
	}
	record, err := m.ledger.Environment(ctx, env.Name)
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	result := &HibernateResult{Run: x.id(), Environment: env.Name, Dropped: []string{}}
	_, liveErr := g.Live(ctx)
	asleep := record != nil && record.Hibernation != nil && record.Hibernation.Backup != "" && isNotFound(liveErr)
	if asleep {
		result.Backup, result.Bytes = record.Hibernation.Backup, record.Hibernation.Bytes
		return result, m.dropKept(ctx, x, g, target, result)
	}
	kept, err := m.keep(ctx, x, repository, g, env, target)
	if err != nil {
		return nil, err
	}
	result.Hibernated, result.Point, result.Backup, result.Bytes = true, kept.Point, kept.ID, held(kept.Packs)
	if err := m.unpinFormer(ctx, repository, record); err != nil {
		return result, result.undropped(err)
	}
	return result, m.dropKept(ctx, x, g, target, result)
}

// undropped is the error of what comes after the backup is whole: the environment
// is out of service from then on.
func (r *HibernateResult) undropped(err error) error {
	return envdb.Fail(kindOf(err), "%w", err).WithState("%s hibernates as backup %s; not all of its databases are dropped", r.Environment, r.Backup).
		WithNext("envdb hibernate %s --confirm %s carries on, envdb wake %s goes back", r.Environment, r.Environment, r.Environment)
}

// unpinFormer lets go of the backup of a hibernation from which the environment
// woke up without getting to say so.
func (m *Manager) unpinFormer(ctx context.Context, repository *backup.Repository, was *ledger.Environment) error {
	if was == nil || was.Hibernation == nil || was.Hibernation.Backup == "" {
		return nil
	}
	return repository.Unpin(ctx, was.Name, was.Hibernation.Backup)
}

// keep takes the live version out of service and makes a verified backup of it.
// If that fails it is live again.
func (m *Manager) keep(ctx context.Context, x *execution, repository *backup.Repository, g *generation.Generations, env config.Environment, target envdb.Target) (*BackupResult, error) {
	version, err := m.liveOrRetired(ctx, g, env)
	if err != nil {
		return nil, err
	}
	if err := m.recordHibernation(ctx, env, func(h *ledger.Hibernation) {
		*h = ledger.Hibernation{Since: m.now().UTC(), Run: x.id(), Version: version.ID}
	}); err != nil {
		return nil, err
	}
	kept, err := m.keepVersion(ctx, x, repository, g, env, target, version)
	if err != nil {
		return nil, m.stayAwake(ctx, x, repository, g, target, stopped{env, version.ID, kept}, err)
	}
	return kept, nil
}

// liveOrRetired returns the live version, or the one that an earlier run took
// out of service.
func (m *Manager) liveOrRetired(ctx context.Context, g *generation.Generations, env config.Environment) (generation.Version, error) {
	live, err := g.Live(ctx)
	if !isNotFound(err) {
		return live, err
	}
	record, recordErr := m.ledger.Environment(ctx, env.Name)
	if recordErr == nil && record.Hibernation != nil {
		return g.Find(ctx, record.Hibernation.Version)
	}
	return live, envdb.Fail(envdb.ErrNotFound, "%s has no live version that could hibernate", env.Name).
		WithState("nothing was changed").WithNext("envdb versions %s", env.Name)
}

// keepVersion is keep after it was recorded.
func (m *Manager) keepVersion(ctx context.Context, x *execution, repository *backup.Repository, g *generation.Generations, env config.Environment, target envdb.Target, version generation.Version) (kept *BackupResult, err error) {
	if version.Name == g.Base() {
		x.step("retire")
		if version, err = g.Retire(ctx, target, envdb.OpHibernate); err != nil {
			return nil, err
		}
	}
	retired := env
	if retired.DirectURL, err = g.URL(version.Name); err != nil {
		return nil, err
	}
	note := "hibernation of " + env.Name
	if kept, err = m.takeBackup(ctx, x, repository, retired, BackupRequest{Environment: env.Name, Note: note, Pin: true}); err != nil {
		return nil, err
	}
	x.step("verify")
	report, err := repository.Verify(ctx, env.Name, kept.ID, backup.VerifyOptions{ReadData: true, Report: x.report})
	if err == nil {
		err = report.Err()
	}
	if err != nil {
		return kept, err
	}
	return kept, m.recordHibernation(ctx, env, func(h *ledger.Hibernation) { h.Backup, h.Bytes = kept.ID, held(kept.Packs) })
}

// held returns the size of everything that a backup refers to: packs of earlier
// ones too, which it keeps from being deleted.
func held(packs []backup.Pack) (bytes int64) {
	for _, p := range packs {
		bytes += p.Size
	}
	return bytes
}

func (m *Manager) recordHibernation(ctx context.Context, env config.Environment, change func(*ledger.Hibernation)) error {
	_, err := m.ledger.ChangeEnvironment(ctx, env.Name, func(e *ledger.Environment) error {
		if e.Hibernation == nil {
			e.Hibernation = &ledger.Hibernation{}
		}
		change(e.Hibernation)
		return nil
	})
	return err
}

// stopped is a hibernation that came to nothing.
type stopped struct {
	env     config.Environment
	version string
	kept    *BackupResult // nil if there is none
}

// stayAwake makes live again what a hibernation that failed took out of
// service, also after ctx was cancelled.
func (m *Manager) stayAwake(ctx context.Context, x *execution, repository *backup.Repository, g *generation.Generations, target envdb.Target, s stopped, cause error) error {
	err := joinCleanup(nil, ctx, func(ctx context.Context) error {
		if err := m.reinstate(ctx, g, target, s.version); err != nil {
			return err
		}
		if s.kept != nil {
			if err := repository.Unpin(ctx, s.env.Name, s.kept.ID); err != nil {
				return err
			}
		}
		return m.endHibernation(ctx, s.env.Name)
	})
	problem := envdb.Fail(nil, "hibernate %s: %w", s.env.Name, whyStopped(ctx, cause))
	if err != nil {
		x.log.Error("the environment could not be made live again", "env", s.env.Name, "reason", err)
		problem.Kind = kindOf(cause) // an interruption that must say more than that it was one
		return problem.WithState("its database is whole, and may be out of service").WithNext("envdb wake %s", s.env.Name)
	}
	return problem.WithState("%s is as it was", s.env.Name)
}

// reinstate makes a version live again that was retired, if none is live.
func (m *Manager) reinstate(ctx context.Context, g *generation.Generations, target envdb.Target, version string) error {
	_, err := g.Live(ctx)
	if !isNotFound(err) {
		return err
	}
	_, err = g.Rollback(ctx, target, generation.RollbackOptions{To: version})
	return err
}

// endHibernation removes the mark.
func (m *Manager) endHibernation(ctx context.Context, name string) error {
	_, err := m.ledger.ChangeEnvironment(ctx, name, func(e *ledger.Environment) error {
		e.Hibernation = nil
		return nil
	})
	return err
}

// dropKept drops the databases whose content the backup holds.
func (m *Manager) dropKept(ctx context.Context, x *execution, g *generation.Generations, target envdb.Target, result *HibernateResult) error {
	x.step("drop")
	err := m.dropAll(ctx, g, target, result)
	x.facts("dropped", result.Dropped, "backup", result.Backup)
	if err != nil {
		return result.undropped(err)
	}
	return nil
}

// dropAll drops every database of the environment, and notes what it freed.
func (m *Manager) dropAll(ctx context.Context, g *generation.Generations, target envdb.Target, result *HibernateResult) error {
	recorded, err := m.recordedVersions(ctx, result.Environment)
	if err != nil {
		return err
	}
	doomed, _, err := g.Destroyable(ctx, recorded)
	if err != nil {
		return err
	}
	for _, v := range doomed {
		result.Freed += v.Size
	}
	gone, err := g.Destroy(ctx, target, envdb.OpHibernate, recorded)
	result.Dropped = gone.Dropped
	return err
}
