package logical_test

import (
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/logical"
	"github.com/envdb/envdb/internal/mask"
	"github.com/envdb/envdb/internal/pgtest"
	"github.com/envdb/envdb/internal/postgres"
)

// odd is a database with what makes masking harder: columns of users' types,
// which make COPY's format text, partitions by what is masked, identities that
// may not be written, privileges of another role, and large objects.
const odd = `
CREATE TYPE colour AS ENUM ('red', 'green');
CREATE DOMAIN mail AS varchar(48) CHECK (VALUE LIKE '%@%');
CREATE TABLE plain (id bigint PRIMARY KEY, mail varchar(80) UNIQUE, at timestamptz, born date, amount numeric(10,2), score float8, token uuid, body bytea, host inet, tags text[], n int);
INSERT INTO plain SELECT i, 'some.one' || i || '@corp.example', timestamptz '2020-01-01' + i * interval '1 hour', date '1980-01-01' + i, i / 7.0, i / 7.0,
	md5(i::text)::uuid, decode(md5(i::text), 'hex'), '203.0.113.7'::inet + i, ARRAY['x' || i, NULL, 'quo"te'], i FROM generate_series(1, 1000) AS i;
CREATE TABLE typed (c colour, LIKE plain);
ALTER TABLE typed ALTER id DROP NOT NULL;
INSERT INTO typed SELECT CASE WHEN id % 2 = 0 THEN 'red' END::colour, * FROM plain;
ALTER TABLE typed ADD home mail;
UPDATE typed SET home = mail;
INSERT INTO typed (mail, tags) VALUES (e'tab\there\\back\nline@corp.example', '{"a\"b\\c",plain}');
CREATE TABLE spread (mail text, v int) PARTITION BY HASH (mail);
CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE spread_2 PARTITION OF spread FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO spread SELECT mail, id FROM plain;
CREATE TABLE numbered (id int GENERATED ALWAYS AS IDENTITY, "odd ""name" text, double int GENERATED ALWAYS AS (id * 2) STORED);
INSERT INTO numbered ("odd ""name") SELECT mail FROM plain;
SELECT lo_from_bytea(0, 'some large object');`

// ruled returns rules for the columns of a table, written as in "mail=email".
func ruled(table string, columns ...string) mask.TableRules {
	r := mask.TableRules{Name: mask.Name{Schema: "public", Name: table}, At: "rules:" + table}
	for _, c := range columns {
		name, rule, _ := strings.Cut(c, "=")
		made := mask.Rule{Name: rule, Days: 20}
		if expression, isSQL := strings.CutPrefix(rule, "sql "); isSQL {
			made = mask.Rule{Name: mask.SQL, Expression: expression}
		}
		r.Columns = append(r.Columns, mask.ColumnRule{Column: name, At: "rules:" + name, Rule: made})
	}
	return r
}

func TestLoadMasks(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, odd))
	k, err := mask.NewKey("a secret for tests only")
	if err != nil {
		t.Fatal(err)
	}
	every := []string{"mail=email", "at=shift_date", "born=shift_date", "amount=number", "score=number", "token=uuid", "body=hash", "host=ip", "tags=hash", "n=number"}
	rules := &mask.Rules{File: "rules", Large: mask.OmitLarge, Tables: []mask.TableRules{
		ruled("plain", every...), ruled("typed", append(every, "home=email", `c=sql CASE WHEN c = 'red' THEN 'green' END::public.colour`)...),
		ruled("spread", "mail=email"),
		ruled("numbered", `odd "name=sql 'x-' || left({hash}, 20)`),
	}}
	role, password := s.CreateRole(t, "")
	for name, load := range map[string]func() (string, *logical.Loaded){
		"superuser": func() (string, *logical.Loaded) {
			return loadInto(t, s, m, cat, logical.Loading{Jobs: 2, Mask: &logical.Masking{Rules: rules, Key: k}})
		},
		"owner": func() (string, *logical.Loaded) {
			to, loaded, err := loadAs(t, s, role, password, m, cat, logical.Loading{Jobs: 2, Mask: &logical.Masking{Rules: rules, Key: k}})
			if err != nil {
				t.Fatal(err)
			}
			return to, loaded
		},
	} {
		to, loaded := load()
		if name == "superuser" { // who sees the owners as the load did
			if _, err := checkCopy(t, s, to, cat, logical.Expect{Loaded: loaded}); err != nil {
				t.Error(err)
			}
		}
		for what, c := range map[string]struct{ sql, want string }{
			"e-mails in text and binary": {`SELECT count(*) FROM plain JOIN typed USING (id) WHERE plain.mail = typed.mail AND typed.home = typed.mail AND plain.mail LIKE '%@example.invalid'`, "1000"},
			"everything else":            {`SELECT count(*) FROM plain AS p JOIN typed AS t USING (id) WHERE (p.at, p.born, p.amount, p.token, p.body, p.host, p.tags, p.n, p.score) = (t.at, t.born, t.amount, t.token, t.body, t.host, t.tags, t.n, t.score)`, "1000"},
			"moments move by days":       {`SELECT count(*) FROM plain WHERE at - (timestamptz '2020-01-01' + id * interval '1 hour') BETWEEN '-20 days' AND '20 days' AND extract(minute FROM at) = 0 AND at <> timestamptz '2020-01-01' + id * interval '1 hour'`, "1000"},
			"numbers":                    {`SELECT count(DISTINCT n), count(*) FILTER (WHERE length(n::text) = length(id::text)), max(amount) < 1000, count(*) FILTER (WHERE n = id) < 20 FROM plain`, "1000|1000|t|t"},
			"arrays":                     {`SELECT count(*) FROM plain WHERE tags[1] ~ '^[0-9a-f]{32}$' AND tags[2] IS NULL AND tags[3] <> tags[1]`, "1000"},
			"a value with controls":      {`SELECT mail ~ '^[0-9a-f]{32}@example.invalid$', array_length(tags, 1), tags[2] ~ '^[0-9a-f]{32}$' FROM typed WHERE id IS NULL`, "t|2|t"},
			"the enum":                   {`SELECT count(*) FILTER (WHERE c = 'green'), count(*) FILTER (WHERE c IS NULL) FROM typed`, "500|501"},
			"rows move with their key":   {`SELECT count(*), count(DISTINCT tableoid), count(*) FILTER (WHERE satisfies_hash_partition('spread'::regclass, 3, right(tableoid::regclass::text, 1)::int, mail)) FROM spread`, "1000|3|1000"},
			"identities stay":            {`SELECT count(DISTINCT "odd ""name"), max(id), max(double), bool_and("odd ""name" ~ '^x-[0-9a-f]{20}$') FROM numbered`, "1000|1000|2000|t"},
			"large objects":              {`SELECT count(*) FROM pg_largeobject_metadata`, "0"},
			"nothing temporary":          {`SELECT count(*) FROM pg_class WHERE relpersistence = 't'`, "0"},
		} {
			if got := s.QueryText(t, to, c.sql); got != c.want {
				t.Errorf("%s, %s: got %s, want %s", name, what, got, c.want)
			}
		}
		conn, err := postgres.Connect(t.Context(), s.URL(to), postgres.Options{App: "envdb/test", Pin: true})
		if err != nil {
			t.Fatal(err)
		}
		scanned, err := logical.Scan(t.Context(), conn, loaded, logical.ScanOptions{Full: true, Jobs: 2})
		if err != nil || scanned.Samples < 3000 {
			t.Errorf("%s: scanned %+v, %v", name, scanned, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A rule of one partition moves its rows into partitions that have none, and
// rows from elsewhere may come into one that is kept.
func TestPartitionsWithRulesOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t)
	m, cat := takenFrom(t, s, loadSource(t, s, `
CREATE TABLE hashed (id text, v int) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT 'some value ' || i, i FROM generate_series(1, 500) AS i;
CREATE TABLE listed (k text, v int) PARTITION BY LIST (k);
CREATE TABLE listed_a PARTITION OF listed FOR VALUES IN ('a');
CREATE TABLE listed_b PARTITION OF listed FOR VALUES IN ('b');
INSERT INTO listed SELECT CASE WHEN i % 5 = 0 THEN 'a' ELSE 'b' END, i FROM generate_series(1, 500) AS i`))
	k, err := mask.NewKey("a secret for tests only")
	if err != nil {
		t.Fatal(err)
	}
	rules := &mask.Rules{File: "rules", Tables: []mask.TableRules{
		ruled("hashed_0", "id=hash"),
		ruled("listed", "k=sql CASE WHEN v % 2 = 0 THEN 'a' ELSE k END"), ruled("listed_a", "k=keep"),
	}}
	to, loaded := loadInto(t, s, m, cat, logical.Loading{Jobs: 2, Mask: &logical.Masking{Rules: rules, Key: k}})
	if _, err := checkCopy(t, s, to, cat, logical.Expect{Loaded: loaded}); err != nil {
		t.Error(err)
	}
	const hashed = "SELECT count(*), count(*) FILTER (WHERE id ~ '^[0-9a-f]{32}$') BETWEEN 100 AND 400, count(*) FILTER (WHERE tableoid = 'hashed_1'::regclass AND id !~ '^some') > 0 FROM hashed"
	if got := s.QueryText(t, to, hashed); got != "500|t|t" {
		t.Errorf("hashed: %s", got)
	}
	if got := s.QueryText(t, to, "SELECT count(*) FROM listed_a UNION ALL SELECT count(*) FROM listed_b"); got != "300\n200" {
		t.Errorf("listed: %s", got)
	}
	s.Exec(t, to, "DELETE FROM listed_a WHERE v = 2")
	if _, err := checkCopy(t, s, to, cat, logical.Expect{Loaded: loaded}); err == nil || !strings.Contains(err.Error(), "listed: 499 rows, 500 in the backup") {
		t.Errorf("a row that is lost: %v", err)
	}
}
