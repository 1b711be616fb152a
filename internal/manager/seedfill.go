package manager

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed"
)

// replay builds a version from the inputs, and promotes it or leaves it dark.
// If anything fails before the promote, the version is dropped.
func (m *Manager) replay(ctx context.Context, x *execution, g *generation.Generations, s seeding, b building, digest string) (*SeedResult, error) {
	x.facts("way", string(Replayed))
	if err := x.recording.WillCreate(ctx, g.DarkName(x.id())); err != nil {
		return nil, err
	}
	x.step("create")
	dark, err := g.Build(ctx, b.target, b.operation, generation.Spec{ID: x.id(), Digest: digest})
	if err != nil {
		return nil, b.untouched(err)
	}
	result := s.result(x, Replayed, digest)
	if err := m.fillSeed(ctx, x, s, dark, result); err != nil {
		return nil, m.abandon(ctx, g, b, dark, whyStopped(ctx, err))
	}
	completion := generation.Completion{Neutrality: envdb.Seeded, Digest: digest, Labels: s.labels(), Volatile: result.Volatile, Commit: s.commit(), Clock: result.Clock, Access: accessMark(s.env)}
	if s.Dark {
		result.Database, result.Dark, result.Next = dark.Name, true, darkNext(b, dark)
		if _, err := g.Complete(ctx, b.target, b.operation, dark.Name, completion); err != nil {
			return nil, m.abandon(ctx, g, b, dark, whyStopped(ctx, err))
		}
		return s.finished(m, result), nil
	}
	b.told = func(p generation.Promotion, notes []string) {
		result.Database, result.Held, result.Previous, result.promotion = g.Base(), p.Held, kept(p, s.env), &p
		result.Notes = append(result.Notes, notes...)
		s.finished(m, result)
	}
	if _, _, err := m.makeLive(ctx, x, g, b, dark, completion); err != nil {
		return nil, m.abandon(ctx, g, b, dark, whyStopped(ctx, err))
	}
	return result, nil
}

func (s seeding) finished(m *Manager, result *SeedResult) *SeedResult {
	result.Elapsed = m.now().Sub(s.started)
	s.tell(result)
	return result
}

// fillSeed runs the inputs in the dark version, and checks what they made.
func (m *Manager) fillSeed(ctx context.Context, x *execution, s seeding, dark *generation.Dark, result *SeedResult) error {
	conn, err := postgres.Connect(ctx, dark.URL, postgres.Options{App: x.app(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Fixtures name tables as the application does.
	if _, err := conn.Exec(ctx, "RESET search_path"); err != nil {
		return postgres.Explain(err, "set up the session")
	}
	x.step("migrate")
	migrated, err := s.set.Migrate(ctx, migratingAs(conn, x.app()))
	if err != nil {
		return postgres.Advise(err)
	}
	result.Migrations, result.Version = migrated.Applied, migrated.Version
	x.step("load")
	loaded, err := s.set.Load(ctx, conn, x.report)
	if err != nil {
		return postgres.Advise(err)
	}
	result.Tables, result.Rows = len(loaded.Tables), loaded.Rows
	result.Notes, result.Volatile = append(result.Notes, loaded.Notes...), loaded.Volatile
	if !s.set.Complete() {
		result.Notes = append(result.Notes, "what the migration command reads is not known (seed.migrations.inputs), so every seed replays everything")
	}
	x.facts("rows", loaded.Rows, "migrations", migrated.Applied, "migration_version", migrated.Version)
	x.step("analyze")
	if _, err := conn.Exec(ctx, "ANALYZE"); err != nil {
		return postgres.Explain(err, "analyze the new version")
	}
	granted, err := m.grantAccess(ctx, x, s.env, conn)
	if err != nil {
		return err
	}
	result.Notes = append(result.Notes, granted...)
	x.step("check")
	return m.userChecks(ctx, x, s.env, s.checks, conn, `"$user", public`, "correct the migrations or fixtures that make these rows, or the check")
}

// migratingAs returns how migrations connect: as the run, so that whoever takes
// over from it finds their sessions too, and with no limit on how long they
// take.
func migratingAs(conn *pgx.Conn, app string) *pgx.ConnConfig {
	cfg := conn.Config()
	if cfg.RuntimeParams == nil {
		cfg.RuntimeParams = map[string]string{}
	}
	cfg.RuntimeParams["application_name"] = app
	for _, limit := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
		cfg.RuntimeParams[limit] = "0"
	}
	return cfg
}

// digest asks the server for what the rows depend on in it, and returns the
// digest of everything. Without a run it is asked for a plan.
func (m *Manager) digest(ctx context.Context, x *execution, s seeding) (string, error) {
	app := planApp
	if x != nil {
		app = x.app()
	}
	conn, err := postgres.Connect(ctx, s.env.Direct(), postgres.Options{App: app, Database: s.env.Maintenance(), Pin: true})
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	version, err := postgres.ReadServerVersion(ctx, conn)
	if err != nil {
		return "", postgres.Explain(err, "read the server's version")
	}
	server := seed.Server{Major: version.Major(), Extensions: map[string]string{}}
	rows, err := conn.Query(ctx, "SELECT name::text, coalesce(default_version, '') FROM pg_available_extensions")
	if err != nil {
		return "", postgres.Explain(err, "list the extensions")
	}
	var name, extension string
	_, err = pgx.ForEachRow(rows, []any{&name, &extension}, func() error {
		server.Extensions[name] = extension
		return nil
	})
	if err != nil {
		return "", postgres.Explain(err, "list the extensions")
	}
	return s.set.Digest(server), nil
}

// reseeding is a seed that nobody asked for by name.
func reseeding(env config.Environment, ref string, now time.Time) seeding {
	return seeding{SeedRequest: SeedRequest{Environment: env.Name, NoCache: true, Ref: ref}, env: env, started: now}
}

// reseed fills the environment from its migrations and fixtures, as they are at
// a git revision if one is named, without what is cached.
func (m *Manager) reseed(ctx context.Context, x *execution, env config.Environment, target envdb.Target, ref string) (*BuildResult, error) {
	s := reseeding(env, ref, m.now())
	s.target = target
	inputs, err := readInputs(ctx, env, s.Ref, env.Seed.Clock.At(s.started))
	if err != nil {
		return nil, err
	}
	s.inputs = inputs
	return m.seedWith(ctx, x, s)
}

// seedWith fills the environment from inputs that are read, and closes them.
func (m *Manager) seedWith(ctx context.Context, x *execution, s seeding) (_ *BuildResult, err error) {
	defer func() { err = tidy(ctx, m.log, err, func(context.Context) error { return s.close() }) }()
	r, err := m.seed(ctx, x, s)
	if err != nil {
		return nil, err
	}
	seeded := "seeded from migrations and fixtures, digest " + shortDigest(r.Digest)
	if r.Commit != "" {
		seeded += ", commit " + r.Commit
	}
	notes := append(r.Notes, seeded)
	return &BuildResult{
		Run: r.Run, Environment: r.Environment, Database: r.Database, Previous: r.Previous, Neutrality: envdb.Seeded,
		Commit: r.Commit, Tables: r.Tables, Rows: r.Rows, Promotion: r.promotion, Notes: notes, Elapsed: r.Elapsed,
	}, nil
}

// preflightExtensions asks the server whether the extensions that a seed begins
// with are there, and whether the role may create them.
func preflightExtensions(ctx context.Context, app string, env config.Environment) error {
	if len(env.Seed.Extensions) == 0 {
		return nil
	}
	conn, err := postgres.Connect(ctx, env.Direct(), postgres.Options{App: app, Database: env.Maintenance(), Pin: true})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, name := range env.Seed.Extensions {
		var there, mayCreate bool
		const ask = `SELECT count(*) > 0, coalesce(bool_or(v.trusted OR NOT v.superuser), false) OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
			FROM pg_catalog.pg_available_extensions AS a JOIN pg_catalog.pg_available_extension_versions AS v ON v.name = a.name AND v.version = a.default_version WHERE a.name = $1`
		if err := conn.QueryRow(ctx, ask, name).Scan(&there, &mayCreate); err != nil {
			return postgres.Explain(err, "look for the extension "+name)
		}
		switch {
		case !there:
			return envdb.Fail(envdb.ErrPreflight, "the server of %s has no extension %s, which seed.extensions asks for", env.Name, postgres.Quote(name)).
				WithState("nothing was changed").WithNext("install its package on the server, or correct the name in seed.extensions")
		case !mayCreate:
			return envdb.Fail(envdb.ErrPreflight, "only a superuser may create the extension %s on the server of %s", postgres.Quote(name), env.Name).
				WithState("nothing was changed").WithNext("let the url's role be a superuser there, or do without the extension")
		}
	}
	return nil
}
