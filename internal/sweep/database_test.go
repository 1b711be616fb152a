package sweep_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

var serial atomic.Int64

// database is an environment's database on the server.
type database struct {
	server *pgtest.Server
	env    string
	tier   envdb.Tier
	name   string
	admin  *pgx.Conn // to the maintenance database
	kept   *pgx.Conn // to the database itself, if it stays
}

func newDatabase(t *testing.T, s *pgtest.Server, env string, tier envdb.Tier) *database {
	t.Helper()
	return named(t, s, env, tier, fmt.Sprintf("%s_%d", env, serial.Add(1)))
}

// newInstance is the database of the environment test-x, which is of a pattern.
func newInstance(t *testing.T, s *pgtest.Server) *database {
	t.Helper()
	return named(t, s, "test-x", envdb.Test, fmt.Sprintf("test_%d_x", serial.Add(1)))
}

func named(t *testing.T, s *pgtest.Server, env string, tier envdb.Tier, name string) *database {
	t.Helper()
	d := &database{server: s, env: env, tier: tier, name: name}
	t.Cleanup(func() { d.dropAll(t) })
	return d
}

// declared returns how the configuration names the environment, and its URL.
func (d *database) declared(url envdb.ConnString) (name, text string) {
	if d.env == "test-x" {
		return "test-*", strings.Replace(url.Reveal(), d.name, strings.TrimSuffix(d.name, "x")+"{name}", 1)
	}
	return d.env, url.Reveal()
}

// dropAll drops the database and every version of it.
func (d *database) dropAll(t *testing.T) {
	t.Helper()
	for name := range strings.Lines(d.server.QueryText(t, "postgres", "SELECT datname FROM pg_database WHERE datname = '"+d.name+"' OR starts_with(datname, '"+d.name+"__')")) {
		d.server.DropDatabase(t, strings.TrimSpace(name))
	}
}

// fill makes the database: small, with one of each thing that is copied in a
// way of its own.
func (d *database) fill(t *testing.T) {
	t.Helper()
	d.server.Exec(t, "postgres", "CREATE DATABASE "+d.name+" TEMPLATE template0 CONNECTION LIMIT 50",
		"COMMENT ON DATABASE "+d.name+" IS 'the books'", "ALTER DATABASE "+d.name+" SET work_mem = '5MB'")
	d.server.Exec(t, d.name,
		"CREATE TABLE account (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL UNIQUE, balance numeric(12,2) NOT NULL CHECK (balance > 0))",
		"INSERT INTO account (owner, balance) SELECT md5(i::text), 100 FROM generate_series(1, 40) AS i",
		"CREATE TABLE entry (id serial PRIMARY KEY, account bigint REFERENCES account, note jsonb, made timestamptz DEFAULT now())",
		"INSERT INTO entry (account, note) SELECT 1 + i % 40, jsonb_build_object('n', i) FROM generate_series(1, 120) AS i",
		"CREATE INDEX ON entry (account)",
		"CREATE VIEW rich AS SELECT owner FROM account WHERE balance > 50",
		"CREATE MATERIALIZED VIEW total AS SELECT count(*), sum(balance) FROM account",
		"CREATE SEQUENCE ticket START 77",
		"SELECT nextval('ticket')",
		"SELECT lo_from_bytea(4711, convert_to(repeat('large ', 800), 'UTF8'))",
		"CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
		"CREATE TRIGGER noted BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION noted()",
		"GRANT SELECT ON rich TO PUBLIC")
}

// earn changes every account, so that another backup holds other rows.
func (d *database) earn(t *testing.T) {
	t.Helper()
	d.server.Exec(t, d.name, "UPDATE account SET balance = balance + 1", "REFRESH MATERIALIZED VIEW total", "SELECT nextval('ticket')")
}

// fingerprintSQL reads all that makes one database differ from another: rows,
// sequences, large objects, definitions, and who may do what with it. Of the
// marker it takes what people rely on; ids and times differ with every run.
const fingerprintSQL = `
	SELECT md5(string_agg(line, E'\n' ORDER BY line)) || ' balance ' || (SELECT min(balance) FROM account) FROM (
		SELECT 'account ' || a::text FROM account a UNION ALL
		SELECT 'entry ' || e::text FROM entry e UNION ALL
		SELECT 'rich ' || r::text FROM rich r UNION ALL
		SELECT 'total ' || m::text FROM total m UNION ALL
		SELECT format('ticket %s %s', last_value, is_called) FROM ticket UNION ALL
		SELECT format('identity %s %s', last_value, is_called) FROM account_id_seq UNION ALL
		SELECT 'blob ' || oid || md5(lo_get(oid)) FROM pg_largeobject_metadata UNION ALL
		SELECT format('class %s %s %s %s', relname, relkind, relowner::regrole, relacl) FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL
		SELECT format('constraint %s %s %s', conrelid::regclass, pg_get_constraintdef(oid), convalidated) FROM pg_constraint WHERE connamespace = 'public'::regnamespace UNION ALL
		SELECT format('index %s %s', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relnamespace = 'public'::regnamespace UNION ALL
		SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL
		SELECT 'trigger ' || pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal UNION ALL
		SELECT format('database %s %s %s %s', datdba::regrole, datallowconn, datconnlimit, datacl) FROM pg_database WHERE datname = current_database() UNION ALL
		SELECT format('settings %s %s', setrole, setconfig) FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) UNION ALL
		SELECT 'comment ' || regexp_replace(coalesce(shobj_description(oid, 'pg_database'), ''), 'envdb: .*', '') FROM pg_database WHERE datname = current_database()
	) AS lines(line)`

// notLive is the fingerprint of a database that is not there.
const notLive = "there is no live database"

// fingerprint tells one whole database from another; a half of one gives an
// error or another text.
func (d *database) fingerprint(t *testing.T) string {
	t.Helper()
	if d.ask(t, "SELECT count(*) FROM pg_database WHERE datallowconn AND datname = "+postgres.Literal(d.name)) != "1" {
		return notLive
	}
	if d.kept != nil {
		return query(t, d.kept, fingerprintSQL)
	}
	return d.server.QueryText(t, d.name, fingerprintSQL)
}

// keepOpen keeps a connection to a database that nothing swaps.
func (d *database) keepOpen(t *testing.T) { d.kept = d.server.Connect(t, d.name) }

// ask asks the maintenance database, over a connection that is kept.
func (d *database) ask(t *testing.T, sql string) string {
	t.Helper()
	if d.admin == nil {
		d.admin = d.server.Connect(t, "postgres")
	}
	return query(t, d.admin, sql)
}

func query(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
	var lines []string
	for _, result := range results {
		for _, row := range result.Rows {
			lines = append(lines, string(bytes.Join(row, []byte("|"))))
		}
	}
	return strings.Join(lines, "\n")
}

// versions returns the live database and every version of it.
func (d *database) versions(t *testing.T) []version {
	t.Helper()
	var found []version
	for line := range strings.Lines(d.ask(t, `SELECT datname, replace(coalesce(shobj_description(oid, 'pg_database'), ''), E'\n', ' ') FROM pg_database
		WHERE datname = '`+d.name+`' OR starts_with(datname, '`+d.name+`__') ORDER BY 1`)) {
		name, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "|")
		if at := strings.Index(comment, "envdb: {"); at >= 0 {
			comment = comment[at:]
		}
		_, marker := generation.SplitComment(comment)
		found = append(found, version{name, marker})
	}
	return found
}

// version is a database of an environment; its marker may be nil.
type version struct {
	name   string
	marker *generation.Marker
}

// in returns the first version in the state; without one it is empty.
func (d *database) in(t *testing.T, state envdb.VersionState) version {
	t.Helper()
	for _, v := range d.versions(t) {
		if v.marker != nil && v.marker.State == state {
			return v
		}
	}
	return version{}
}

// named lists the versions by state and name.
func (d *database) named(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, v := range d.versions(t) {
		state := "unmarked"
		if v.marker != nil {
			state = string(v.marker.State)
		}
		all = append(all, state+" "+v.name)
	}
	return all
}

// states lists the states of the versions by their markers.
func (d *database) states(t *testing.T) string {
	t.Helper()
	var states []string
	for _, v := range d.versions(t) {
		if v.marker == nil {
			states = append(states, "unmarked "+v.name)
			continue
		}
		states = append(states, string(v.marker.State))
	}
	if len(states) == 0 {
		return "none"
	}
	return strings.Join(states, " ")
}

// copyAs makes a version of a marked one, as a run would have left it.
func (d *database) copyAs(t *testing.T, from version, state envdb.VersionState, run string) string {
	t.Helper()
	marker := *from.marker
	marker.ID, marker.Run, marker.State = fmt.Sprintf("20200101-000000-%03daaaaa", serial.Add(1)%1000), run, state
	marker.Created, marker.Promoted, marker.Retired = time.Now().UTC(), time.Time{}, time.Time{}
	named := state
	if state == generation.Building {
		named = envdb.Dark
	}
	name := generation.Name(d.name, named, marker.ID)
	d.ask(t, "CREATE DATABASE "+postgres.Quote(name)+" TEMPLATE "+postgres.Quote(from.name))
	d.ask(t, "REVOKE CONNECT, TEMPORARY ON DATABASE "+postgres.Quote(name)+" FROM PUBLIC")
	if _, err := fmt.Sscan(d.ask(t, "SELECT oid FROM pg_database WHERE datname = "+postgres.Literal(name)), &marker.OID); err != nil {
		t.Fatal(err)
	}
	comment, err := generation.JoinComment("", marker)
	if err != nil {
		t.Fatal(err)
	}
	d.ask(t, "COMMENT ON DATABASE "+postgres.Quote(name)+" IS "+postgres.Literal(comment))
	return name
}
