package generation

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// Dark is a version that was just created, empty and shut to everyone but
// envdb's role and superusers.
type Dark struct {
	Version
	// URL leads to it, around any pooler.
	URL envdb.ConnString
}

// DarkName returns the name that Build gives to the version with the id, for
// the run's record: Discard believes a record where there is no marker yet.
func (g *Generations) DarkName(id string) string { return Name(g.base, envdb.Dark, id) }

// Build creates an empty database for the next version. At no moment can
// anyone but envdb's role and superusers connect to it: it is created closed,
// and opened by the transaction that takes CONNECT and TEMPORARY from PUBLIC
// and writes the marker. op is the operation that w must allow.
func (g *Generations) Build(ctx context.Context, w envdb.Writable, op envdb.Operation, spec Spec) (*Dark, error) {
	if err := g.allowed(w, op); err != nil {
		return nil, err
	}
	if spec.ID == "" {
		return nil, envdb.Fail(envdb.ErrMisuse, "a version needs an id")
	}
	name := g.DarkName(spec.ID)
	sql, err := spec.create(name, g.version)
	if err != nil {
		return nil, err
	}
	url, err := g.URL(name)
	if err != nil {
		return nil, err
	}
	var v Version
	err = g.session.do(ctx, slow, func(ctx context.Context, conn *pgx.Conn) error {
		if err := g.mayCreate(ctx, conn); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, sql); err != nil {
			return g.explainCreate(err, name, spec)
		}
		v, err = g.open(ctx, conn, name, spec)
		if err != nil {
			_, dropErr := conn.Exec(ctx, "DROP DATABASE "+postgres.Quote(name))
			return errors.Join(g.explain(err, "prepare database "+name), dropErr)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	g.log.Debug("database created", "env", g.env.Name, "database", name, "oid", v.OID)
	return &Dark{Version: v, URL: url}, nil
}

// open marks a new database, shuts PUBLIC out and lets envdb's role in.
func (g *Generations) open(ctx context.Context, conn *pgx.Conn, name string, spec Spec) (v Version, err error) {
	err = inTransaction(ctx, conn, func(tx pgx.Tx) error {
		var oid uint32
		if err := tx.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = $1", name).Scan(&oid); err != nil {
			return err
		}
		m := Marker{
			Environment: g.env.Name, Base: g.base, ID: spec.ID, State: Building,
			Source: spec.Source, Backup: spec.Backup, Point: spec.Point.UTC(), Digest: spec.Digest, Neutrality: envdb.Raw,
			Run: g.run, Created: g.now().UTC().Truncate(time.Millisecond), SystemIdentifier: g.system, OID: oid,
		}
		comment, err := commentOn(name, "", m)
		if err != nil {
			return err
		}
		v = Version{Name: name, State: Building, ID: m.ID, OID: oid, Marker: &m, Created: m.Created}
		return exec(ctx, tx.Conn(),
			"REVOKE CONNECT, TEMPORARY ON DATABASE "+postgres.Quote(name)+" FROM PUBLIC",
			comment,
			"ALTER DATABASE "+postgres.Quote(name)+" ALLOW_CONNECTIONS true")
	})
	return v, err
}

// commentOn returns the statement that writes a comment.
func commentOn(name, user string, m Marker) (string, error) {
	text, err := JoinComment(user, m)
	if err != nil {
		return "", err
	}
	return "COMMENT ON DATABASE " + postgres.Quote(name) + " IS " + postgres.Literal(text), nil
}

// Completion is what is known of a version once it is filled.
type Completion struct {
	Neutrality envdb.Neutrality
	Digest     string    // if not known before
	Point      time.Time // if not known before
	Masked     string    // the digest of the rules, of masked data
	Carried    *Properties
	Labels     map[string]string
	Volatile   []string  // the columns that the inputs of a seed do not decide
	Commit     string    // of the inputs of a seed, if they are a revision's
	Clock      time.Time // that fixtures took for now, if they asked
	Access     string    // what the application's role was granted
}

// volatileBytes is how much of a marker the names of volatile columns may take.
const volatileBytes = 2 << 10

// apply returns the marker of the completed version.
func (c Completion) apply(m Marker) Marker {
	if c.Neutrality != "" {
		m.Neutrality = c.Neutrality
	}
	if c.Digest != "" {
		m.Digest = c.Digest
	}
	if !c.Point.IsZero() {
		m.Point = c.Point.UTC()
	}
	if c.Masked != "" {
		m.Masked = c.Masked
	}
	if c.Carried != nil {
		m.Carried = c.Carried
	}
	if c.Labels != nil {
		m.Labels = c.Labels
	}
	if c.Access != "" {
		m.Access = c.Access
	}
	if c.Commit != "" {
		m.Commit = c.Commit
	}
	if !c.Clock.IsZero() {
		m.Clock = c.Clock.UTC()
	}
	if c.Volatile != nil {
		m.Volatile, m.MoreVolatile = short(c.Volatile, volatileBytes)
	}
	return m
}

// short returns as many of the first texts as fit into so many bytes, and how
// many are left out.
func short(texts []string, bytes int) (kept []string, more int) {
	for i, text := range texts {
		if bytes -= len(text); bytes < 0 {
			return texts[:i], len(texts) - i
		}
	}
	return texts, 0
}

// Complete records that a version which this run built is whole. Without it a
// version can only be promoted by the run that built it.
func (g *Generations) Complete(ctx context.Context, w envdb.Writable, op envdb.Operation, name string, c Completion) (Version, error) {
	return g.remark(ctx, w, op, name, func(m Marker) Marker {
		m = c.apply(m)
		m.State = envdb.Dark
		return m
	})
}

// SetNeutrality records that a version which is being built is harmless by
// now, or is not.
func (g *Generations) SetNeutrality(ctx context.Context, w envdb.Writable, op envdb.Operation, name string, n envdb.Neutrality) (Version, error) {
	return g.remark(ctx, w, op, name, Completion{Neutrality: n}.apply)
}

// remark changes the marker of a version that this run is building.
func (g *Generations) remark(ctx context.Context, w envdb.Writable, op envdb.Operation, name string, change func(Marker) Marker) (Version, error) {
	if err := g.allowed(w, op); err != nil {
		return Version{}, err
	}
	var v Version
	err := g.session.do(ctx, quick, func(ctx context.Context, conn *pgx.Conn) error {
		now, err := g.read(ctx, conn, name)
		if err != nil {
			return err
		}
		if now.State != Building || now.Marker.Run != g.run {
			return envdb.Fail(envdb.ErrRefused, "%s is not being built by this run: it is %s", name, now.State).WithState("nothing was changed")
		}
		m := change(*now.Marker)
		comment, err := commentOn(name, now.Comment, m)
		if err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, comment); err != nil {
			return g.explain(err, "mark database "+name)
		}
		v, err = g.read(ctx, conn, name)
		return err
	})
	return v, err
}

// read returns the version with the database name as it is now.
func (g *Generations) read(ctx context.Context, conn *pgx.Conn, name string) (Version, error) {
	v := Version{Name: name}
	var comment string
	err := conn.QueryRow(ctx, `
		SELECT oid, coalesce(shobj_description(oid, 'pg_database'), ''), datconnlimit = -2, NOT datallowconn, xmin::text::bigint
		FROM pg_database WHERE datname = $1`, name).Scan(&v.OID, &comment, &v.Broken, &v.closed, &v.row)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, envdb.Fail(envdb.ErrNotFound, "%s has no database %q", g.env.Name, name).
			WithState("nothing was changed").WithNext("see `envdb versions %s`", g.env.Name)
	}
	return g.describe(v, comment), g.explain(err, "read database "+name)
}

// allowed fails unless w is this environment, allows op, and the lock is held.
func (g *Generations) allowed(w envdb.Writable, op envdb.Operation) error {
	if w == nil || w.Environment().Name != g.env.Name || w.Environment().URL != g.env.URL {
		return envdb.Fail(envdb.ErrRefused, "%s of %s: the permission is for another environment", op, g.env.Name).WithState("nothing was changed")
	}
	if err := w.Allows(op); err != nil {
		return err
	}
	return g.lock.require(g.env.Name)
}

// mayCreate fails unless envdb's role may create and rename databases.
func (g *Generations) mayCreate(ctx context.Context, conn *pgx.Conn) error {
	var may bool
	err := conn.QueryRow(ctx, "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user").Scan(&may)
	if err != nil {
		return g.explain(err, "read the role")
	}
	if !may {
		return lacking("role %q may not create databases on the server of %s", g.role, g.env.Name).
			WithNext("as a superuser: ALTER ROLE %s CREATEDB;", postgres.Quote(g.role))
	}
	return nil
}

// explainCreate names the locale if that is why CREATE DATABASE failed.
func (g *Generations) explainCreate(err error, name string, spec Spec) error {
	switch postgres.SQLState(err) {
	case "42809", "22023", "0A000", "42704", "42P17":
		return envdb.Fail(envdb.ErrPreflight, "the server of %s cannot make a database with %s: %w", g.env.Name, spec.locale(), err).
			WithState("nothing was changed").
			WithNext("install that locale on the target's machine (locale-gen, or the server's ICU) and restart PostgreSQL")
	}
	return g.explainCopy(err, name)
}
