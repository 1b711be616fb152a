package manager

import (
	"context"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/generation"
)

// buildEmpty makes a live version with nothing in it.
func (m *Manager) buildEmpty(ctx context.Context, x *execution, repository *backup.Repository, c *creation) (*BuildResult, error) {
	b := building{operation: envdb.OpCreate, env: c.env, target: c.target, promote: true}
	x.step("preflight")
	g, ctx, closeAll, err := m.openGenerations(ctx, x, c.env)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	if err := m.guard(ctx, repository, g); err != nil {
		return nil, err
	}
	if err := m.cleanServer(ctx, x, g, c.target, envdb.OpCreate); err != nil {
		return nil, err
	}
	if err := x.recording.WillCreate(ctx, g.DarkName(x.id())); err != nil {
		return nil, err
	}
	x.step("create")
	dark, err := g.Build(ctx, c.target, envdb.OpCreate, generation.Spec{ID: x.id()})
	if err != nil {
		return nil, err
	}
	promotion, err := m.promoteEmpty(ctx, x, g, c, dark)
	if err != nil {
		return nil, m.abandon(ctx, g, b, dark, whyStopped(ctx, err))
	}
	return &BuildResult{Run: x.id(), Environment: c.env.Name, Database: g.Base(), Neutrality: envdb.Raw, Promotion: promotion}, nil
}

func (m *Manager) promoteEmpty(ctx context.Context, x *execution, g *generation.Generations, c *creation, dark *generation.Dark) (*generation.Promotion, error) {
	x.step("promote")
	properties, err := merged(ctx, g, c.env, nil)
	if err != nil {
		return nil, err
	}
	options := promoteOptions(c.env)
	options.Properties = &properties
	promotion, err := g.Promote(ctx, c.target, dark.Name, options)
	if err != nil {
		return nil, err
	}
	x.promoted(promotion)
	return &promotion, nil
}

// seedNew fills an environment that is being created by its seed section.
func (m *Manager) seedNew(ctx context.Context, x *execution, c *creation) (*BuildResult, error) {
	return m.reseed(ctx, x, c.env, c.target, c.ref)
}
