package logical_test

import (
	"bytes"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// Of an extension's tables, the rows of its configuration are the user's; of
// those, only the ones that the extension says.
func TestConfigurationTablesAreReadWithTheirCondition(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db,
		"CREATE EXTENSION hstore",
		"CREATE TABLE conf (id serial, own bool); INSERT INTO conf (own) SELECT n % 2 = 0 FROM generate_series(1, 10) n",
		"CREATE TABLE conf_all (id int); INSERT INTO conf_all VALUES (1)",
		"CREATE TABLE internal (id serial); INSERT INTO internal VALUES (DEFAULT)",
		"ALTER EXTENSION hstore ADD TABLE conf; ALTER EXTENSION hstore ADD TABLE conf_all; ALTER EXTENSION hstore ADD TABLE internal",
		"ALTER EXTENSION hstore ADD SEQUENCE conf_id_seq; ALTER EXTENSION hstore ADD SEQUENCE internal_id_seq",
		// as pg_extension_config_dump() does, which only an extension's script may call
		`SET allow_system_table_mods = on; UPDATE pg_extension SET extconfig = ARRAY['conf'::regclass::oid, 'conf_all'::regclass::oid, 'conf_id_seq'::regclass::oid],
			extcondition = ARRAY['WHERE NOT own', '', ''] WHERE extname = 'hstore'`)
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, m)
	if err != nil {
		t.Fatal(err)
	}
	conf, all := table(t, c, "public.conf"), table(t, c, "public.conf_all")
	if conf.Rows != 5 || conf.Extension != "hstore" || conf.Condition != "WHERE NOT own" || all.Rows != 1 || all.Condition != "" || len(c.Tables) != 2 {
		t.Errorf("got %+v and %+v of %d tables", conf, all, len(c.Tables))
	}
	if len(c.Sequences) != 1 || c.Sequences[0].Name != "conf_id_seq" || c.Sequences[0].LastValue != 10 {
		t.Errorf("got sequences %+v", c.Sequences)
	}
}

func TestDatabaseThatCannotBeCopiedByTableIsRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for _, extension := range []string{"timescaledb", "citus"} {
		db := s.CreateDatabase(t)
		s.Exec(t, db, "CREATE EXTENSION hstore",
			"SET allow_system_table_mods = on; UPDATE pg_extension SET extname = '"+extension+"' WHERE extname = 'hstore'")
		refused(t, logical.Source{URL: s.URL(db), Jobs: 1}, envdb.ErrPreflight, extension, "backup tool")
	}
}

func databaseOf(t *testing.T, s *pgtest.Server, encoding string) string {
	t.Helper()
	name := s.CreateDatabase(t)
	s.DropDatabase(t, name)
	s.Exec(t, "postgres", "CREATE DATABASE "+postgres.Quote(name)+" TEMPLATE template0 LOCALE 'C' ENCODING "+postgres.Literal(encoding))
	return name
}

// Rows are UTF-8 whatever the database's encoding, but for a database that has
// none: its bytes are kept as they are.
func TestTextOfOtherEncodings(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	for encoding, want := range map[string]string{"LATIN1": "Käse", "SQL_ASCII": "K\xe4se"} {
		db := databaseOf(t, s, encoding)
		s.Exec(t, db,
			"SET client_encoding = 'UTF8'",
			`CREATE TABLE "Bücher" (binary_format text)`, `CREATE TABLE as_text (t text, x point)`,
			`INSERT INTO "Bücher" VALUES (convert_from('\x4be47365', current_setting('server_encoding')))`,
			`INSERT INTO as_text SELECT binary_format FROM "Bücher"`)
		m := newMemory()
		c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, m)
		if err != nil {
			t.Fatalf("%s: %v", encoding, err)
		}
		for _, name := range []string{"public.Bücher", "public.as_text"} {
			if got := m.content(t, table(t, c, name).Part); !bytes.Contains(got, []byte(want)) {
				t.Errorf("%s: %s has %q, want %q in it", encoding, name, got, want)
			}
		}
	}
}

func TestNameThatIsNotUTF8IsRefused(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := databaseOf(t, s, "SQL_ASCII")
	s.Exec(t, db, `DO $$ BEGIN EXECUTE format('CREATE TABLE %I (id int)', convert_from('\x4be47365', 'SQL_ASCII')); END $$`)
	refused(t, logical.Source{URL: s.URL(db), Jobs: 1}, envdb.ErrPreflight, "not UTF-8", "rename")
}

// Where a row belongs must not depend on oids: such tables name the root
// through which they are loaded.
func TestPartitionsByHashOfOIDsAreLoadedThroughTheirRoot(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db, "CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TYPE pair AS (a int, b int); CREATE DOMAIN feeling AS mood")
	keys := map[string]struct {
		column, key string
		routed      bool
	}{
		"enum":          {"mood", "k", true},
		"enum_array":    {"mood[]", "k", true},
		"over_an_enum":  {"feeling", "k", true},
		"composite":     {"pair", "k", true},
		"range":         {"int4range", "k", true}, // range types hash by their elements; only some are safe
		"type_name":     {"regtype", "k", true},
		"text":          {"text", "k", false},
		"integers":      {"int[]", "k", false},
		"oid":           {"oid", "k", false},
		"expression":    {"text", "(lower(k))", false},
		"enum_computed": {"text", "((k COLLATE \"C\")), ((ARRAY[k]))", true},
	}
	for name, k := range keys {
		s.Exec(t, db,
			"CREATE TABLE "+name+" (k "+k.column+") PARTITION BY HASH ("+k.key+")",
			"CREATE TABLE "+name+"_leaf PARTITION OF "+name+" FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY LIST (k)",
			"CREATE TABLE "+name+"_leaf_all PARTITION OF "+name+"_leaf DEFAULT")
	}
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range keys {
		got := table(t, c, "public."+name+"_leaf_all").LoadInto
		if (got != nil) != k.routed || got != nil && got.Name != name {
			t.Errorf("%s: rows are loaded into %v; want the root: %t", name, got, k.routed)
		}
	}
}
