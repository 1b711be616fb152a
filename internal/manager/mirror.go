package manager

import (
	"context"
	"fmt"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/restore"
)

// MirrorRequest asks to fill Target from a restore point of Source.
type MirrorRequest struct {
	Source string
	Point  envdb.Point
	Target string
	// Fresh takes a backup of Source first; MaxAge does so if the newest
	// restore point is older than that. Both go with the latest point only.
	Fresh  bool
	MaxAge time.Duration
	// Dark leaves the version beside the live one.
	Dark bool
	// Confirm is Target's name, where nothing would bring the live version
	// back.
	Confirm string
}

// mirroring is a mirror that was checked and resolved.
type mirroring struct {
	plan     *Plan
	source   config.Environment
	building building
}

// PlanMirror returns what Mirror would do.
func (m *Manager) PlanMirror(ctx context.Context, req MirrorRequest) (*Plan, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	planned, err := m.planMirror(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	return planned.plan, m.rehearseMirror(ctx, repository, planned)
}

// Mirror fills an environment from another's restore point.
func (m *Manager) Mirror(ctx context.Context, req MirrorRequest) (*BuildResult, error) {
	started := m.now()
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	planned, err := m.planMirror(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	m.warn(planned.plan)
	if err := m.takeFirst(ctx, repository, planned, "for a mirror into "+req.Target); err != nil {
		return nil, err
	}
	b := planned.building
	var result *BuildResult
	j := job{operation: envdb.OpMirror, environment: req.Target, source: req.Source, point: b.backup.Manifest.Point, backup: b.backup.ID()}
	err = m.run(ctx, j, func(ctx context.Context, x *execution) error {
		result, err = m.build(ctx, x, repository, b)
		return err
	})
	if result != nil {
		result.Elapsed = m.now().Sub(started)
		result.Asked, result.Behind = planned.plan.Asked, planned.plan.Behind
	}
	return result, err
}

// rehearseMirror refuses what Mirror would refuse before it makes anything, its
// backup included.
func (m *Manager) rehearseMirror(ctx context.Context, repository *backup.Repository, planned *mirroring) error {
	if planned.plan.TakesBackup {
		if err := refuseOlderTarget(ctx, planned.source, planned.building.env); err != nil {
			return err
		}
	}
	return m.rehearse(ctx, repository, planned.plan, planned.building)
}

// takeFirst takes the backup that comes before a mirror, if one does.
func (m *Manager) takeFirst(ctx context.Context, repository *backup.Repository, planned *mirroring, note string) error {
	if !planned.plan.TakesBackup {
		return nil
	}
	if err := refuseOlderTarget(ctx, planned.source, planned.building.env); err != nil {
		return err
	}
	taken, err := m.Backup(ctx, BackupRequest{Environment: planned.source.Name, Note: note})
	if err != nil {
		return err
	}
	planned.building.backup, err = repository.Find(ctx, planned.source.Name, taken.ID)
	return err
}

// planMirror refuses what can be refused without touching a server, and finds
// the backup.
func (m *Manager) planMirror(ctx context.Context, repository *backup.Repository, req MirrorRequest) (*mirroring, error) {
	env, target, err := m.target(ctx, req.Target)
	if err != nil {
		return nil, err
	}
	if err := m.awake(ctx, env.Name, envdb.OpMirror); err != nil {
		return nil, err
	}
	return m.planMirrorInto(ctx, repository, env, target, req)
}

// planMirrorInto is planMirror for a target that is known, and that need not be
// there yet.
func (m *Manager) planMirrorInto(ctx context.Context, repository *backup.Repository, env config.Environment, target envdb.Target, req MirrorRequest) (*mirroring, error) {
	var err error
	if req.Source == req.Target {
		return nil, envdb.Fail(envdb.ErrMisuse, "%s cannot be mirrored into itself", req.Source).
			WithState("nothing was changed").WithNext("for its own past: envdb restore %s@%s", req.Source, req.Point)
	}
	source, sourceErr := m.config.Environment(req.Source)
	if isNotFound(sourceErr) {
		return nil, sourceErr
	}
	if err := confirmNoWayBack(env, req.Dark, req.Confirm); err != nil {
		return nil, err
	}
	p := &Plan{Operation: envdb.OpMirror, Environment: env.Name, Source: source.Name}
	b := building{operation: envdb.OpMirror, env: env, target: target, source: source.Name, harmless: source.Tier == envdb.Production || source.Protected(), promote: !req.Dark, baseline: !req.Dark}
	if b.mask, err = m.masking(env); err != nil {
		return nil, err
	}
	p.TakesBackup, err = m.needsBackup(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	if p.TakesBackup && sourceErr != nil {
		return nil, sourceErr
	}
	if !p.TakesBackup {
		if b.backup, p.Warnings, err = m.resolve(ctx, repository, source.Name, req.Point); err != nil {
			return nil, err
		}
	}
	b.harmless = b.harmless || b.backup.Manifest != nil && b.backup.Manifest.Tier == envdb.Production
	m.describeBuild(p, b, req.Point)
	return &mirroring{plan: p, source: source, building: b}, nil
}

// needsBackup reports whether a backup comes first: because it was asked for,
// because the newest is too old, or because there is none.
func (m *Manager) needsBackup(ctx context.Context, repository *backup.Repository, req MirrorRequest) (bool, error) {
	if !req.Point.IsLatest() {
		if req.Fresh || req.MaxAge > 0 {
			return false, envdb.Fail(envdb.ErrMisuse, "--fresh and --max-age go with the latest point, not with %s", req.Point).WithNext("leave out one of them")
		}
		return false, nil
	}
	if req.Fresh {
		return true, nil
	}
	newest, _, err := m.resolve(ctx, repository, req.Source, req.Point)
	if isNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return req.MaxAge > 0 && m.now().Sub(newest.Manifest.Point) > req.MaxAge, nil
}

// target returns the environment and the permission to overwrite it.
func (m *Manager) target(ctx context.Context, name string) (config.Environment, envdb.Target, error) {
	env, err := m.environment(ctx, name)
	if isNotFound(err) {
		return env, envdb.Target{}, err
	}
	target, refused := env.Target()
	if refused != nil {
		return env, envdb.Target{}, refused
	}
	return env, target, err
}

// confirmNoWayBack asks for the environment's name where no previous version
// is kept.
func confirmNoWayBack(env config.Environment, dark bool, confirm string) error {
	if dark || env.KeepPrevious > 0 || confirm == env.Name {
		return nil
	}
	return envdb.Fail(envdb.ErrRefused, "%s keeps no previous version (keep_previous: 0): what is live now would be gone", env.Name).
		WithState("nothing was changed").WithNext("repeat with --confirm %s, or set keep_previous to 1", env.Name)
}

// describeBuild writes the steps of the pipeline into the plan.
func (m *Manager) describeBuild(p *Plan, b building, asked envdb.Point) {
	if at, ok := asked.Moment(); ok {
		p.Asked = &at
	}
	if p.TakesBackup {
		p.add(fmt.Sprintf("take a backup of %s", b.source))
	}
	if manifest := b.backup.Manifest; manifest != nil {
		p.Backup, p.Point, p.Bytes = manifest.ID, &manifest.Point, manifest.Totals.LogicalBytes
		p.Behind = restore.Behind(b.backup, asked)
		p.add(fmt.Sprintf("read backup %s: %s as of %s", manifest.ID, b.source, manifest.Point.UTC().Format(time.DateTime+" UTC")))
	}
	p.Neutrality = b.neutrality()
	p.add(fmt.Sprintf("build a dark version on %s, closed to everyone", b.where()), "load the schema and the rows")
	describeMasking(p, b)
	b.describePreserve(p)
	if b.harmless {
		p.add("neutralise: subscriptions, publications, user mappings, scheduled jobs, event triggers, custom settings")
		for _, file := range b.env.Mirror.Neutralise {
			p.add("run " + file)
		}
	}
	b.describeRemap(p)
	p.add("build indexes and constraints; refresh materialised views; analyse", "check every object and every row count against the backup")
	b.describeAdapting(p)
	if !b.promote {
		p.add("leave it dark")
		return
	}
	if b.baseline && b.env.Baseline.Wanted(p.Bytes) {
		p.add("leave a sealed copy of it beside it: the baseline, for envdb reset")
	}
	p.add(promoting("it", b.env))
}
