package generation

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Protected is an environment that must not be a target, as far as it can be
// known: by asking it now, or by what was recorded when it last answered.
type Protected struct {
	Name string
	// Identify asks the environment; see [Identify].
	Identify func(context.Context) (envdb.Identity, error)
	// Recorded is nil if nothing was.
	Recorded *envdb.Identity
}

// Guard fails with ErrRefused if the target's database is that of a protected
// environment, whatever name, host or pooler leads to it, and also if that
// cannot be ruled out.
//
// What was recorded decides where the protected environment does not answer,
// and where another database answers for it than the recorded one: then its own
// url is wrong, and says nothing of where the real one is.
func Guard(ctx context.Context, name string, target envdb.Identity, protected []Protected) error {
	for _, p := range protected {
		now, err := p.Identify(ctx)
		switch {
		case err == nil && target.SameDatabase(now), err != nil && p.Recorded != nil && p.Recorded.MayBe(target):
			return same(name, target, p.Name)
		case err == nil && p.Recorded != nil && !p.Recorded.MayBe(now) && p.Recorded.MayBe(target):
			return moved(name, target, p.Name)
		case err == nil, p.Recorded != nil:
			continue
		case ctx.Err() != nil:
			return interrupted(ctx)
		}
		return envdb.Fail(envdb.ErrRefused, "%s does not answer, and its identity was never recorded, so %s might be it: %w", p.Name, name, err).
			WithState("nothing was changed").
			WithNext("once %s answers: `envdb identity accept %s`", p.Name, p.Name)
	}
	return nil
}

func same(name string, target envdb.Identity, protected string) error {
	return envdb.Fail(envdb.ErrRefused, "the url of %s leads to the database of %s (%q, oid %d, server %s), which is protected",
		name, protected, target.Database, target.DatabaseOID, target.SystemIdentifier).
		WithState("nothing was changed").
		WithNext("give %s a database of its own in its url", name)
}

// moved says that the target is the database that was recorded for a protected
// environment, whose url leads to another one now.
func moved(name string, target envdb.Identity, protected string) error {
	return envdb.Fail(envdb.ErrRefused, "the url of %s leads to the database that is recorded as %s (%q, oid %d, server %s), and the url of %s leads elsewhere",
		name, protected, target.Database, target.DatabaseOID, target.SystemIdentifier, protected).
		WithState("nothing was changed").
		WithNext("correct the urls of both; if %s was moved on purpose, and nobody needs the old database any more: `envdb identity accept %s`", protected, protected)
}

// Identify asks the environment's server what database its live version is;
// the oid is 0 if there is none. It follows both urls, the one that
// applications use and the one that goes around the pooler, and fails if they
// lead to different databases.
func Identify(ctx context.Context, env envdb.Environment) (envdb.Identity, error) {
	base, err := liveName(env)
	if err != nil {
		return envdb.Identity{}, err
	}
	direct, err := identify(ctx, env.Direct(), env.Maintenance(), base)
	if err != nil {
		return envdb.Identity{}, err
	}
	public, err := identify(ctx, env.URL, "", "")
	if direct.DatabaseOID == 0 && isMissing(err) {
		return direct, nil
	}
	if err != nil {
		return envdb.Identity{}, fmt.Errorf("url of %s: %w", env.Name, err)
	}
	if !direct.SameDatabase(public) {
		return envdb.Identity{}, envdb.Fail(envdb.ErrRefused, "url and direct_url of %s lead to different databases (%q, oid %d on server %s; %q, oid %d on server %s)", env.Name,
			public.Database, public.DatabaseOID, public.SystemIdentifier, direct.Database, direct.DatabaseOID, direct.SystemIdentifier).
			WithState("nothing was changed").
			WithNext("correct the urls of %s", env.Name)
	}
	return direct, nil
}

// isMissing reports whether the database is not there; a pooler says so in
// other words than a server.
func isMissing(err error) bool {
	return postgres.SQLState(err) == undefinedDatabase || postgres.SQLState(err) == "08P01"
}

// identify asks one server. An empty name is the database of the session: a
// pooler may call it otherwise than the url does.
func identify(ctx context.Context, to envdb.ConnString, connectTo, name string) (envdb.Identity, error) {
	conn, err := postgres.Connect(ctx, to, postgres.Options{Database: connectTo})
	if err != nil {
		return envdb.Identity{}, err
	}
	defer closeConn(conn)
	if name == "" {
		err := conn.QueryRow(ctx, "SELECT current_database()::text", pgx.QueryExecModeExec).Scan(&name)
		if err != nil {
			return envdb.Identity{}, postgres.Explain(err, "read the database's name")
		}
	}
	return postgres.ReadIdentity(ctx, conn, name)
}
