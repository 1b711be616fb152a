package logical_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/pgtest"
)

// What the catalogue says is held against the database, asked in other words.
func TestTakeOfEverything(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := everythingIn(t, s, "take")
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), App: "envdb/everything"}, m)
	if err != nil {
		t.Fatal(err)
	}
	checkChunks(t, m, c)
	checkRowCounts(t, s, db, c)
	checkSequences(t, s, db, c)
	checkLargeObjects(t, s, db, m, c)
	checkDatabase(t, s, db, c)

	lists := map[string]struct {
		got  int
		want string
	}{
		"materialised views": {len(c.MaterializedViews), "SELECT count(*) FROM pg_matviews"},
		"publications":       {len(c.Publications), "SELECT count(*) FROM pg_publication"},
		"subscriptions":      {len(c.Subscriptions), "SELECT count(*) FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"},
		"event triggers":     {len(c.EventTriggers), "SELECT count(*) FROM pg_event_trigger"},
		"extensions":         {len(c.Extensions), "SELECT count(*) FROM pg_extension"},
		"settings":           {len(c.Database.Settings), "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase, unnest(setconfig) WHERE datname = current_database()"},
	}
	for what, l := range lists {
		if got := fmt.Sprint(l.got); got != s.QueryText(t, db, l.want) || got == "0" {
			t.Errorf("%s %s, want %s", got, what, s.QueryText(t, db, l.want))
		}
	}
}

func checkRowCounts(t *testing.T, s *pgtest.Server, db string, c *logical.Catalogue) {
	t.Helper()
	for _, table := range c.Tables {
		want := s.QueryText(t, db, "SELECT count(*) FROM ONLY "+pgx.Identifier{table.Schema, table.Name}.Sanitize())
		if fmt.Sprint(table.Rows) != want {
			t.Errorf("%s.%s: %d rows, want %s", table.Schema, table.Name, table.Rows, want)
		}
	}
}

func checkSequences(t *testing.T, s *pgtest.Server, db string, c *logical.Catalogue) {
	t.Helper()
	if want := s.QueryText(t, db, "SELECT count(*) FROM pg_sequences WHERE schemaname !~ '^pg_temp'"); fmt.Sprint(len(c.Sequences)) != want {
		t.Errorf("%d sequences, want %s", len(c.Sequences), want)
	}
	for _, q := range c.Sequences {
		got := fmt.Sprintf("%d %t", q.LastValue, q.IsCalled)
		want := s.QueryText(t, db, "SELECT last_value || ' ' || is_called FROM "+pgx.Identifier{q.Schema, q.Name}.Sanitize())
		if got != want {
			t.Errorf("sequence %s.%s is at %s, want %s", q.Schema, q.Name, got, want)
		}
	}
}

func checkLargeObjects(t *testing.T, s *pgtest.Server, db string, m *memory, c *logical.Catalogue) {
	t.Helper()
	got := make(map[uint32][]byte)
	for scan := bufio.NewScanner(bytes.NewReader(m.content(t, logical.PartBlobMetadata))); scan.Scan(); {
		var o logical.LargeObject
		if err := json.Unmarshal(scan.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		got[o.OID] = nil
		want := s.QueryText(t, db, fmt.Sprintf("SELECT rolname, coalesce(array_to_string(lomacl, ' '), ''), coalesce(obj_description(m.oid, 'pg_largeobject'), '') FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = lomowner WHERE m.oid = %d", o.OID))
		for _, part := range append(o.ACL, o.Owner, o.Comment) {
			if !strings.Contains(want, part) {
				t.Errorf("large object %d: %+v, want %s", o.OID, o, want)
			}
		}
	}
	var size int64
	for _, row := range binaryRows(t, m.content(t, logical.PartBlobData)) {
		oid, page := binary.BigEndian.Uint32(row[0]), int(binary.BigEndian.Uint32(row[1]))
		at := page * c.LargeObjects.PageSize
		if at > len(got[oid]) {
			got[oid] = append(got[oid], make([]byte, at-len(got[oid]))...) // a hole reads as zeros
		}
		got[oid] = append(got[oid], row[2]...)
		size += int64(len(row[2]))
	}
	if c.LargeObjects.Count != int64(len(got)) || c.LargeObjects.Count == 0 || c.LargeObjects.Bytes != size {
		t.Errorf("%+v, want %d large objects of %d bytes", c.LargeObjects, len(got), size)
	}
	for oid, content := range got {
		if want := s.QueryText(t, db, fmt.Sprintf("SELECT encode(lo_get(%d), 'hex')", oid)); fmt.Sprintf("%x", content) != want {
			t.Errorf("large object %d has %d bytes, want %d", oid, len(content), len(want)/2)
		}
	}
}

func checkDatabase(t *testing.T, s *pgtest.Server, db string, c *logical.Catalogue) {
	t.Helper()
	d := c.Database
	got := fmt.Sprint(d.Name, " ", d.OID, " ", d.Owner, " ", d.Encoding, " ", d.Collate, " ", d.CType, " ", d.ConnectionLimit, " ", d.Tablespace)
	want := s.QueryText(t, db, `SELECT concat_ws(' ', datname, d.oid, rolname, pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, spcname)
FROM pg_database d JOIN pg_roles r ON r.oid = datdba JOIN pg_tablespace t ON t.oid = dattablespace WHERE datname = current_database()`)
	if got != want {
		t.Errorf("the database is %s, want %s", got, want)
	}
	if len(d.ACL) == 0 || d.Comment == "" {
		t.Errorf("the database has ACL %q and comment %q", d.ACL, d.Comment)
	}
	var roles []string
	for _, r := range c.Roles {
		roles = append(roles, r.Name)
	}
	owners := s.QueryText(t, db, "SELECT string_agg(DISTINCT pg_get_userbyid(relowner)::text, ',') FROM pg_class WHERE oid >= 16384")
	for owner := range strings.SplitSeq(owners, ",") {
		if !slices.Contains(roles, owner) {
			t.Errorf("roles %q lack the owner %s", roles, owner)
		}
	}
}

func TestTakeOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m := newMemory()
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(s.CreateDatabase(t))}, m)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tables) != 0 || len(m.Chunks(logical.PartArchive)) == 0 || len(m.Chunks(logical.PartCatalogue)) == 0 {
		t.Errorf("%d tables, parts %d", len(c.Tables), len(m.chunks))
	}
}

// Each view reads the one before, directly, through a view and through a
// function; their names are in the opposite order.
func TestMaterializedViewsAreInTheOrderOfWhatTheyRead(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	s.Exec(t, db,
		"CREATE MATERIALIZED VIEW z AS SELECT 1 AS n",
		"CREATE VIEW between AS SELECT n FROM z",
		"CREATE MATERIALIZED VIEW y AS SELECT n FROM between",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT max(n) FROM y; END",
		"CREATE MATERIALIZED VIEW x AS SELECT f() AS n WITH NO DATA")
	c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db)}, newMemory())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.MaterializedViews); got != "[{public z true} {public y true} {public x false}]" {
		t.Errorf("got %s", got)
	}
}

func TestMigrationAndReleaseAreRead(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	cases := map[string]struct{ sql, tool, version string }{
		"goose": {`CREATE TABLE goose_db_version (id serial, version_id bigint, is_applied bool);
INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true), (2, false)`, "goose", "1"},
		"rails":          {`CREATE TABLE schema_migrations (version varchar); INSERT INTO schema_migrations VALUES ('20260101'), ('20260301')`, "rails", "20260301"},
		"golang-migrate": {`CREATE TABLE schema_migrations (version bigint, dirty bool); INSERT INTO schema_migrations VALUES (7, true)`, "golang-migrate", "7 (dirty)"},
		"flyway": {`CREATE SCHEMA app; CREATE TABLE app.flyway_schema_history (installed_rank int, version varchar, success bool);
INSERT INTO app.flyway_schema_history VALUES (1, '1.0', true), (2, '1.1', true), (3, '1.2', false), (4, NULL, true)`, "flyway", "1.1"},
		"prisma": {`CREATE TABLE _prisma_migrations (migration_name text, finished_at timestamptz, rolled_back_at timestamptz);
INSERT INTO _prisma_migrations VALUES ('1_init', '2026-01-01', NULL), ('2_more', '2026-01-02', NULL), ('3_bad', NULL, NULL)`, "prisma", "2_more"},
		"alembic": {`CREATE TABLE alembic_version (version_num varchar); INSERT INTO alembic_version VALUES ('b'), ('a')`, "alembic", "a, b"},
		"django":  {`CREATE TABLE django_migrations (id serial, app text, name text); INSERT INTO django_migrations (app, name) VALUES ('shop', '0001'), ('auth', '0002')`, "django", "auth.0002"},
		"none":    {`CREATE TABLE schema_migrations (something text)`, "", ""},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := s.CreateDatabase(t)
			s.Exec(t, db, want.sql, "CREATE TABLE release (label text); INSERT INTO release VALUES ('v1.2.3')")
			c, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1, ReleaseQuery: "SELECT label FROM release"}, newMemory())
			if err != nil {
				t.Fatal(err)
			}
			var tool, version string
			if c.Migration != nil {
				tool, version = c.Migration.Tool, c.Migration.Version
			}
			if tool != want.tool || version != want.version || c.Release != "v1.2.3" {
				t.Errorf("got %s %s, release %s", tool, version, c.Release)
			}
		})
	}
}

func TestReleaseQueryThatFailsIsNamed(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	db := s.CreateDatabase(t)
	for _, sql := range []string{"SELECT label FROM nowhere", "CREATE TABLE no (id int)", "SELEKT"} {
		m := newMemory()
		_, err := logical.Take(t.Context(), logical.Source{URL: s.URL(db), Jobs: 1, ReleaseQuery: sql}, m)
		if err == nil || !strings.Contains(err.Error(), "release query") || len(m.chunks) > 0 {
			t.Errorf("%s: got %v, and %d parts", sql, err, len(m.chunks))
		}
	}
}
