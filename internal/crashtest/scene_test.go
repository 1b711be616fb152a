package crashtest_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/ledger"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/internal/store/dir"
)

// scene is a production, a copy of it and a staging environment, each with a
// database of its own, a configuration and a store. Production and staging
// have two backups each, of two sums of money: what an operation left behind
// is told by the sum.
type scene struct {
	dir, store string
	ledger     *ledger.Ledger
	prod, copy *database
	staging    *database
	gates      []*gate
	env        []string // of the commands, beside what each has
	config     string   // as it was written first
}

// plan says how a scene differs from the usual one.
type plan struct {
	source, target *pgtest.Server // the shared server if nil
	targetURL      func(database string) envdb.ConnString
	store          string // where the store is; within the scene if empty
	rows           int
	noBackups      bool
	noMirror       bool
}

// database is an environment's database.
type database struct {
	server *pgtest.Server
	env    string
	name   string
}

var serial atomic.Int64

const project = "crash"

// newScene makes the databases and the configuration, and takes the backups.
func newScene(t *testing.T, p plan) *scene {
	t.Helper()
	if p.source == nil {
		p.source = pgtest.Start(t)
	}
	if p.target == nil {
		p.target = pgtest.Start(t)
	}
	if p.rows == 0 {
		p.rows = 8000
	}
	s := &scene{dir: t.TempDir(), store: p.store}
	if s.store == "" {
		s.store = filepath.Join(s.dir, "store")
	}
	n := serial.Add(1)
	s.prod = &database{p.source, "prod", fmt.Sprintf("prod_%d", n)}
	s.copy = &database{p.target, "copy", fmt.Sprintf("copy_%d", n)}
	s.staging = &database{p.target, "staging", fmt.Sprintf("staging_%d", n)}
	for _, d := range []*database{s.prod, s.copy, s.staging} {
		d.create(t)
	}
	for _, d := range []*database{s.prod, s.staging} {
		d.fill(t, p.rows)
	}
	s.copy.fill(t, 10)
	s.configure(t, p)
	s.run(t, 0, "init", "-q", "--no-encryption")
	opened, err := dir.Open(s.store)
	if err != nil {
		t.Fatal(err)
	}
	s.ledger = ledger.New(opened, project, ledger.Config{})
	if p.noBackups {
		return s
	}
	for _, d := range []*database{s.prod, s.staging} {
		s.backup(t, d)
		d.earn(t)
		s.backup(t, d)
	}
	if !p.noMirror {
		s.run(t, 0, "mirror", "prod", "copy")
	}
	return s
}

// configure writes the configuration. Three files and queries in it wait for
// as long as their gates are shut.
func (s *scene) configure(t *testing.T, p plan) {
	t.Helper()
	target := p.target.URL
	if p.targetURL != nil {
		target = p.targetURL
	}
	release, neutralise, check := newGate(s.prod.server, s.prod.name), newGate(s.copy.server, ""), newGate(s.copy.server, "")
	s.gates = []*gate{release, neutralise, check}
	s.prod.server.Exec(t, s.prod.name, "CREATE FUNCTION release() RETURNS text LANGUAGE plpgsql AS "+
		postgres.Literal("BEGIN "+release.wait()+" RETURN '1.0'; END"))
	write(t, s.dir, "neutralise.sql", "DO "+postgres.Literal("BEGIN "+neutralise.wait()+" END"))
	write(t, s.dir, "check.sql", "DO "+postgres.Literal("BEGIN "+check.wait()+" END"))
	s.config = fmt.Sprintf(`project: %s
store: {url: '%s'}
home: home
jobs: 2
environments:
  prod:
    tier: production
    url: '%s'
    release_query: SELECT public.release()
  copy:
    tier: production-copy
    url: '%s'
    mirror: {from: prod, neutralise: [neutralise.sql], checks: [check.sql]}
  staging:
    tier: staging
    url: '%s'
    migrations: migrations
`, project, s.store, s.prod.server.URL(s.prod.name).Reveal(), target(s.copy.name).Reveal(), target(s.staging.name).Reveal())
	write(t, s.dir, "envdb.yaml", s.config)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) releaseGate() *gate    { return s.gates[0] }
func (s *scene) neutraliseGate() *gate { return s.gates[1] }
func (s *scene) checkGate() *gate      { return s.gates[2] }

var backupID = regexp.MustCompile(`[0-9]{8}-[0-9]{6}\b`)

// backup takes a backup.
func (s *scene) backup(t *testing.T, d *database) {
	t.Helper()
	s.run(t, 0, "backup", d.env)
}

// backups returns the ids of the backups of an environment, oldest first.
func (s *scene) backups(t *testing.T, env string) []string {
	t.Helper()
	var ids []string
	for line := range strings.Lines(s.run(t, 0, "backups", env).out.String()) {
		if id := backupID.FindString(line); id != "" && strings.HasPrefix(line, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// gate holds up whoever comes to its statement for as long as it is shut.
type gate struct {
	server *pgtest.Server
	role   string
	// inside is the database in which a gate is an advisory lock: a statement
	// in a snapshot sees nothing else change. Elsewhere a gate is shut while
	// there is a role of its name, in whatever database the statement runs.
	inside string
	holder *pgx.Conn
}

func newGate(s *pgtest.Server, inside string) *gate {
	return &gate{server: s, inside: inside, role: fmt.Sprintf("gate_%d", serial.Add(1))}
}

const gateKey = 20261121

// wait is the statement, in PL/pgSQL.
func (g *gate) wait() string {
	if g.inside != "" {
		return fmt.Sprintf("PERFORM pg_catalog.pg_advisory_xact_lock_shared(%d);", gateKey)
	}
	return "WHILE EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = '" + g.role + "') LOOP PERFORM pg_catalog.pg_sleep(0.01); END LOOP;"
}

func (g *gate) shut(t *testing.T) {
	t.Helper()
	if g.inside != "" {
		g.holder = g.server.Connect(t, g.inside)
		if _, err := g.holder.Exec(t.Context(), fmt.Sprintf("SELECT pg_advisory_lock(%d)", gateKey)); err != nil {
			t.Fatal(err)
		}
		return
	}
	g.server.Exec(t, "postgres", "CREATE ROLE "+g.role)
	t.Cleanup(func() { g.open(t) })
}

func (g *gate) open(t *testing.T) {
	t.Helper()
	if g.inside != "" {
		_ = g.holder.Close(context.Background()) // the server may be gone
		return
	}
	g.server.Exec(t, "postgres", "DROP ROLE IF EXISTS "+g.role)
}

// atGate waits until the command's run stands at the gate.
func (c *child) atGate(g *gate) {
	c.t.Helper()
	if !c.until("its gate", func() bool { return c.stands(g.server, "wait_event IN ('PgSleep', 'advisory')") }) {
		c.t.Fatalf("%s ended before the gate:\n%s", c, c.said())
	}
}

// stands reports whether a session of the command's run on the server fits the
// condition on pg_stat_activity.
func (c *child) stands(s *pgtest.Server, condition string) bool {
	run := c.recorded()
	return run != nil && s.QueryText(c.t, "postgres", "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = "+
		postgres.Literal("envdb/"+run.ID)+" AND "+condition) == "t"
}

func (d *database) create(t *testing.T) {
	t.Helper()
	d.server.Exec(t, "postgres", "CREATE DATABASE "+d.name+" TEMPLATE template0")
	t.Cleanup(func() {
		for _, name := range strings.Fields(d.server.QueryText(t, "postgres", "SELECT datname FROM pg_database WHERE datname = '"+d.name+"' OR starts_with(datname, '"+d.name+"__')")) {
			d.server.DropDatabase(t, name)
		}
	})
}

// fill makes the accounts, and enough beside them that each step takes a
// while.
func (d *database) fill(t *testing.T, rows int) {
	t.Helper()
	d.server.Exec(t, d.name,
		"CREATE TABLE account (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text NOT NULL, balance numeric(12,2) NOT NULL)",
		fmt.Sprintf("INSERT INTO account (owner, balance) SELECT md5(i::text), 100 FROM generate_series(1, %d) AS i", rows),
		"CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account bigint REFERENCES account, note text NOT NULL)",
		fmt.Sprintf("INSERT INTO entry (account, note) SELECT 1 + i %% %d, md5(i::text) || md5((-i)::text) || md5((i * 7)::text) FROM generate_series(1, %d) AS i", rows, 3*rows),
		"CREATE INDEX ON entry (note)",
		"CREATE INDEX ON account (owner)",
		"CREATE MATERIALIZED VIEW total AS SELECT count(*), sum(balance) FROM account",
		"SELECT lo_from_bytea(0, convert_to(repeat('large ', 20000), 'UTF8'))")
}

// earn adds one to every account, so that another backup holds another sum.
func (d *database) earn(t *testing.T) {
	t.Helper()
	d.server.Exec(t, d.name, "UPDATE account SET balance = balance + 1", "REFRESH MATERIALIZED VIEW total")
}

// content is what tells one whole database from another: the sum of money, the
// number of rows, the view, the indexes and constraints, and whether people
// may log in.
func (d *database) content(t *testing.T) string {
	t.Helper()
	return d.server.QueryText(t, d.name, `
		SELECT (SELECT sum(balance) FROM account), (SELECT count(*) FROM entry), (SELECT sum FROM total),
			(SELECT count(*) FROM pg_index WHERE indrelid::regclass::text IN ('account', 'entry') AND indisvalid),
			(SELECT count(*) FROM pg_constraint WHERE convalidated AND contype = 'f'), (SELECT count(*) FROM pg_largeobject_metadata),
			has_database_privilege('public', current_database(), 'CONNECT')`)
}

// unfinished lists the databases of the environment beside the live one that a
// marker or a name calls unfinished.
func (d *database) unfinished(t *testing.T) []string {
	t.Helper()
	return strings.Fields(d.server.QueryText(t, "postgres", `SELECT datname FROM pg_database
		WHERE starts_with(datname, '`+d.name+`__dark_') AND coalesce(shobj_description(oid, 'pg_database'), '') NOT LIKE '%"state":"dark"%' ORDER BY 1`))
}

// left lists what interrupted runs have left: databases that are not finished,
// half-written files, intents, holds, and objects of backups that do not
// exist.
func (s *scene) left(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, d := range []*database{s.copy, s.staging} {
		left = append(left, d.unfinished(t)...)
	}
	whole := map[string]bool{}
	for _, path := range s.files(t, project+"/backups/*/*/manifest") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != "envdbvd1" { // a backup that was given up; see docs/format.md
			whole[filepath.Base(filepath.Dir(path))+filepath.Base(filepath.Dir(filepath.Dir(path)))] = true
		}
	}
	for _, path := range append(s.files(t, project+"/packs/*/*/*"), s.files(t, project+"/backups/*/*/index")...) {
		id := filepath.Dir(path)
		if !whole[filepath.Base(id)+filepath.Base(filepath.Dir(id))] {
			left = append(left, path)
		}
	}
	for _, pattern := range []string{".envdb/tmp/*", project + "/leases/writes/*/*", project + "/leases/reads/*/*/*"} {
		left = append(left, s.files(t, pattern)...)
	}
	return left
}

func (s *scene) files(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.store, filepath.FromSlash(pattern)))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// sessionsGone waits until the server has noticed that a killed run is gone.
func (c *child) sessionsGone() {
	c.t.Helper()
	run := c.recorded()
	if run == nil {
		return
	}
	for _, server := range []*pgtest.Server{c.s.prod.server, c.s.copy.server} {
		eventually(c.t, "the sessions of the killed run end", func() bool {
			return server.QueryText(c.t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name = "+postgres.Literal("envdb/"+run.ID)) == "0"
		})
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}
