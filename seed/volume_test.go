package seed_test

import "testing"

func TestGenerate(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	loaded := d.mustLoad(t, `
CREATE TABLE shops (code text PRIMARY KEY);
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, boss int REFERENCES customers, email text NOT NULL UNIQUE, name text,
    key uuid, kind text NOT NULL, vip bool, code char(4) UNIQUE, settings jsonb, tags text[]);
CREATE TABLE stock (shop text REFERENCES shops, place int, PRIMARY KEY (shop, place));
CREATE TABLE orders (id bigserial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, shop text, place int, total numeric(10,2), at timestamptz, note text, number text,
    FOREIGN KEY (shop, place) REFERENCES stock);
CREATE INDEX orders_at ON orders (at); COMMENT ON INDEX orders_at IS 'it''s when'; CREATE UNIQUE INDEX ON orders (lower(number));
COMMENT ON CONSTRAINT orders_customer_id_fkey ON orders IS 'who'; COMMENT ON CONSTRAINT orders_pkey ON orders IS 'which';
ALTER TABLE orders ADD CONSTRAINT "one ""of" UNIQUE NULLS NOT DISTINCT (id, at) INCLUDE (note) DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE items (id int PRIMARY KEY, word text, UNIQUE (word) WITH (fillfactor = 50)); CREATE TABLE parts (item int REFERENCES items);
CREATE TABLE notes (id int PRIMARY KEY, note text); CREATE VIEW grouped AS SELECT id, note FROM notes GROUP BY id`,
		map[string]string{
			"shops.yml":     "- code: a\\b\n- code: \"tab\\there\"\n",
			"customers.yml": "- {id: 2, email: second, kind: odd}\n- {id: 40, email: fortieth, kind: odd}\n",
			"volume.yml": `
generate:
  orders:
    rows: 30k
    columns:
      id: sequence
      shop: {references: stock}
      place: {references: stock}
      total: {range: [-5, 99.99], decimals: 2, null: 10%}
      at: {time: ["1d ago", "in 1d"]}
      note: {text: [0, 30]}
      number: {format: "ORD-{row:06}-{id}", unique: true}
  customers:
    rows: 1_000
    columns:
      id: sequence
      boss: {references: customers, null: 0.5}
      name: {fake: name}
      email: {format: "user{id}@example.com"}
      key: uuid
      kind: {choice: [new, old, "a\tb"], weights: [8, 1, 1]}
      vip: {choice: {true: 1, false: 3}}
      code: {range: [1000, 9999], unique: true}
      settings: {value: {theme: dark}}
      tags: {choice: [[a, b], [], ~]}
  stock:
    rows: 10
    columns: {place: sequence}
  items:
    rows: 30_000
    columns: {id: sequence, word: {format: "word {row}"}}
  parts:
    rows: 10
    columns: {item: {references: items}}
  notes:
    rows: 30_000
    columns: {id: sequence}
`,
		})
	if loaded.Rows != 91024 {
		t.Errorf("%d rows", loaded.Rows)
	}
	d.want(t, "SELECT min(id), max(id), count(*), count(boss) BETWEEN 400 AND 600, count(DISTINCT key), count(DISTINCT code), count(*) FILTER (WHERE kind = E'a\\tb') > 0 FROM customers",
		"2|1040|1002|t|1000|1000|t")
	d.want(t, "SELECT count(*) FROM customers WHERE boss >= id AND id > 40", "0")
	d.want(t, "SELECT DISTINCT settings, tags FROM customers WHERE id > 40 ORDER BY 2", `{"theme": "dark"}|{}
{"theme": "dark"}|{a,b}
{"theme": "dark"}|`)
	d.want(t, "SELECT count(*), count(DISTINCT customer_id) > 900, count(DISTINCT (shop, place)), count(total) BETWEEN 26000 AND 28000, min(total) >= -5, max(total) < 100, min(length(note)), max(length(note)) FROM orders",
		"30000|t|10|t|t|t|0|30")
	d.want(t, "SELECT number FROM orders WHERE id = 17", "ORD-000017-17")
	d.want(t, "SELECT DISTINCT shop FROM orders ORDER BY 1", "a\\b\ntab\there")
	d.want(t, "INSERT INTO orders (customer_id) VALUES (2) RETURNING id", "30001")
	// What was set aside for the load is there again, as it was.
	d.want(t, `SELECT c.conname, c.convalidated, obj_description(c.oid, 'pg_constraint') FROM pg_constraint c WHERE conrelid = 'orders'::regclass ORDER BY 1`,
		"one \"of|t|\norders_customer_id_fkey|t|who\norders_pkey|t|which\norders_shop_place_fkey|t|")
	d.want(t, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname LIKE 'one%'`, "UNIQUE NULLS NOT DISTINCT (id, at) INCLUDE (note) DEFERRABLE INITIALLY DEFERRED")
	d.want(t, `SELECT conname, reloptions FROM pg_constraint c JOIN pg_class x ON x.oid = conindid WHERE conrelid IN ('items'::regclass, 'notes'::regclass) ORDER BY 1`,
		"items_pkey|\nitems_word_key|{fillfactor=50}\nnotes_pkey|")
	d.want(t, `SELECT indexrelid::regclass, indisvalid, obj_description(indexrelid, 'pg_class') FROM pg_index WHERE indrelid = 'orders'::regclass ORDER BY indexrelid::regclass::text`,
		"\"one \"\"of\"|t|\norders_at|t|it's when\norders_lower_idx|t|\norders_pkey|t|")
}
