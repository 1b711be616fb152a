package manager_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/generation"
	"github.com/envdb/envdb/internal/manager"
	"github.com/envdb/envdb/internal/pgtest"
)

const maskSecret = "a secret of the masking tests"

// Every raw value holds this mark, and no mask does, so that one look finds any
// of them.
const rawMark = "r4w"

// private returns statements that make a database full of what is private:
// beside plain columns there are partitions, children, computed columns, a
// materialised view, documents, arrays, values in TOAST, and keys that refer to
// what is masked.
func private() []string {
	return append(small("prod"),
		"CREATE DOMAIN address AS varchar(60)",
		`CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE, name text NOT NULL, phone varchar(20), home address, profile jsonb,
			born date, note text, card bigint, tags text[],
			words tsvector GENERATED ALWAYS AS (to_tsvector('english', coalesce(note, ''))) STORED, lower_email text GENERATED ALWAYS AS (lower(email)) STORED)`,
		"ALTER TABLE customers ALTER note SET STORAGE EXTERNAL",
		`INSERT INTO customers SELECT i, 'r4w.User' || i || '@corp.example', 'R4w' || i || ' Person', 'r4w' || i, i || ' r4w Road',
			jsonb_build_object('plan', 'free', 'contact', jsonb_build_object('email', 'r4w' || i || '@corp.example', 'names', jsonb_build_array('r4w one', 'r4w two'))),
			date '1980-01-01' + i, CASE WHEN i % 100 = 0 THEN repeat('r4w long story ' || i || ' ', 700) ELSE 'r4w wrote ' || i END,
			4000000000000000 + i, ARRAY['r4w' || i, 'r4w']
			FROM generate_series(1, 3000) AS i`,
		"CREATE INDEX ON customers (lower(email)); CREATE INDEX ON customers USING gin (words)",
		"CREATE STATISTICS customers_stats (mcv) ON name, phone FROM customers",
		"CREATE TABLE orders (id int PRIMARY KEY, customer_email text NOT NULL REFERENCES customers (email))",
		"INSERT INTO orders SELECT i, 'r4w.User' || 1 + i % 3000 || '@corp.example' FROM generate_series(1, 5000) AS i",
		"CREATE TABLE events (id int, at date NOT NULL, who text) PARTITION BY RANGE (at)",
		"CREATE TABLE events_a PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2010-01-01')",
		"CREATE TABLE events_b PARTITION OF events FOR VALUES FROM ('2010-01-01') TO ('2020-01-01')",
		"INSERT INTO events SELECT i, date '2000-02-01' + i, 'R4w' || i FROM generate_series(1, 6000) AS i",
		"CREATE TABLE people (id int, secret text)", "CREATE TABLE staff (badge text) INHERITS (people)",
		"INSERT INTO people SELECT i, 'r4w secret ' || i FROM generate_series(1, 500) AS i",
		"INSERT INTO staff SELECT i, 'r4w staff ' || i, 'badge ' || i FROM generate_series(1, 500) AS i",
		"CREATE TABLE sessions (token text)", "INSERT INTO sessions SELECT 'r4w token ' || i FROM generate_series(1, 500) AS i",
		"CREATE MATERIALIZED VIEW directory AS SELECT name, email, phone FROM customers",
		"ANALYZE",
	)
}

const privateRules = `
tables:
  customers:
    email: email
    name: name
    phone: phone
    home: address
    profile: {json: {contact.email: email, contact.names.*: redact}}
    born: {shift_date: 30d}
    note: {sql: "'note ' || left({hash}, 12) || ' of ' || customers.id"}
    card: number
    tags: hash
  public.orders: {customer_email: email}
  events:
    who: name
    at: {shift_date: 20d}
  people: {secret: redact}
  sessions: empty
`

// masking returns production with the statements run in it, and a world in
// which it is mirrored by the rules; more are further keys of the masking.
func masking(t *testing.T, s *pgtest.Server, rules, more string, sql ...string) (prod, target place, w *world) {
	t.Helper()
	prod = on(t, s, "prod", envdb.Production).have(t, sql...)
	target = on(t, s, "prod-copy", envdb.ProductionCopy, "mirror: {from: prod, mask: {rules: mask.yaml, secret: file:secret"+more+"}}")
	w = newWorld(t, prod, target)
	w.write("mask.yaml", rules)
	w.write("secret", maskSecret)
	return prod, target, w
}

func TestMirrorMasks(t *testing.T) {
	t.Parallel()
	s := pgtest.StartOwn(t, pgtest.Options{})
	prod, target, w := masking(t, s, privateRules, ", scan: full", private()...)

	plan, err := w.PlanMirror(t.Context(), mirrorRequest("prod", "prod-copy"))
	if err != nil {
		t.Fatal(problem(err))
	}
	if shown := strings.Join(plan.Masked, "\n"); !strings.Contains(shown, "public.customers: email (email), name (name)") || !strings.Contains(shown, "public.sessions: no rows") {
		t.Errorf("the plan masks\n%s", shown)
	}
	r := w.mirror("prod", "prod-copy")
	if r.Masked == nil || r.Masked.Columns != 13 || r.Masked.Emptied != 1 || r.Masked.Scanned == nil || r.Masked.Scanned.Samples < 3000 || r.Masked.Scanned.Tables < 8 {
		t.Errorf("the result says %+v, %+v", r.Masked, r.Masked.Scanned)
	}
	s.Exec(t, target.base, "CHECKPOINT")
	nothingRaw(t, s, target)

	same(t, "rows", target.query(t, `SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT count(*) FROM events),
		(SELECT count(*) FROM people), (SELECT count(*) FROM staff), (SELECT count(*) FROM sessions), (SELECT count(*) FROM directory)`), "3000|5000|6000|1000|500|0|3000")
	same(t, "joins by e-mail", target.query(t, "SELECT count(*) FROM orders JOIN customers ON customer_email = email"), "5000")
	same(t, "e-mails", target.query(t, "SELECT count(DISTINCT email), bool_and(email ~ '^[0-9a-f]{32}@example.invalid$'), bool_and(lower_email = email) FROM customers"), "3000|t|t")
	same(t, "notes", target.query(t, "SELECT bool_and(note ~ ('^note [0-9a-f]{12} of ' || id || '$')), bool_and(words = to_tsvector('english', note)) FROM customers"), "t|t")
	same(t, "cards", target.query(t, "SELECT count(DISTINCT card), bool_and(card BETWEEN 1000000000000000 AND 9999999999999999) FROM customers"), "3000|t")
	same(t, "documents", target.query(t, "SELECT bool_and(profile->>'plan' = 'free' AND profile->'contact'->>'email' LIKE '%@example.invalid' AND profile->'contact'->'names' = '[\"redacted\", \"redacted\"]') FROM customers"), "t")
	same(t, "tags", target.query(t, "SELECT count(DISTINCT tags[2]), count(DISTINCT tags[1]), max(cardinality(tags)) FROM customers"), "1|3000|2")
	same(t, "the domain", target.query(t, "SELECT bool_and(home ~ '^[0-9]+ [A-Z][a-z]+ Street$') FROM customers"), "t")
	same(t, "what was kept", target.query(t, "SELECT count(*) FROM staff WHERE badge LIKE 'badge %'"), "500")
	same(t, "the source", prod.query(t, "SELECT email FROM customers WHERE id = 7"), "r4w.User7@corp.example")

	_, marker := generation.SplitComment(target.query(t, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"))
	if marker == nil || len(marker.Masked) != 32 || marker.Masked != r.Masked.Digest {
		t.Errorf("the marker says %+v", marker)
	}
	if line := w.status("prod-copy"); line.Masked != r.Masked.Digest {
		t.Errorf("the status says %+v", line)
	}
	log, err := os.ReadFile(s.Log())
	if err != nil || bytes.Contains(log, []byte(maskSecret)) {
		t.Errorf("the server's log holds the secret, or: %v", err)
	}

	before := target.query(t, "SELECT string_agg(email, ',' ORDER BY id) FROM customers")
	w.mirror("prod", "prod-copy")
	same(t, "the masks of the second mirror", target.query(t, "SELECT string_agg(email, ',' ORDER BY id) FROM customers"), before)
}

// nothingRaw fails if a raw value is in a column, in the statistics or in the
// files of the environment's database.
func nothingRaw(t *testing.T, s *pgtest.Server, p place) {
	t.Helper()
	columns := strings.Fields(p.query(t, `SELECT format('%I.%I', c.relname, a.attname) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = attrelid
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') AND attnum > 0 AND NOT attisdropped`))
	if len(columns) < 30 {
		t.Fatalf("looks into %q", columns)
	}
	for _, c := range columns {
		table, column, _ := strings.Cut(c, ".")
		if n := p.query(t, fmt.Sprintf("SELECT count(*) FROM ONLY %s WHERE %s::text ILIKE '%%%s%%'", table, column, rawMark)); n != "0" {
			t.Errorf("%s holds %s raw values", c, n)
		}
	}
	for _, view := range []string{"pg_stats", "pg_stats_ext"} {
		if n := p.query(t, fmt.Sprintf("SELECT count(*) FROM %[1]s WHERE %[1]s::text ILIKE '%%%[2]s%%'", view, rawMark)); n != "0" {
			t.Errorf("%s holds %s raw values", view, n)
		}
	}
	dir := filepath.Join(s.Data(), "base", p.query(t, "SELECT oid FROM pg_database WHERE datname = current_database()"))
	var files int
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files++
		if bytes.Contains(bytes.ToLower(content), []byte(rawMark)) {
			t.Errorf("%s holds raw values", path)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("read %d files of %s: %v", files, dir, err)
	}
}

// What survives in a place that no rule names is found, and the copy is not
// used.
func TestScanFindsWhatSurvives(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	people := []string{
		"CREATE TABLE people (id int PRIMARY KEY, email text, story text)",
		"INSERT INTO people SELECT i, 'someone' || i || '@corp.example', 'went to the market at noon with the number ' || i FROM generate_series(1, 300) AS i",
	}
	const rules = "tables:\n  people: {email: email, story: redact}\n"
	for name, c := range map[string]struct {
		sql         []string
		rules, more string
		says        []string
	}{
		"a plain tsvector": {
			sql:  []string{"CREATE TABLE search (words tsvector)", "INSERT INTO search SELECT to_tsvector('english', story) FROM people WHERE id = 77"},
			says: []string{"public.search.words", "public.people.story"},
		},
		"a document": {
			sql:  []string{"CREATE TABLE audit (id int, what jsonb)", `INSERT INTO audit SELECT id, jsonb_build_object('old', jsonb_build_object('email', upper(email))) FROM people WHERE id = 88`},
			says: []string{"public.audit.what", "public.people.email"},
		},
		"bytes": {
			sql:  []string{"CREATE TABLE mail (body bytea)", `INSERT INTO mail SELECT convert_to('To: ' || email || e'\n\nHello', 'UTF8') FROM people WHERE id = 99`},
			says: []string{"public.mail.body", "public.people.email"},
		},
		"an array of a domain": {
			sql:  []string{"CREATE DOMAIN mail_address AS text", "CREATE TABLE lists (members mail_address[])", "INSERT INTO lists SELECT array_agg(email) FROM people"},
			says: []string{"public.lists.members"},
		},
		"a materialised view over a kept column": {
			sql: []string{"CREATE TABLE log (line text)", "INSERT INTO log SELECT md5(email) FROM people", "CREATE FUNCTION leak(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'someone5@corp.example'$$",
				"CREATE MATERIALIZED VIEW report AS SELECT public.leak(line) AS line FROM log"},
			says: []string{"public.report.line", "public.people.email"},
		},
		"an expression that masks nothing": {
			rules: "tables:\n  people: {email: {sql: lower(email)}, story: redact}\n",
			says:  []string{"public.people.email holds a value of public.people.email"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := rules
			if c.rules != "" {
				text = c.rules
			}
			_, target, w := masking(t, s, text, "", append(append(small("prod"), people...), c.sql...)...)
			_, err := w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
			wants(t, err, envdb.ErrVerification, append(c.says, "scan: off")...)
			if strings.Contains(problem(err), "corp.example") {
				t.Errorf("the error shows a value: %v", err)
			}
			if left := target.databases(t); len(left) > 0 {
				t.Errorf("there is %q", left)
			}
			if c.rules == "" {
				w.write("mask.yaml", "tables:\n  people: {email: {rule: email, scan: off}, story: {rule: redact, scan: off}}\n")
				if r := w.mirror("prod", "prod-copy"); r.Masked.Scanned.Samples != 0 {
					t.Errorf("looked for %d values", r.Masked.Scanned.Samples)
				}
			}
		})
	}
}

// Whatever is wrong with the masking, nothing is copied raw, and what serves
// stays as it is.
func TestMaskingFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	sql := append(small("prod"),
		"CREATE TABLE people (id int PRIMARY KEY, email text UNIQUE, code varchar(5), n text)",
		"INSERT INTO people SELECT i, 'someone' || i || '@corp.example', i::text, CASE WHEN i = 170 THEN 'hunter2' ELSE i::text END FROM generate_series(1, 300) AS i",
		"CREATE TABLE refs (email text REFERENCES people (email))", "INSERT INTO refs SELECT email FROM people")
	const good = "tables:\n  people: {email: email}\n  refs: {email: email}\n"
	_, target, w := masking(t, s, good, "", sql...)
	w.mirror("prod", "prod-copy")
	before := target.state(t)
	for _, c := range []struct {
		name, rules, secret string
		kind                error
		says                []string
	}{
		{"no secret", good, "", envdb.ErrPreflight, []string{"secret", "nothing was changed"}},
		{"a short secret", good, "hunter2", envdb.ErrPreflight, []string{"openssl rand"}},
		{"not YAML", "tables: [", maskSecret, envdb.ErrMisuse, []string{"mask.yaml:1:"}},
		{"an unknown rule", "tables:\n  people: {email: emial}\n", maskSecret, envdb.ErrMisuse, []string{"mask.yaml:2:19", `unknown rule "emial"`, `did you mean "email"?`}},
		{"an unknown table", "tables:\n  poeple: {email: email}\n", maskSecret, envdb.ErrPreflight, []string{"mask.yaml:2:3", "there is no table public.poeple", "mask check"}},
		{"an unknown column", "tables:\n  people: {emial: email}\n", maskSecret, envdb.ErrPreflight, []string{"mask.yaml:2:12", "no column emial"}},
		{"a rule for another type", "tables:\n  people: {id: email}\n", maskSecret, envdb.ErrPreflight, []string{"mask.yaml:2:12", "public.people.id (integer)"}},
		{"null where it may not be", "tables:\n  people: {id: \"null\"}\n", maskSecret, envdb.ErrPreflight, []string{"NOT NULL"}},
		{"a broken expression", "tables:\n  people: {code: {sql: \"left(cod, 2)\"}}\n", maskSecret, envdb.ErrPreflight, []string{"mask.yaml:2:12", "public.people.code", `column "cod" does not exist`}},
		{"an expression that fails on a row", "tables:\n  people: {n: {sql: (n::int)::text}}\n", maskSecret, nil, []string{"table public.people, column n", "rule sql, ", "mask.yaml:2:12)", "row 170", "22P02"}},
		{"a value that is too long", "tables:\n  people: {code: {sql: \"'longer' || code\"}}\n", maskSecret, nil, []string{"column code", "row 1 ", "value too long for type character varying(5)"}},
		{"a collision", "tables:\n  people: {email: redact}\n  refs: empty\n", maskSecret, nil, []string{"people_email_key", "public.people", "email (redact, ", "mask.yaml:2:12)", "unique"}},
		{"a broken reference", "tables:\n  people: {email: email}\n", maskSecret, nil, []string{"refs_email_fkey", "both sides of a foreign key"}},
	} {
		w.write("mask.yaml", c.rules)
		w.write("secret", c.secret)
		_, err := w.Mirror(t.Context(), mirrorRequest("prod", "prod-copy"))
		if c.kind == nil {
			c.kind = err // any
		}
		t.Run(c.name, func(t *testing.T) {
			if err == nil {
				t.Fatal("it worked")
			}
			wants(t, err, c.kind, c.says...)
			if strings.Contains(problem(err), "hunter2") || strings.Contains(problem(err), "someone") {
				t.Errorf("the error shows a value: %v", err)
			}
			same(t, "prod-copy", target.state(t), before)
		})
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error("the log shows a value")
	}
}

func TestStrictMasking(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	const rules = "tables:\n  t: keep\n  many: keep\n  people: {id: keep, email: email}\n"
	prod, _, w := masking(t, s, rules, ", strict: true", append(small("prod"), "CREATE TABLE people (id int, email text)", "INSERT INTO people VALUES (1, 'someone@corp.example')")...)
	w.mirror("prod", "prod-copy")
	check := func() (*manager.MaskCheck, error) {
		return w.CheckMask(t.Context(), manager.MaskCheckRequest{Target: "prod-copy"})
	}
	if c, err := check(); err != nil || len(c.Findings) > 0 || c.Columns != 1 || c.Uncovered != 0 || c.Source != "prod" || !c.Strict {
		t.Errorf("got %+v, %s", c, problem(err))
	}
	prod.exec(t, "ALTER TABLE people ADD nickname text")
	_, err := w.Mirror(t.Context(), manager.MirrorRequest{Source: "prod", Target: "prod-copy", Fresh: true})
	wants(t, err, envdb.ErrPreflight, "public.people.nickname (text) has no rule", "prod-copy is as it was")
	c, err := check()
	wants(t, err, envdb.ErrVerification, "mask.yaml", "keep")
	if c == nil || len(c.Findings) != 1 || c.Findings[0].Column != "nickname" || c.Uncovered != 1 {
		t.Errorf("found %+v", c)
	}
	w.write("mask.yaml", rules+"  nowhere: keep\n")
	if c, err = check(); err == nil || len(c.Findings) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err = w.CheckMask(t.Context(), manager.MaskCheckRequest{Target: "prod"})
	wants(t, err, envdb.ErrMisuse, "no rules")
}
