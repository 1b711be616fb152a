package manager

import (
	"context"
	"errors"
	"fmt"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// A rehearsal asks, for a plan or the doctor, what a run asks before it makes
// anything. It takes neither lease nor lock, and writes nothing.

// planApp is the application_name of sessions that only look.
const planApp = "envdb/plan"

// rehearse refuses what the build would refuse, and notes in the plan how much
// disk it takes. Of a server that does not answer the plan says so: nobody is
// kept from a plan by it.
func (m *Manager) rehearse(ctx context.Context, repository *backup.Repository, p *Plan, b building) error {
	rehearse := m.rehearseBuild
	if b.onto {
		rehearse = m.rehearseOnto
	}
	err := rehearse(ctx, repository, p, b)
	switch {
	case err == nil:
		return nil
	case isSilence(err):
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s does not answer, so nothing was asked there, also not how much disk it takes: %v", b.where(), err))
		return nil
	}
	return b.untouched(err)
}

func (m *Manager) rehearseBuild(ctx context.Context, repository *backup.Repository, p *Plan, b building) error {
	g, err := m.look(ctx, b.env)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := m.rehearsePreflight(ctx, repository, g, b); err != nil {
		return err
	}
	versions, err := g.List(ctx)
	if err != nil {
		return err
	}
	p.peak(versions, coming(b, versions, p.Bytes)...)
	return nil
}

// rehearsePreflight reads what the backup, if there is one yet, says of itself.
func (m *Manager) rehearsePreflight(ctx context.Context, repository *backup.Repository, g *generation.Generations, b building) error {
	var reader *backup.Reader
	var catalogue *logical.Catalogue
	if manifest := b.backup.Manifest; manifest != nil {
		var err error
		if reader, err = repository.Open(ctx, manifest); err != nil {
			return err
		}
		if catalogue, err = logical.ReadCatalogue(ctx, reader); err != nil {
			return err
		}
	}
	_, err := m.preflight(ctx, planApp, repository, g, b, reader, catalogue)
	return err
}

// rehearseOnto asks the new server. What depends on the roles is left to the
// run, which makes them first.
func (m *Manager) rehearseOnto(ctx context.Context, _ *backup.Repository, _ *Plan, b building) error {
	g, err := m.look(ctx, b.env)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.MayBuild(ctx); err != nil {
		return err
	}
	conn, err := postgres.Connect(ctx, b.env.Direct(), postgres.Options{App: planApp, Database: b.env.Maintenance(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return refuseUnfit(ctx, conn, b)
}

// isSilence reports whether err is that the server of the environment itself
// does not answer. While it is that of a protected one, which might be the same,
// the environment is refused.
func isSilence(err error) bool {
	return errors.Is(err, postgres.ErrSilent) && !errors.Is(err, envdb.ErrRefused)
}
