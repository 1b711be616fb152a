package main

import (
	"fmt"
	"strings"
)

// scale says how large the databases are.
type scale struct {
	name                       string
	accounts                   int // pgbench's scale: 100,000 accounts each
	customers, orders          int
	events, documents, largest int
	persons                    int
	generated                  int    // rows that a seed makes up
	space                      int64  // bytes of disk that all of it needs
	split                      string // above this size pgcopydb splits a table
}

// scales are those that can be chosen: full is what is published, small is
// for who tunes, tiny for the test of this program.
var scales = map[string]scale{
	"full":  {"full", 100, 1_000_000, 3_000_000, 12_400_000, 2_000_000, 2_000, 3_000_000, 1_000_000, 36 << 30, "500MB"},
	"small": {"small", 10, 100_000, 300_000, 1_240_000, 200_000, 300, 300_000, 100_000, 9 << 30, "50MB"},
	"tiny":  {"tiny", 1, 2_000, 6_000, 25_000, 2_000, 20, 3_000, 2_000, 2 << 30, "1MB"},
}

// database is one of the databases that are measured.
type database struct {
	name string
	// what says it in the report.
	what string
	// pgbench is the scale with which pgbench fills it first, or 0.
	pgbench int
	fill    []string
}

// shop is the whole database: pgbench's tables, customers and orders.
func (s scale) shop() database {
	return database{name: "shop", what: "whole database", pgbench: s.accounts, fill: []string{
		`CREATE TABLE customers (
			id bigint PRIMARY KEY, email text NOT NULL, name text NOT NULL,
			joined timestamptz NOT NULL, profile jsonb NOT NULL)`,
		fmt.Sprintf(`INSERT INTO customers SELECT i,
			'user' || i || '.' || left(md5(i::text), 6) || '@example.com',
			initcap(left(md5('first' || i), 5 + i %% 4)) || ' ' || initcap(left(md5('last' || i), 6 + i %% 5)),
			timestamptz '2020-01-01 00:00+00' + i * interval '97 seconds',
			jsonb_build_object('plan', (ARRAY['free', 'pro', 'team'])[1 + i %% 3], 'locale', (ARRAY['en-GB', 'de-DE', 'fr-FR', 'es-ES'])[1 + i %% 4],
				'address', jsonb_build_object('street', initcap(left(md5('street' || i), 9)) || ' ' || i %% 200, 'zip', lpad((i::bigint * 7919 %% 99999)::text, 5, '0')),
				'devices', jsonb_build_array(md5('device' || i), md5('phone' || i)), 'score', i * 31 %% 10007, 'newsletter', i %% 5 = 0)
			FROM generate_series(1, %d) i`, s.customers),
		`CREATE UNIQUE INDEX customers_email ON customers (email)`,
		`CREATE TABLE orders (
			id bigint PRIMARY KEY, customer bigint NOT NULL, placed timestamptz NOT NULL,
			state text NOT NULL, total numeric(12,2) NOT NULL, note text)`,
		fmt.Sprintf(`INSERT INTO orders SELECT i, 1 + abs(hashint8(i)::bigint) %% %d,
			timestamptz '2021-01-01 00:00+00' + i * interval '41 seconds',
			(ARRAY['placed', 'paid', 'shipped', 'returned'])[1 + i %% 4], (i::bigint * 7919 %% 100000) / 100.0,
			CASE WHEN i %% 3 = 0 THEN 'gift for ' || md5(i::text) END
			FROM generate_series(1, %d) i`, s.customers, s.orders),
		`CREATE INDEX orders_customer ON orders (customer)`,
		`CREATE INDEX orders_placed ON orders (placed)`,
		`ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES customers`,
	}}
}

// log is one table, in which splitting it counts.
func (s scale) log() database {
	return database{name: "log", what: "one table", fill: []string{
		`CREATE TABLE events (id bigint PRIMARY KEY, device int NOT NULL, at timestamptz NOT NULL, kind text NOT NULL,
			reading float8 NOT NULL, payload jsonb NOT NULL)`,
		fmt.Sprintf(`INSERT INTO events SELECT i, hashint8(i) & 65535, timestamptz '2026-01-01 00:00+00' + i * interval '700 milliseconds',
			(ARRAY['open', 'close', 'measure', 'alarm'])[1 + i %% 4], sin(i) * 1000, %s
			FROM generate_series(1, %d) i`, payload("i::text"), s.events),
	}}
}

// payload is the expression for a document of ~150 bytes that is different
// for each seed.
func payload(seed string) string {
	return strings.ReplaceAll(`jsonb_build_object('session', md5(seed), 'path', '/api/v2/items/' || abs(hashtext(seed)) % 100000,
		'ms', abs(hashtext('t' || seed)) % 4000, 'agent', 'client/' || abs(hashtext(seed)) % 40, 'ok', hashtext(seed) % 20 <> 0)`, "seed", seed)
}

// archive is one table of values that do not compress: 1 KB each, eight or
// seven on a page.
func (s scale) archive() database {
	return database{name: "archive", what: "one table of random 1 KB values", fill: []string{
		`CREATE TABLE documents (id bigint PRIMARY KEY, body bytea NOT NULL)`,
		`ALTER TABLE documents ALTER body SET STORAGE PLAIN`,
		fmt.Sprintf(`INSERT INTO documents SELECT i, %s FROM generate_series(1, %d) i`, noise("i::text", 16), s.documents),
	}}
}

// noise is the expression for n × 64 bytes that do not compress.
func noise(seed string, n int) string {
	return fmt.Sprintf(`(SELECT string_agg(sha512((%s || '/' || part)::bytea), '' ORDER BY part) FROM generate_series(1, %d) part)`, seed, n)
}

// albums is one table of values of 1 MB that do not compress.
func (s scale) albums() database {
	return database{name: "albums", what: "a table of 1 MB values", fill: []string{
		`CREATE TABLE pictures (id bigint PRIMARY KEY, body bytea NOT NULL)`,
		`ALTER TABLE pictures ALTER body SET STORAGE EXTERNAL`,
		fmt.Sprintf(`INSERT INTO pictures SELECT i, %s FROM generate_series(1, %d) i`, noise("i::text", 1<<20/64), s.largest),
	}}
}

// desk is a small database: how large it is does not matter to a promote,
// which renames.
func (s scale) desk() database {
	return database{name: "desk", what: "a small database", pgbench: 1}
}

// databases returns all of them.
func (s scale) databases() []database {
	return []database{s.shop(), s.log(), s.archive(), s.albums(), s.people(), s.desk()}
}
