package seed_test

import (
	"context"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed"
	"github.com/envdb/envdb/seed/fixture"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// noon is the clock of the tests.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// database is an empty database whose owner is no superuser.
type database struct {
	server *pgtest.Server
	name   string
	cfg    *pgx.ConnConfig
	conn   *pgx.Conn
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	s := pgtest.Start(t)
	name := s.CreateDatabase(t)
	role, password := s.CreateRole(t, "")
	s.Exec(t, "postgres", "ALTER DATABASE "+postgres.Quote(name)+" OWNER TO "+postgres.Quote(role))
	t.Cleanup(func() {
		s.DropDatabase(t, name)
		s.Exec(t, "postgres", "DROP ROLE "+postgres.Quote(role))
	})
	cfg, err := pgx.ParseConfig(s.URLAs(role, password, name).Reveal())
	if err != nil {
		t.Fatal(err)
	}
	d := &database{server: s, name: name, cfg: cfg}
	t.Cleanup(func() {
		if d.conn != nil {
			d.conn.Close(context.Background())
		}
	})
	return d
}

// connect returns a session of the owner.
func (d *database) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	if d.conn != nil && !d.conn.IsClosed() {
		return d.conn
	}
	conn, err := pgx.ConnectConfig(t.Context(), d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.conn = conn
	return conn
}

// clear takes everything out of the database again.
func (d *database) clear(t testing.TB) {
	t.Helper()
	schemas := d.query(t, "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'")
	d.exec(t, "DROP SCHEMA "+strings.ReplaceAll(schemas, "\n", ", ")+" CASCADE; CREATE SCHEMA public")
}

// query returns the rows of a query as psql -At would.
func (d *database) query(t testing.TB, sql string) string {
	t.Helper()
	return d.server.QueryText(t, d.name, sql)
}

// exec runs SQL as the owner.
func (d *database) exec(t testing.TB, sql string) {
	t.Helper()
	if _, err := d.connect(t).PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%v\nin: %s", err, sql)
	}
}

// files makes a file system of texts by name.
func files(texts map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range texts {
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return m
}

// fixtures names all fixture files of a file system, by name.
func fixtures(t testing.TB, fsys fs.FS, patterns ...string) []seed.File {
	t.Helper()
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	names, err := seed.Expand(fsys, patterns)
	if err != nil {
		t.Fatal(err)
	}
	var list []seed.File
	for _, name := range names {
		list = append(list, seed.File{FS: fsys, Path: name, Name: name})
	}
	return list
}

// load makes the schema with SQL and loads fixtures into it.
func (d *database) load(t testing.TB, schema string, texts map[string]string, order ...string) (*seed.Loaded, error) {
	t.Helper()
	d.exec(t, schema)
	fsys := files(texts)
	set, err := seed.Read(seed.Spec{Fixtures: fixtures(t, fsys, order...), Clock: noon, Environment: "qa"})
	if err != nil {
		return nil, err
	}
	return set.Load(t.Context(), d.connect(t), nil)
}

// mustLoad is load where nothing may go wrong.
func (d *database) mustLoad(t testing.TB, schema string, texts map[string]string, order ...string) *seed.Loaded {
	t.Helper()
	loaded, err := d.load(t, schema, texts, order...)
	if err != nil {
		fatal(t, err)
	}
	return loaded
}

// fatal ends a test with an error and its advice.
func fatal(t testing.TB, err error) {
	t.Helper()
	state, next := envdb.Advice(err)
	t.Fatalf("%v\nstate: %s\nNext: %s", err, state, next)
}

// allRows returns every row of every table as text, for comparing databases.
func (d *database) allRows(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	tables := d.query(t, `SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
		AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND relname <> 'goose_db_version' ORDER BY 1`)
	for table := range strings.Lines(tables) {
		table = strings.TrimSpace(table)
		b.WriteString("== " + table + "\n" + d.query(t, "SELECT x::text FROM "+table+` AS x ORDER BY x::text COLLATE "C"`) + "\n")
	}
	return b.String()
}

// want compares a query's rows.
func (d *database) want(t *testing.T, sql, rows string) {
	t.Helper()
	if got := d.query(t, sql); got != strings.TrimSpace(rows) {
		t.Errorf("%s\ngot:\n%s\nwant:\n%s", sql, got, strings.TrimSpace(rows))
	}
}

// dirOf returns a directory of testdata as a file system.
func dirOf(t testing.TB, fsys fs.FS, dir string) fs.FS {
	t.Helper()
	sub, err := fs.Sub(fsys, path.Clean(dir))
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// id is the number that stands for a label.
func id(label string) string { return strconv.FormatInt(fixture.ID(label), 10) }
