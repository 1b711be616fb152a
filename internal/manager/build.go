package manager

import (
	"context"
	"errors"
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/postgres"
)

// building is one pass through the pipeline that mirror and restore share:
// build next, dark; fill it; make it harmless; check it; promote or discard.
type building struct {
	operation envdb.Operation
	env       config.Environment // what is filled
	target    envdb.Writable     // the permission to fill it
	source    string             // the environment whose data it is
	backup    backup.Backup
	// harmless says that the data comes from production.
	harmless bool
	// promote makes the version live; otherwise it stays dark.
	promote bool
	// baseline leaves a sealed copy for reset, in place of the one before: the
	// version is what the environment is filled with, not its own past.
	baseline bool
	// mask says what is replaced; nil replaces nothing.
	mask *logical.Masking
	// told, if set, gets what a promote did, and the notes on the baseline,
	// before what can wait is done.
	told func(p generation.Promotion, notes []string)
	// onto says that it is built on a server that is not the environment's.
	onto bool
}

// neutralityOf says what the data will be: a copy of a copy that was made
// harmless is harmless too.
func (b building) neutralityOf(catalogue *logical.Catalogue) envdb.Neutrality {
	if _, marker := generation.SplitComment(catalogue.Database.Comment); marker != nil && marker.Neutrality == envdb.Neutralised {
		return envdb.Neutralised
	}
	return b.neutrality()
}

// where names the server for people.
func (b building) where() string {
	if b.onto {
		return "the new server"
	}
	return "the server of " + b.env.Name
}

func (b building) neutrality() envdb.Neutrality {
	if b.harmless {
		return envdb.Neutralised
	}
	return envdb.Raw
}

// untouched says of an error before the promote, unless it says better itself,
// what it means for the live version.
func (b building) untouched(err error) error {
	if state, _ := envdb.Advice(err); state != "" {
		return err
	}
	return envdb.Fail(nil, "%w", err).WithState("%s is as it was", b.env.Name)
}

// build runs the pipeline. Until the promote the live version is not touched;
// if anything fails before it, the dark version is dropped.
func (m *Manager) build(ctx context.Context, x *execution, repository *backup.Repository, b building) (result *BuildResult, err error) {
	hold, err := m.ledger.HoldBackup(ctx, b.source, b.backup.ID(), ledger.Claim{Run: x.id(), Operation: b.operation})
	if err != nil {
		return nil, err
	}
	defer func() { err = tidy(ctx, x.log, err, hold.Release) }()
	if err := repository.StillThere(ctx, b.source, b.backup.ID()); err != nil {
		return nil, b.untouched(err)
	}
	reader, err := repository.Open(ctx, b.backup.Manifest)
	if err != nil {
		return nil, err
	}
	catalogue, err := logical.ReadCatalogue(ctx, reader)
	if err != nil {
		return nil, err
	}

	x.step("preflight")
	generations, ctx, closeAll, err := m.openGenerations(ctx, x, b.env)
	if err != nil {
		return nil, b.untouched(err)
	}
	defer closeAll()
	own, err := m.preflight(ctx, x.app(), repository, generations, b, reader, catalogue)
	if err != nil {
		return nil, b.untouched(err)
	}
	if err := m.cleanServer(ctx, x, generations, b.target, b.operation); err != nil {
		return nil, b.untouched(err)
	}

	if err := x.recording.WillCreate(ctx, generations.DarkName(x.id())); err != nil {
		return nil, err
	}
	x.step("create")
	dark, err := generations.Build(ctx, b.target, b.operation, specOf(x.id(), b, catalogue))
	if err != nil {
		return nil, b.untouched(err)
	}
	result, err = m.finish(ctx, x, generations, b, dark, reader, catalogue, own)
	if err != nil {
		return nil, m.abandon(ctx, generations, b, dark, whyStopped(ctx, err))
	}
	return result, nil
}

// whyStopped returns why the context ended, if that is all that err is about
// and it was nobody's wish: a lost lock cancels the work.
func whyStopped(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	wished := cause == nil || errors.Is(cause, context.Canceled) || errors.Is(cause, envdb.ErrInterrupted)
	if wished || !errors.Is(err, context.Canceled) {
		return err
	}
	return cause
}

// abandon drops the version that came to nothing, and says so: what went wrong
// knows only of a database that is half built.
func (m *Manager) abandon(ctx context.Context, g *generation.Generations, b building, dark *generation.Dark, cause error) error {
	problem := envdb.Fail(nil, "%w", cause)
	if err := g.Abandon(ctx, b.target, b.operation, dark, problem); err != error(problem) {
		return err // it was not dropped, and err says that
	}
	return problem.WithState("%s is as it was; the unfinished version has been dropped", b.env.Name)
}

// openGenerations connects to the environment's server and takes its lock,
// after ending the sessions of the dead runs whose leases this run took over.
func (m *Manager) openGenerations(ctx context.Context, x *execution, env config.Environment) (*generation.Generations, context.Context, func(), error) {
	g, err := generation.Open(ctx, env.Environment, generation.Options{Run: x.id(), Log: x.log, Now: m.now, Report: x.report})
	if err != nil {
		return nil, ctx, nil, err
	}
	fail := func(err error) (*generation.Generations, context.Context, func(), error) {
		return nil, ctx, nil, errors.Join(err, g.Close())
	}
	for _, dead := range x.takenOver {
		if err := g.Fence(ctx, dead.Run); err != nil {
			return fail(err)
		}
		if err := m.ledger.MarkInterrupted(ctx, dead.Run, "its process is gone; run "+x.id()+" took over"); err != nil {
			return fail(err)
		}
	}
	if len(x.takenOver) == 0 {
		if err := g.Lock(ctx); err != nil {
			return fail(err)
		}
	}
	bound, release := g.Bind(ctx)
	return g, bound, func() { release(); g.Close() }, nil
}

// preflight asks everything that can be asked before anything is created, and
// writes nothing: plans and the doctor ask the same. It returns what the
// environment has of its own in the copy. Without a reader and a catalogue, which
// a backup that is still to be taken has not, it asks what does not depend on
// them.
func (m *Manager) preflight(ctx context.Context, app string, repository *backup.Repository, g *generation.Generations, b building, reader *backup.Reader, catalogue *logical.Catalogue) (own logical.Own, err error) {
	if b.operation == envdb.OpMirror || !b.env.Protected() {
		if err := m.guard(ctx, repository, g); err != nil {
			return own, err
		}
	}
	if err := g.MayBuild(ctx); err != nil {
		return own, err
	}
	if b.promote {
		if err := g.Ready(ctx); err != nil {
			return own, err
		}
	}
	if _, err := config.ReadScripts(append(slices.Clone(b.env.Mirror.Neutralise), b.env.Mirror.Checks...)); err != nil && b.operation == envdb.OpMirror {
		return own, err
	}
	if b.migrates() {
		if err := migrationsThere(b.env); err != nil {
			return own, err
		}
	}
	if err := m.preflightServer(ctx, app, b, reader, catalogue); err != nil || reader == nil {
		return own, err
	}
	return m.ownOf(ctx, app, g, b, reader, catalogue)
}

// preflightServer asks whether the server can hold the backup, and whether the
// application's role can be given what it is to have.
func (m *Manager) preflightServer(ctx context.Context, app string, b building, reader *backup.Reader, catalogue *logical.Catalogue) error {
	conn, err := postgres.Connect(ctx, b.env.Direct(), postgres.Options{App: app, Database: b.env.Maintenance(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if reader == nil {
		return preflightAccess(ctx, conn, b.env, nil)
	}
	if _, err = logical.Preflight(ctx, conn, catalogue, m.preflightOptions(b)); err != nil { // its notes come again with the load
		return err
	}
	if !b.env.Access.Declared() {
		return nil
	}
	owners, err := logical.Owners(ctx, reader)
	if err != nil {
		return err
	}
	return preflightAccess(ctx, conn, b.env, owners)
}

func (m *Manager) preflightOptions(b building) logical.PreflightOptions {
	return logical.PreflightOptions{
		Roles: logical.RolePolicy(b.env.Roles), SkipExtensions: b.env.SkipExtensions, Neutralise: b.harmless,
	}
}

// guard refuses a target whose URL leads to a protected database.
func (m *Manager) guard(ctx context.Context, repository *backup.Repository, g *generation.Generations) error {
	protected, err := m.protected(ctx, repository)
	if err != nil {
		return err
	}
	target, err := generation.Identify(ctx, g.Environment())
	if err != nil {
		return err
	}
	return generation.Guard(ctx, g.Environment().Name, target, protected)
}

// cleanServer drops what dead runs left unfinished on the server.
func (m *Manager) cleanServer(ctx context.Context, x *execution, g *generation.Generations, w envdb.Writable, op envdb.Operation) error {
	recorded, err := m.recordedVersions(ctx, x.environment)
	if err != nil {
		return err
	}
	gone, err := g.CleanUp(ctx, w, op, m.runIsAlive(ctx), recorded)
	for _, name := range gone {
		x.log.Info("removed the unfinished database of an interrupted run", "database", name)
	}
	return err
}

// specOf returns what the dark version is created as.
func specOf(id string, b building, c *logical.Catalogue) generation.Spec {
	d := c.Database
	return generation.Spec{
		ID: id, Source: b.source, Backup: string(b.backup.ID()), Point: c.Point,
		Encoding: d.Encoding, LocaleProvider: d.LocaleProvider, Collate: d.Collate, CType: d.CType, Locale: d.Locale, ICURules: d.ICURules,
	}
}
