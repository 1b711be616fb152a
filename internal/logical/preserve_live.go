package logical

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
)

// lockPatience is how long a lock of the live version is waited for. It is a
// reader's lock: only what rewrites or drops the table is in its way.
const lockPatience = "30s"

// connectLive opens a pinned session to the live version, which is only read.
func connectLive(ctx context.Context, to envdb.ConnString, app string) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, to, postgres.Options{App: app, Pin: true})
	if err != nil {
		return nil, err
	}
	if err := TakeBytesAsTheyAre(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// openLive begins the transaction in which the preserved rows are read, if none
// did. Its locks come before its snapshot: what empties or rewrites a table in
// between would be read as if there were no rows. The tables are compared once
// more, because a load may take hours.
func (d *loader) openLive(ctx context.Context, on *session) error {
	if d.live != nil {
		return nil
	}
	conn, err := connectLive(ctx, d.Own.Live, d.App)
	if err != nil {
		return err
	}
	d.live = &session{conn: conn}
	var tables []string
	for _, p := range d.preserved {
		tables = append(tables, p.from(p.liveKind))
	}
	err = d.live.exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = "+postgres.Literal(lockPatience)+
		"; LOCK TABLE "+strings.Join(tables, ", ")+" IN ACCESS SHARE MODE")
	if err != nil {
		return postgres.Explain(err, "lock the preserved tables of the live version for reading")
	}
	return d.compareTables(ctx, conn, on.conn)
}

// closeLive ends the session to the live version, if there is one.
func (d *loader) closeLive(ctx context.Context) {
	if d.live != nil {
		d.live.close(ctx)
	}
}

// askLive refuses preserved tables that the live version has not, or would not
// show whole.
func (o Own) askLive(ctx context.Context, app string) error {
	if o.Live == "" || len(o.Preserve) == 0 {
		return nil
	}
	conn, err := connectLive(ctx, o.Live, app)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, p := range o.Preserve {
		t, err := readTable(ctx, conn, p.Table)
		if err != nil {
			return err
		}
		if err := t.refused(p.Table); err != nil {
			return ownError(err, p.origin())
		}
	}
	return nil
}

// tableState is what a database says of a table.
type tableState struct {
	OID      uint32
	Kind     string // relkind
	Readable bool
	Hidden   bool // whether a row-level security policy would hide rows
	Role     string
}

const tableQuery = `
	SELECT c.oid, c.relkind::text, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid), current_user::text
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

// readTable asks for a table; of one that is not there the Kind is empty.
func readTable(ctx context.Context, conn *pgx.Conn, table Name) (tableState, error) {
	t, err := queryOne[tableState](ctx, conn, tableQuery, table.Schema, table.Name)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, nil
	}
	return t, postgres.Explain(err, "look for table "+table.String())
}

// refused says why the rows of the live version's table cannot be preserved,
// or returns nil.
func (t tableState) refused(table Name) error {
	quoted := postgres.QuoteName(table.Schema, table.Name)
	switch {
	case t.Kind == "":
		return envdb.Fail(envdb.ErrPreflight, "the live version has no table %s", table).
			WithNext("make it there, or remove it from preserve in the configuration")
	case t.Kind != "r" && t.Kind != "p":
		return envdb.Fail(envdb.ErrPreflight, "%s is no table in the live version", table).WithNext("remove it from preserve in the configuration")
	case !t.Readable:
		return envdb.Fail(envdb.ErrPreflight, "role %s may not read table %s of the live version", t.Role, table).
			WithNext("in the live version: GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %s;", postgres.Quote(table.Schema), postgres.Quote(t.Role), quoted, postgres.Quote(t.Role))
	case t.Hidden:
		return envdb.Fail(envdb.ErrPreflight, "row-level security would hide rows of table %s of the live version from role %s", table, t.Role).
			WithNext("as a superuser: ALTER ROLE %s BYPASSRLS;", postgres.Quote(t.Role))
	}
	return nil
}
