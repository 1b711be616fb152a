package generation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Generations are the versions of one environment. It is safe for concurrent
// use; what changes the environment is done one thing at a time.
type Generations struct {
	env     envdb.Environment
	base    string // the name of the live version
	system  string // the server's system identifier
	role    string // envdb's role on the server
	version postgres.ServerVersion

	run    string
	log    *slog.Logger
	report envdb.Report
	now    func() time.Time

	session *session
	lock    lock
}

// Options say for whom versions are handled.
type Options struct {
	// Run is the id of the run; it names the sessions.
	Run string
	// Log may be nil.
	Log    *slog.Logger
	Now    func() time.Time // time.Now if nil
	Report envdb.Report
}

// Open connects to the environment's maintenance database, around any pooler.
// The live version need not exist. The caller closes what it gets.
func Open(ctx context.Context, env envdb.Environment, o Options) (*Generations, error) {
	base, err := liveName(env)
	if err != nil {
		return nil, err
	}
	g := &Generations{env: env, base: base, run: o.Run, log: o.Log, report: o.Report, now: o.Now}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	conn, err := g.connect(ctx, env.Maintenance())
	if err != nil {
		return nil, err
	}
	g.session = &session{conn: conn}
	if err := g.learn(ctx, conn); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// learn asks the server what it is and who envdb is on it.
func (g *Generations) learn(ctx context.Context, conn *pgx.Conn) (err error) {
	if err := refusePooler(ctx, conn, g.env); err != nil {
		return err
	}
	if g.version, err = postgres.ReadServerVersion(ctx, conn); err != nil {
		return g.explain(err, "read the server's version")
	}
	err = conn.QueryRow(ctx, "SELECT system_identifier::text, current_user::text FROM pg_control_system()").Scan(&g.system, &g.role)
	return g.explain(err, "read the server's identity")
}

// Close releases the lock and ends the session. Whoever comes next gets the
// lock at once, also another part of the same run.
func (g *Generations) Close() error {
	held := g.lock.require(g.env.Name) == nil
	g.lock.release(nil)
	if held {
		g.session.unlock()
	}
	return g.session.close()
}

// Base returns the name of the live version.
func (g *Generations) Base() string { return g.base }

// Environment returns the environment whose versions these are.
func (g *Generations) Environment() envdb.Environment { return g.env }

// App returns the application_name of the run's sessions. What fills a version
// uses it too, so that [Generations.Fence] finds it.
func (g *Generations) App() string { return App(g.run) }

// App returns the application_name of the sessions of a run.
func App(run string) string { return "envdb/" + run }

// URL returns the connection string that leads to a database of the
// environment's server, around any pooler.
func (g *Generations) URL(database string) (envdb.ConnString, error) {
	return postgres.WithDatabase(g.env.Direct(), database)
}

// connect opens a session of the run.
func (g *Generations) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, g.env.Direct(), postgres.Options{App: g.App(), Database: database, Pin: true})
	if postgres.SQLState(err) == tooManyConnections {
		return nil, envdb.Fail(envdb.ErrPreflight, "the server of %s has no free connection: %w", g.env.Name, err).
			WithState("nothing was changed").
			WithNext("end some sessions, or raise max_connections; envdb needs two, or give its role one of superuser_reserved_connections")
	}
	return conn, err
}

// explain adds the environment to what postgres.Explain says.
func (g *Generations) explain(err error, what string) error {
	return postgres.Explain(err, what+" of "+g.env.Name)
}

// liveName returns the name of the live version, and refuses one that envdb
// itself needs.
func liveName(env envdb.Environment) (string, error) {
	base, err := postgres.DatabaseName(env.Direct())
	if err != nil {
		return "", fmt.Errorf("environment %s: %w", env.Name, err)
	}
	public, err := postgres.DatabaseName(env.URL)
	if err != nil {
		return "", fmt.Errorf("environment %s: %w", env.Name, err)
	}
	if public != base && public != env.Pooler.Database {
		return "", envdb.Fail(envdb.ErrPreflight, "url of %s names database %q, but direct_url names %q", env.Name, public, base).
			WithState("nothing was changed").
			WithNext("name one database in both; if the pooler calls it otherwise, set pooler.database to %q", public)
	}
	if slices.Contains([]string{env.Maintenance(), "template0", "template1", "postgres"}, base) {
		return "", envdb.Fail(envdb.ErrRefused, "%s is database %q, from which its server is administered: it is never replaced", env.Name, base).
			WithState("nothing was changed").
			WithNext("give the environment a database of its own in its url")
	}
	return base, nil
}

// The codes that envdb acts on. See the PostgreSQL manual, appendix
// "PostgreSQL Error Codes".
const (
	tooManyConnections = "53300"
	objectInUse        = "55006"
	lockNotAvailable   = "55P03"
	queryCanceled      = "57014"
	deadlock           = "40P01"
	undefinedDatabase  = "3D000"
	duplicateDatabase  = "42P04"
	insufficient       = "42501"
)

// LiveName returns the name of an environment's live version.
func LiveName(env envdb.Environment) (string, error) { return liveName(env) }
