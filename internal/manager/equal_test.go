package manager_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/pgtest/equal"
	"github.com/envdb/envdb/internal/pgtest/everything"
)

// differences lists the first lines of what differs between two environments:
// definitions with owners and rights, rows, sequences, large objects,
// materialised views, settings, locale, and the rights on the database itself.
//
// Versions of PostgreSQL put definitions into different words, so between two
// of them those are held against a copy that pg_dump and pg_restore made.
func differences(t *testing.T, a, b place, ignore ...func(string) bool) []string {
	t.Helper()
	words := a.server.URL(a.base)
	if a.server.Major() != b.server.Major() {
		words = b.server.URL(a.server.DumpTo(t, a.base, b.server))
	}
	return differencesFrom(t, words, a, b, ignore...)
}

// differencesFrom is differences with the definitions of another database.
func differencesFrom(t *testing.T, words envdb.ConnString, a, b place, ignore ...func(string) bool) []string {
	t.Helper()
	found := differing(t, words, b, ignore, equal.Definitions)
	found = append(found, differing(t, a.server.URL(a.base), b, ignore,
		equal.Rows, equal.Sequences, equal.LargeObjects, equal.MaterializedViews, equal.Settings, equal.Locale)...)
	if ofA, ofB := databaseProperties(t, a), databaseProperties(t, b); ofA != ofB {
		found = append(found, "the database itself differs\n\t- "+ofA+"\n\t+ "+ofB)
	}
	return found
}

// differing lists what differs in some parts.
func differing(t *testing.T, from envdb.ConnString, to place, ignore []func(string) bool, parts ...equal.Part) []string {
	t.Helper()
	options := equal.Options{Parts: parts}
	if len(ignore) > 0 {
		options.Ignore = ignore[0]
	}
	found, err := equal.Diff(t.Context(), from, to.server.URL(to.base), options)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// databaseProperties are the owner, rights, limit and comment (without
// envdb's marker) of the live version.
func databaseProperties(t *testing.T, p place) string {
	t.Helper()
	const of = ` FROM pg_database WHERE datname = current_database()`
	comment, _ := generation.SplitComment(p.query(t, "SELECT shobj_description(oid, 'pg_database')"+of))
	return p.query(t, `SELECT pg_get_userbyid(datdba), datconnlimit,
		(SELECT array_agg(a::text ORDER BY a::text) FROM unnest(coalesce(datacl, acldefault('d', datdba))) AS a)`+of) + "|" + comment
}

// exactly fails the test unless what differs is what is listed, all of it.
func exactly(t *testing.T, found, listed []string) {
	t.Helper()
	for _, d := range found {
		if !slices.ContainsFunc(listed, func(l string) bool { return describes(l, d) }) {
			t.Errorf("differs, and is not listed: %s", d)
		}
	}
	for _, l := range listed {
		if !slices.ContainsFunc(found, func(d string) bool { return describes(l, d) }) {
			t.Errorf("is listed, and does not differ: %s", l)
		}
	}
}

// describes reports whether a listed text is the whole difference or, if it is
// a line, its first line.
func describes(listed, difference string) bool {
	first, _, _ := strings.Cut(difference, "\n")
	return listed == difference || listed == first
}

func TestMirrorEqualsItsSource(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})
	b.Exec(t, "postgres", everything.RolesSQL("mir"))
	prod := on(t, a, "prod", envdb.Production).have(t, everything.SQL("mir"))
	staging := on(t, a, "staging", envdb.Staging)
	qa := on(t, b, "qa", envdb.QA)
	prodCopy := on(t, b, "prod-copy", envdb.ProductionCopy)
	w := newWorld(t, prod, prodCopy, staging, qa)
	w.backup("prod")

	t.Run("production to its copy", func(t *testing.T) {
		r := w.mirror("prod", "prod-copy")
		if r.Neutrality != envdb.Neutralised || r.Dark || r.Tables == 0 || r.ObjectsChecked == 0 {
			t.Errorf("result: %+v", r)
		}
		exactly(t, differences(t, prod, prodCopy), neutralisedAway())
	})
	t.Run("between two that are not production", func(t *testing.T) {
		staging.have(t, strings.ReplaceAll(everything.SQL("mir"), "CREATE ROLE", "-- CREATE ROLE"))
		w.backup("staging")
		r := w.mirror("staging", "qa")
		if r.Neutrality != envdb.Raw {
			t.Errorf("neutrality: %s", r.Neutrality)
		}
		exactly(t, differences(t, staging, qa), nil)
	})
}

// neutralisedAway lists what differs between production and its copy: what
// neutralise removes, and nothing else.
func neutralisedAway() []string {
	return []string{
		// Publications are not created, so nothing leaves the copy.
		"definition only in a: Name: everything; Type: PUBLICATION; Schema: -; Owner: postgres",
		"definition only in a: Name: PUBLICATION everything; Type: COMMENT; Schema: -; Owner: postgres",
		"definition only in a: Name: some_tables; Type: PUBLICATION; Schema: -; Owner: postgres",
		"definition only in a: Name: some_tables plain; Type: PUBLICATION TABLE; Schema: tables; Owner: postgres",
		"definition only in a: Name: some_tables animal; Type: PUBLICATION TABLE; Schema: tables; Owner: postgres",
		"definition only in a: Name: some_tables events; Type: PUBLICATION TABLE; Schema: parts; Owner: postgres",
		"definition only in a: Name: a_schema; Type: PUBLICATION; Schema: -; Owner: postgres",
		"definition only in a: Name: a_schema tables; Type: PUBLICATION TABLES IN SCHEMA; Schema: tables; Owner: postgres",
		"definition only in a: Name: a_schema select; Type: PUBLICATION TABLES IN SCHEMA; Schema: select; Owner: postgres",
		"definition only in a: Name: Odd publication; Type: PUBLICATION; Schema: -; Owner: postgres",
		// A subscription is there, disabled, and leads nowhere.
		`definition differs: Name: Odd subscription; Type: SUBSCRIPTION; Schema: -; Owner: postgres
	- CREATE SUBSCRIPTION "Odd subscription" CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere user=nobody password=it''s' ` + subscribed + `
	+ CREATE SUBSCRIPTION "Odd subscription" CONNECTION 'host=/nonexistent dbname=neutralised password=neutralised' ` + subscribed,
		// User mappings hold the passwords of foreign servers.
		"definition only in a: Name: USER MAPPING public SERVER loopback; Type: USER MAPPING; Schema: -; Owner: mir_owner",
		"definition only in a: Name: USER MAPPING mir_owner SERVER loopback; Type: USER MAPPING; Schema: -; Owner: mir_owner",
		`definition only in a: Name: USER MAPPING mir Odd "rôle's" name SERVER Odd server; Type: USER MAPPING; Schema: -; Owner: postgres`,
		// Event triggers are there, and disabled.
		"definition differs: Name: Odd event \"trigger\"; Type: EVENT TRIGGER; Schema: -; Owner: postgres\n\t+ ALTER EVENT TRIGGER \"Odd event \"\"trigger\"\"\" DISABLE;\n\t+ ",
		"definition differs: Name: on_drop; Type: EVENT TRIGGER; Schema: -; Owner: postgres\n\t+ ALTER EVENT TRIGGER on_drop DISABLE;\n\t+ ",
		"definition differs: Name: always_one; Type: EVENT TRIGGER; Schema: -; Owner: postgres\n\t- ALTER EVENT TRIGGER always_one ENABLE ALWAYS;\n\t+ ALTER EVENT TRIGGER always_one DISABLE;",
		// Custom settings are where addresses and keys are kept.
		"setting of everyone: shop.api_url: only in a (https://it's.example.com/?a=b,c)",
		`setting of mir Odd "rôle's" name: shop.tenant: only in a (seven)`,
	}
}

const subscribed = `PUBLICATION a, "B c" WITH (connect = false, slot_name = NONE, binary = true, streaming = on, synchronous_commit = remote_apply);`

// A target without the roles: their objects belong to envdb's role, or they
// are made.
func TestRolesOfTheTarget(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Start(t), pgtest.StartOwn(t, pgtest.Options{Side: pgtest.Target})
	a.Exec(t, "postgres", `CREATE ROLE "team Owner" LOGIN PASSWORD 'x' CREATEDB; CREATE ROLE "team reader" NOLOGIN; GRANT "team reader" TO "team Owner" WITH ADMIN OPTION`)
	source := on(t, a, "staging", envdb.Staging).have(t, append(small("staging"),
		`ALTER TABLE t OWNER TO "team Owner"`, `GRANT SELECT ON t TO "team reader"`, `SELECT lo_from_bytea(4711, 'x')`,
		`ALTER LARGE OBJECT 4711 OWNER TO "team Owner"`)...)
	mapped := on(t, b, "mapped", envdb.QA, "roles: map")
	created := on(t, b, "created", envdb.Dev, "roles: create")
	failing := on(t, b, "failing", envdb.Dev, "roles: fail")
	w := newWorld(t, source, mapped, created, failing)
	w.backup("staging")

	_, err := w.Mirror(t.Context(), mirrorRequest("staging", "failing"))
	wants(t, err, envdb.ErrPreflight, "team Owner, team reader", "roles: map")
	same(t, "databases of failing", strings.Join(failing.databases(t), " "), "")

	r := w.mirror("staging", "mapped")
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "team Owner, team reader") {
		t.Errorf("the notes do not name the roles: %s", notes)
	}
	exactly(t, differencesFrom(t, source.url, source, mapped), []string{
		"definition only in a: Name: t; Type: TABLE; Schema: public; Owner: team Owner",
		"definition only in b: Name: t; Type: TABLE; Schema: public; Owner: postgres",
		"definition only in a: Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: team Owner",
		"definition only in b: Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres",
		"definition only in a: Name: TABLE t; Type: ACL; Schema: public; Owner: team Owner",
		"large object 4711 differs",
	})
	same(t, "owner of t", mapped.query(t, "SELECT relowner::regrole FROM pg_class WHERE relname = 't'"), "postgres")
	same(t, "roles", b.QueryText(t, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname ~ '^team'"), "0")

	w.mirror("staging", "created")
	exactly(t, differences(t, source, created), nil)
	same(t, "roles", b.QueryText(t, "postgres", `SELECT rolname, rolcanlogin, rolpassword IS NULL FROM pg_authid WHERE rolname ~ '^team' ORDER BY 1`),
		"team Owner|f|t\nteam reader|f|t")
}
