package manager

import (
	"context"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
)

// RestoreRequest asks to bring an environment back to its own past.
type RestoreRequest struct {
	Environment string
	Point       envdb.Point
	// Dark leaves the version beside the live one. On a protected environment
	// it always stays dark.
	Dark bool
	// Onto rebuilds the environment on an empty server instead.
	Onto    envdb.ConnString
	Confirm string
}

// PlanRestore returns what Restore would do.
func (m *Manager) PlanRestore(ctx context.Context, req RestoreRequest) (*Plan, error) {
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	p, b, err := m.planRestore(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	return p, withRights(b.env, m.rehearse(ctx, repository, p, b), restoreCommand(b)+" --dry-run")
}

// Restore brings an environment back to its own past.
func (m *Manager) Restore(ctx context.Context, req RestoreRequest) (*BuildResult, error) {
	started := m.now()
	repository, err := m.open(ctx)
	if err != nil {
		return nil, err
	}
	p, b, err := m.planRestore(ctx, repository, req)
	if err != nil {
		return nil, err
	}
	m.warn(p)
	var result *BuildResult
	j := job{operation: envdb.OpRestore, environment: b.env.Name, source: b.source, point: b.backup.Manifest.Point, backup: b.backup.ID()}
	err = m.run(ctx, j, func(ctx context.Context, x *execution) error {
		if req.Onto != "" {
			result, err = m.buildOnto(ctx, x, repository, b)
		} else {
			result, err = m.build(ctx, x, repository, b)
		}
		return err
	})
	if result != nil {
		result.Elapsed = m.now().Sub(started)
		result.Asked, result.Behind = p.Asked, p.Behind
	}
	return result, withRights(b.env, err, restoreCommand(b))
}

// restoreCommand is the command that restores the same backup.
func restoreCommand(b building) string {
	return fmt.Sprintf("envdb restore %s@%s", b.env.Name, b.backup.ID())
}

func (m *Manager) planRestore(ctx context.Context, repository *backup.Repository, req RestoreRequest) (*Plan, building, error) {
	b, err := m.restoring(ctx, req)
	if err != nil {
		return nil, b, err
	}
	p := &Plan{Operation: envdb.OpRestore, Environment: req.Environment, Source: req.Environment}
	if b.backup, p.Warnings, err = m.resolve(ctx, repository, req.Environment, req.Point); err != nil {
		return nil, b, err
	}
	if req.Onto != "" {
		p.Live = req.Onto.String()
		p.add("check that the server is empty, and no protected one", "create the roles, without passwords")
	}
	m.describeBuild(p, b, req.Point)
	return p, b, nil
}

// restoring finds the environment and the permission.
func (m *Manager) restoring(ctx context.Context, req RestoreRequest) (building, error) {
	b := building{operation: envdb.OpRestore, source: req.Environment, promote: !req.Dark}
	env, err := m.environment(ctx, req.Environment)
	if req.Onto != "" {
		if isNotFound(err) {
			return b, err
		}
		return m.restoringOnto(env, req, b)
	}
	if err != nil {
		return b, err
	}
	b.env = env
	if env.Protected() {
		// The command named the environment; what it builds stays dark.
		b.promote = false
		b.target, err = env.Sanction(envdb.Confirmation{Environment: req.Environment, Operation: envdb.OpRestore})
		return b, err
	}
	if err := confirmNoWayBack(env, req.Dark, req.Confirm); err != nil {
		return b, err
	}
	b.target, err = env.Target()
	return b, err
}

// restoringOnto makes an environment of a URL, for this one run: the same
// data, on a server that nobody uses yet.
func (m *Manager) restoringOnto(env config.Environment, req RestoreRequest, b building) (building, error) {
	url, err := config.Process().ResolveURL(req.Onto.Reveal())
	if err != nil {
		return b, err
	}
	b.env = env
	b.env.Environment = envdb.Environment{Name: env.Name, Tier: envdb.Dev, URL: url, MaintenanceDB: env.MaintenanceDB}
	if b.env.Roles == config.MapRoles {
		b.env.Roles = config.CreateRoles
	}
	b.promote, b.onto = true, true
	b.target, err = b.env.Environment.Target()
	return b, err
}
