package manager_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// flagged returns statements that make a database with tables that belong to an
// environment.
func flagged(who string) []string {
	return append(small(who),
		"CREATE TABLE feature_flags (name text PRIMARY KEY, enabled boolean NOT NULL, of_whom text)",
		"INSERT INTO feature_flags VALUES ('checkout', false, "+postgres.Literal(who)+"), ('search', true, "+postgres.Literal(who)+")",
		"CREATE SCHEMA api",
		"CREATE TABLE api.clients (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, secret text, upper_kind text GENERATED ALWAYS AS (upper(kind)) STORED)",
		"INSERT INTO api.clients (kind, secret) SELECT k, "+postgres.Literal(who)+" || k FROM unnest(ARRAY['partner', 'internal', 'partner', 'internal']) AS k",
		"CREATE INDEX ON api.clients (kind)",
		"CREATE TABLE api.calls (client bigint REFERENCES api.clients ON DELETE CASCADE, at int)",
		"INSERT INTO api.calls VALUES (1, 1), (3, 2)",
	)
}

const (
	preserving   = `mirror: {from: prod, preserve: [feature_flags, {table: api.clients, where: "kind = 'internal'"}]}`
	clientsQuery = "SELECT string_agg(concat_ws(':', id, kind, secret, upper_kind), ' ' ORDER BY id) FROM api.clients"
	flagsQuery   = "SELECT string_agg(concat_ws(':', name, enabled, of_whom), ' ' ORDER BY name) FROM feature_flags"
)

// What belongs to the environment survives a mirror: a whole table, and rows
// by a condition. Those of production make room, also where only their keys
// collide, and sequences stand behind what is used.
func TestPreserve(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, flagged("prod")...)
	qa := on(t, s, "qa", envdb.QA, preserving)
	w := newWorld(t, prod, qa)

	first := w.mirror("prod", "qa")
	if notes := strings.Join(first.Notes, "\n"); !strings.Contains(notes, "nothing was preserved: the environment has no live version yet") {
		t.Errorf("the notes of the first mirror: %s", notes)
	}
	same(t, "flags at first", qa.query(t, flagsQuery), "checkout:f:prod search:t:prod")

	qa.exec(t, "UPDATE feature_flags SET enabled = true, of_whom = 'qa'", "INSERT INTO feature_flags VALUES ('beta', true, 'qa')", "DELETE FROM feature_flags WHERE name = 'search'",
		"DELETE FROM api.clients WHERE id = 2", "UPDATE api.clients SET secret = 'qa' WHERE kind = 'internal'",
		"INSERT INTO api.clients OVERRIDING SYSTEM VALUE VALUES (3000, 'internal', 'qa')", "UPDATE api.clients SET kind = 'internal', secret = 'was a partner' WHERE id = 1",
		"UPDATE t SET who = 'qa'")
	prod.exec(t, "INSERT INTO feature_flags VALUES ('new', true, 'prod')", "UPDATE t SET who = 'prod again'",
		"INSERT INTO api.clients (kind, secret) VALUES ('partner', 'prod5')")

	r := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Fresh: true})
	same(t, "flags", qa.query(t, flagsQuery), "beta:t:qa checkout:t:qa")
	same(t, "clients", qa.query(t, clientsQuery),
		"1:internal:was a partner:INTERNAL 3:partner:prodpartner:PARTNER 4:internal:qa:INTERNAL 5:partner:prod5:PARTNER 3000:internal:qa:INTERNAL")
	same(t, "the rest is production's", qa.content(t), "1|prod again")
	same(t, "the next client", qa.query(t, "INSERT INTO api.clients (kind) VALUES ('new') RETURNING id"), "3001")
	same(t, "statistics", qa.query(t, "SELECT count(*) FROM pg_stats WHERE tablename IN ('feature_flags', 'clients') AND attname IN ('name', 'kind')"), "2")
	notes := strings.Join(r.Notes, "\n")
	for _, said := range []string{
		"table public.feature_flags was preserved: 2 rows of the live version, in the place of 3 rows of the backup",
		"table api.clients was preserved: 3 rows of the live version, in the place of 3 rows of the backup",
	} {
		if !strings.Contains(notes, said) {
			t.Errorf("the notes lack %q:\n%s", said, notes)
		}
	}
	w.rollback("qa")
	same(t, "flags after a rollback", qa.query(t, flagsQuery), "beta:t:qa checkout:t:qa")
	same(t, "clients after a rollback", qa.query(t, "SELECT count(*) FROM api.clients"), "4")
}

// Live may be a database that envdb did not make, with less of a table than
// production has by now.
func TestPreserveOfAForeignLive(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(small("prod"),
		`CREATE SCHEMA "Ünï"`,
		`CREATE TABLE "Ünï"."q ""q"" T" ("Id" serial PRIMARY KEY, "a b" text, added timestamptz NOT NULL DEFAULT now(), note text)`,
		`INSERT INTO "Ünï"."q ""q"" T" ("a b") VALUES ('prod')`)...)
	qa := on(t, s, "qa", envdb.QA, `mirror: {from: prod, preserve: ['"Ünï"."q ""q"" T"']}`).have(t,
		`CREATE SCHEMA "Ünï"`,
		`CREATE TABLE "Ünï"."q ""q"" T" ("a b" text, dropped int, "Id" int)`, `ALTER TABLE "Ünï"."q ""q"" T" DROP COLUMN dropped`,
		`INSERT INTO "Ünï"."q ""q"" T" VALUES (E'x\ty\\n\n', 7), (NULL, 9)`)
	w := newWorld(t, prod, qa)
	r := w.mirror("prod", "qa")
	same(t, "rows", qa.query(t, `SELECT "Id", "a b" = E'x\ty\\n\n', added IS NOT NULL, note IS NULL FROM "Ünï"."q ""q"" T" ORDER BY 1`), "7|t|t|t\n9||t|t")
	same(t, "the next one", qa.query(t, `SELECT nextval(pg_get_serial_sequence('"Ünï"."q ""q"" T"', 'Id'))`), "10")
	notes := strings.Join(r.Notes, "\n")
	for _, said := range []string{"column added is new, and has its default", "column note is new, and NULL"} {
		if !strings.Contains(notes, said) {
			t.Errorf("the notes lack %q:\n%s", said, notes)
		}
	}
	same(t, "versions", w.versions("qa"), "live prod, aside, baseline prod")
}

// A partitioned table is preserved with its partitions, whatever became of them.
func TestPreserveOfPartitions(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	partitioned := func(bounds ...string) []string {
		sql := []string{"CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
			"CREATE TABLE events (id int, day int, m mood, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
			"CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m)",
			"CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
			"INSERT INTO moods SELECT m, 1 FROM unnest(enum_range(NULL::mood)) AS m",
			"CREATE TABLE parent (id int PRIMARY KEY)", "CREATE TABLE child (extra int) INHERITS (parent)", "INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (2, 2)"}
		for i := 0; i+1 < len(bounds); i++ {
			sql = append(sql, fmt.Sprintf("CREATE TABLE events_%s PARTITION OF events FOR VALUES FROM (%s) TO (%s)", bounds[i], bounds[i], bounds[i+1]))
		}
		return append(sql, "INSERT INTO events SELECT i, i % 20, 'ok' FROM generate_series(1, 100) AS i")
	}
	prod := on(t, s, "prod", envdb.Production).have(t, partitioned("0", "5", "20")...)
	qa := on(t, s, "qa", envdb.QA, "mirror: {from: prod, preserve: [{table: events, where: day < 10}, moods, parent]}").have(t, partitioned("0", "10", "20")...)
	w := newWorld(t, prod, qa)
	qa.exec(t, "DELETE FROM events WHERE day < 10 AND id > 40", "UPDATE events SET m = 'happy'", "DELETE FROM moods WHERE m = 'sad'", "UPDATE moods SET n = 2",
		"UPDATE ONLY parent SET id = 10", "UPDATE child SET id = 20")
	w.mirror("prod", "qa")
	same(t, "events", qa.query(t, "SELECT count(*) FILTER (WHERE m = 'happy'), count(*) FILTER (WHERE m = 'ok' AND day >= 10), count(*), (SELECT count(*) FROM events_0), (SELECT count(*) FROM events_5) FROM events"), "20|50|70|10|60")
	same(t, "moods", qa.query(t, "SELECT string_agg(m || ':' || n, ' ' ORDER BY m) FROM moods"), "ok:2 happy:2")
	same(t, "what inherits is a table of its own", qa.query(t, "SELECT (SELECT string_agg(id::text, ' ') FROM ONLY parent), (SELECT string_agg(id::text, ' ') FROM child)"), "10|2")
	before := qa.state(t)

	other := newWorldOf(t, w, prod, withLines(qa, "mirror: {from: prod, preserve: [moods_0]}"))
	_, err := other.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrPreflight, "rows move between the partitions of public.moods", "preserve public.moods")
	other = newWorldOf(t, w, prod, withLines(qa, "mirror: {from: prod, preserve: [events, events_0]}"))
	_, err = other.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrPreflight, "public.events_0 and public.events have rows in common")
	same(t, "the target", qa.state(t), before)
}

// withLines is the place with other lines in the configuration.
func withLines(p place, more ...string) place {
	p.more = more
	return p
}

// newWorldOf is newWorld on the store of another one.
func newWorldOf(t *testing.T, w *world, places ...place) *world {
	t.Helper()
	other := newWorld(t, places...)
	other.adopt(w)
	return other
}

// Whatever stands in the way is named, and the live version stays as it was.
func TestPreserveRefuses(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, append(flagged("prod"), "CREATE VIEW seen AS SELECT 1", "CREATE SCHEMA other", "CREATE TABLE other.feature_flags (name text)", "CREATE TABLE other.twice ()", "CREATE TABLE api.twice ()", `CREATE TABLE "Capital" (id int)`,
		"CREATE TABLE only_here (id int)", "CREATE TABLE unlike (id int)")...)
	qa := on(t, s, "qa", envdb.QA)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	qa.exec(t, "DROP TABLE only_here", "DROP TABLE unlike", "CREATE VIEW unlike AS SELECT 1 AS id", "CREATE TABLE gone (id int)")
	for name, c := range map[string]struct {
		preserve string
		live     string // what is done to the live version, and undone
		undo     string
		kind     error
		says     []string
	}{
		"not in the backup": {"[gone]", "", "", envdb.ErrPreflight, []string{"envdb.yaml:", "environments.qa.mirror.preserve[0]: the backup has no table gone"}},
		"capitals":          {"[capital]", "", "", envdb.ErrPreflight, []string{"no table capital", `did you mean "public"."Capital"`}},
		"a view":            {"[public.seen]", "", "", envdb.ErrPreflight, []string{"public.seen is a view in the backup"}},
		"several":           {"[twice]", "", "", envdb.ErrPreflight, []string{"several tables twice: ", "other.twice", "api.twice"}},
		"not in live":       {"[only_here]", "", "", envdb.ErrPreflight, []string{"the live version has no table public.only_here"}},
		"a view in live":    {"[unlike]", "", "", envdb.ErrPreflight, []string{"public.unlike is no table in the live version"}},
		"named twice":       {"[t, public.t]", "", "", envdb.ErrPreflight, []string{"preserve[1]: table public.t is named twice"}},
		"a column too many": {"[feature_flags]", "ALTER TABLE feature_flags ADD owner text", "ALTER TABLE feature_flags DROP owner", envdb.ErrPreflight,
			[]string{"table public.feature_flags is another one", "the backup has no column owner"}},
		"another type": {"[feature_flags]", "ALTER TABLE feature_flags ALTER of_whom TYPE varchar(9)", "ALTER TABLE feature_flags ALTER of_whom TYPE text", envdb.ErrPreflight,
			[]string{"column of_whom is character varying(9) in the live version and text in the backup"}},
		"a column that must be filled": {"[feature_flags]", "ALTER TABLE feature_flags RENAME enabled TO disabled", "ALTER TABLE feature_flags RENAME disabled TO enabled", envdb.ErrPreflight,
			[]string{"the backup has no column disabled", "the live version has no column enabled, which is NOT NULL and has no default"}},
		"generated on one side": {"[api.clients]", "ALTER TABLE api.clients ALTER upper_kind DROP EXPRESSION", "ALTER TABLE api.clients DROP upper_kind, ADD upper_kind text GENERATED ALWAYS AS (upper(kind)) STORED", envdb.ErrPreflight,
			[]string{"column upper_kind is generated on one side only"}},
		"a wrong condition": {`[{table: api.clients, where: "knd = 'x'"}]`, "", "", envdb.ErrPreflight, []string{"the where of api.clients, in the live version", `column "knd" does not exist`, "correct the where"}},
		"two statements":    {`[{table: api.clients, where: "true); DROP TABLE t; SELECT (1"}]`, "", "", envdb.ErrPreflight, []string{"the where of api.clients"}},
		"NULL in live": {"[feature_flags]", "ALTER TABLE feature_flags ALTER enabled DROP NOT NULL; UPDATE feature_flags SET enabled = NULL", "UPDATE feature_flags SET enabled = true; ALTER TABLE feature_flags ALTER enabled SET NOT NULL", envdb.ErrVerification,
			[]string{"preserve[0]: table public.feature_flags", `null value in column "enabled"`}},
		"a row that production lacks": {"[api.calls]", "INSERT INTO api.clients (kind) VALUES ('x'); INSERT INTO api.calls VALUES ((SELECT max(id) FROM api.clients), 1)", "DELETE FROM api.clients WHERE kind = 'x'", envdb.ErrVerification,
			[]string{"rows that were preserved in table api.calls refer to rows that the backup does not have", "calls_client_fkey of api.calls", "preserve what they refer to"}},
		"a row that production needs": {"[api.clients]", "DELETE FROM api.clients WHERE id = 3", "INSERT INTO api.clients OVERRIDING SYSTEM VALUE VALUES (3, 'partner', 'x'); INSERT INTO api.calls VALUES (3, 2)", envdb.ErrVerification,
			[]string{"rows of the backup refer to rows of table api.clients, which was preserved", "calls_client_fkey of api.calls"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.live != "" {
				qa.exec(t, c.live)
				defer qa.exec(t, c.undo)
			}
			before := qa.state(t)
			other := newWorldOf(t, w, prod, withLines(qa, "mirror: {from: prod, preserve: "+c.preserve+"}"))
			_, err := other.Mirror(t.Context(), mirrorRequest("prod", "qa"))
			wants(t, err, c.kind, c.says...)
			same(t, "the target", qa.state(t), before)
			if state, _ := envdb.Advice(err); !strings.Contains(state, "as it was") && !strings.Contains(state, "nothing was") {
				t.Errorf("the state is %q", state)
			}
		})
	}
}

// A unique value that both sides use is an error that says so.
func TestPreservedRowsCollide(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, "CREATE TABLE users (id int PRIMARY KEY, mail text, kind text)", "CREATE UNIQUE INDEX once ON users (mail)", "INSERT INTO users VALUES (1, 'a@example.com', 'person')")
	qa := on(t, s, "qa", envdb.QA, "mirror: {from: prod, preserve: [{table: users, where: kind = 'tester' -- all of them}]}").have(t,
		"CREATE TABLE users (id int PRIMARY KEY, mail text, kind text)", "INSERT INTO users VALUES (7, 'a@example.com', 'tester')")
	w := newWorld(t, prod, qa)
	before := qa.state(t)
	_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
	wants(t, err, envdb.ErrVerification, "rows that were preserved in table public.users collide with rows of the backup in once of public.users", "widen the where", "qa is as it was")
	if strings.Contains(problem(err), "a@example.com") {
		t.Errorf("the error shows a row: %s", problem(err))
	}
	same(t, "the target", qa.state(t), before)
	qa.exec(t, "UPDATE users SET mail = 'b@example.com'")
	w.mirror("prod", "qa")
	same(t, "users", qa.query(t, "SELECT string_agg(id || mail, ' ' ORDER BY id) FROM users"), "1a@example.com 7b@example.com")
}

// A mirror that is interrupted while it preserves leaves the live version, and
// what is in its table, alone.
func TestPreserveIsInterrupted(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, flagged("prod")...)
	qa := on(t, s, "qa", envdb.QA, `mirror: {from: prod, preserve: [{table: feature_flags, where: "pg_sleep(0.2) IS NOT NULL"}]}`)
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	qa.exec(t, "INSERT INTO feature_flags SELECT i::text, true, 'qa' FROM generate_series(1, 1000) AS i")
	before, flags := qa.state(t), qa.query(t, "SELECT count(*) FROM feature_flags")

	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := w.Mirror(ctx, mirrorRequest("prod", "qa"))
		done <- err
	}()
	eventually(t, "rows of the live version are read", func() bool {
		return s.QueryText(t, "postgres", "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'COPY (SELECT%' AND state = 'active' AND datname = "+postgres.Literal(qa.base)) == "t"
	})
	interrupt()
	if err := <-done; !errors.Is(err, envdb.ErrInterrupted) {
		t.Fatalf("got %s", problem(err))
	}
	same(t, "the target", qa.state(t), before)
	same(t, "flags", qa.query(t, "SELECT count(*) FROM feature_flags"), flags)
	eventually(t, "no session is left", func() bool {
		return s.QueryText(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'envdb/%' AND datname = "+postgres.Literal(qa.base)) == "0"
	})
	qa.exec(t, "DELETE FROM feature_flags WHERE of_whom = 'qa'")
	w.mirror("prod", "qa")
}

// The preserved rows are those of the moment, and neutralising comes after.
func TestPreserveThenNeutralise(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, flagged("prod")...)
	qa := on(t, s, "qa", envdb.QA, "mirror: {from: prod, neutralise: [n.sql], checks: [c.sql], preserve: [feature_flags]}")
	w := newWorld(t, prod, qa)
	w.write("n.sql", "UPDATE feature_flags SET enabled = false WHERE of_whom = 'qa'")
	w.write("c.sql", "SELECT * FROM public.feature_flags WHERE enabled AND of_whom = 'qa'")
	w.mirror("prod", "qa")
	qa.exec(t, "INSERT INTO feature_flags VALUES ('beta', true, 'qa')")
	dark := w.mirrorOf(manager.MirrorRequest{Source: "prod", Target: "qa", Dark: true})
	same(t, "in the dark version", s.QueryText(t, dark.Database, flagsQuery), "beta:f:qa checkout:f:prod search:t:prod")
	same(t, "in the live version", qa.query(t, flagsQuery), "beta:t:qa checkout:f:prod search:t:prod")
}

// An ordinary role preserves what it may read, and says what it may not.
func TestPreserveWithoutSuperuser(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	role, password := s.CreateRole(t, "CREATEDB")
	prod := on(t, s, "prod", envdb.Production).have(t, flagged("prod")...)
	qa := on(t, s, "qa", envdb.QA, preserving)
	weak := qa
	weak.url = s.URLAs(role, password, qa.base)
	w := newWorld(t, prod, weak)
	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE feature_flags SET of_whom = 'qa'", "UPDATE api.clients SET secret = 'qa' WHERE kind = 'internal'")
	w.mirror("prod", "qa")
	same(t, "flags", qa.query(t, flagsQuery), "checkout:f:qa search:t:qa")
	same(t, "clients", qa.query(t, "SELECT count(*) FILTER (WHERE secret = 'qa'), count(*) FROM api.clients"), "2|4")

	before := qa.state(t)
	for name, c := range map[string]struct {
		do, undo string
		says     []string
	}{
		"it may not read": {"ALTER TABLE feature_flags OWNER TO postgres; REVOKE ALL ON feature_flags FROM " + role, "ALTER TABLE feature_flags OWNER TO " + role,
			[]string{"role " + role + " may not read table public.feature_flags of the live version", "GRANT SELECT"}},
		"rows are hidden": {"ALTER TABLE feature_flags ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", "ALTER TABLE feature_flags DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY",
			[]string{"row-level security would hide rows of table public.feature_flags of the live version", "BYPASSRLS"}},
	} {
		t.Run(name, func(t *testing.T) {
			qa.exec(t, c.do)
			defer qa.exec(t, c.undo)
			_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
			wants(t, err, envdb.ErrPreflight, c.says...)
			same(t, "the target", qa.state(t), before)
		})
	}
}

// What is emptied while a mirror runs is preserved as it was, or as it is
// then, and never as if there had been no rows.
func TestPreserveWaitsForATruncate(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	prod := on(t, s, "prod", envdb.Production).have(t, flagged("prod")...)
	qa := on(t, s, "qa", envdb.QA, "mirror: {from: prod, preserve: [feature_flags]}")
	w := newWorld(t, prod, qa)
	w.mirror("prod", "qa")
	qa.exec(t, "UPDATE feature_flags SET of_whom = 'qa'")

	other := s.Connect(t, qa.base)
	if _, err := other.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "TRUNCATE feature_flags"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := w.Mirror(t.Context(), mirrorRequest("prod", "qa"))
		done <- err
	}()
	eventually(t, "the mirror waits for the lock", func() bool {
		return s.QueryText(t, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%LOCK TABLE%' AND datname = "+postgres.Literal(qa.base)) == "1"
	})
	if _, err := other.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(problem(err))
	}
	same(t, "flags", qa.query(t, flagsQuery), "checkout:f:qa search:t:qa")
}
