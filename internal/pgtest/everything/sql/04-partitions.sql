SET ROLE "@owner@";

-- Range within list, with default partitions, and a partition with another
-- order of columns and a dropped one, in a parent that lost a column too.
CREATE TABLE parts.events (gone integer, id bigint, region text, at date NOT NULL, body text) PARTITION BY LIST (region);
ALTER TABLE parts.events DROP COLUMN gone;
CREATE TABLE parts.events_eu PARTITION OF parts.events FOR VALUES IN ('de', 'fr', 'it''s') PARTITION BY RANGE (at);
CREATE TABLE parts.events_eu_old PARTITION OF parts.events_eu FOR VALUES FROM (MINVALUE) TO ('2025-01-01');
CREATE TABLE parts.events_eu_2025 PARTITION OF parts.events_eu FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') WITH (fillfactor = 80);
CREATE TABLE parts.events_eu_rest PARTITION OF parts.events_eu DEFAULT;
CREATE TABLE parts.events_null PARTITION OF parts.events FOR VALUES IN (NULL);
CREATE TABLE parts.events_us (body text DEFAULT 'howdy', dropped integer, at date NOT NULL, region text, id bigint);
ALTER TABLE parts.events_us DROP COLUMN dropped;
ALTER TABLE parts.events ATTACH PARTITION parts.events_us FOR VALUES IN ('us');
CREATE TABLE parts.events_other PARTITION OF parts.events DEFAULT;
INSERT INTO parts.events
SELECT i, (ARRAY['de', 'fr', 'us', NULL, 'jp', 'it''s'])[1 + i % 6], date '2024-06-01' + i % 900, 'event ' || i FROM generate_series(1, 3000) AS i;
CREATE INDEX events_at ON parts.events (at);
CREATE UNIQUE INDEX events_us_id ON parts.events_us (id);
CREATE TABLE parts.not_attached (LIKE parts.events INCLUDING ALL);
INSERT INTO parts.not_attached VALUES (1, 'xx', '2026-01-01', 'alone');

-- Range over several columns and an expression, with MINVALUE and MAXVALUE.
CREATE TABLE parts.multi (a integer, b integer, c text) PARTITION BY RANGE (a, (b % 10));
CREATE TABLE parts.multi_low PARTITION OF parts.multi FOR VALUES FROM (MINVALUE, MINVALUE) TO (10, 5);
CREATE TABLE parts.multi_high PARTITION OF parts.multi FOR VALUES FROM (10, 5) TO (MAXVALUE, MAXVALUE);
INSERT INTO parts.multi SELECT i % 20, i, 'c' FROM generate_series(1, 200) AS i;

-- Hash over an enum: the hash is of the oid of the value, so a restored row may
-- belong into another partition.
CREATE TABLE parts.by_enum (colour types.colour, v integer) PARTITION BY HASH (colour);
CREATE TABLE parts.by_enum_0 PARTITION OF parts.by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE parts.by_enum_1 PARTITION OF parts.by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE parts.by_enum_2 PARTITION OF parts.by_enum FOR VALUES WITH (MODULUS 3, REMAINDER 2) PARTITION BY RANGE (v);
CREATE TABLE parts.by_enum_2_all PARTITION OF parts.by_enum_2 DEFAULT;
INSERT INTO parts.by_enum SELECT (enum_range(NULL::types.colour))[1 + i % 5], i FROM generate_series(1, 500) AS i;

-- Hash over text, with uneven moduli and an empty partition.
CREATE TABLE parts.by_text (k text PRIMARY KEY, v integer) PARTITION BY HASH (k);
CREATE TABLE parts.by_text_0 PARTITION OF parts.by_text FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts.by_text_1 PARTITION OF parts.by_text FOR VALUES WITH (MODULUS 4, REMAINDER 1);
CREATE TABLE parts.by_text_3 PARTITION OF parts.by_text FOR VALUES WITH (MODULUS 4, REMAINDER 3);
INSERT INTO parts.by_text SELECT 'k' || i, i FROM generate_series(1, 400) AS i;
CREATE TABLE parts.references_parts (k text REFERENCES parts.by_text);
INSERT INTO parts.references_parts SELECT 'k' || i FROM generate_series(1, 40) AS i;

-- List over a domain and a boolean expression; an unlogged and an empty root.
CREATE TABLE parts.by_code (code types.code, v integer, CHECK (v > 0)) PARTITION BY LIST ((code IS NULL));
CREATE TABLE parts.by_code_null PARTITION OF parts.by_code (v DEFAULT 5, CHECK (v < 100)) FOR VALUES IN (true);
CREATE TABLE parts.by_code_some PARTITION OF parts.by_code FOR VALUES IN (false);
INSERT INTO parts.by_code VALUES ('ABC', 1), (NULL, 2);
CREATE TABLE parts.no_partitions (id integer) PARTITION BY RANGE (id);
CREATE TABLE parts.serials (id bigserial, at date) PARTITION BY RANGE (at);
CREATE UNLOGGED TABLE parts.serials_all PARTITION OF parts.serials DEFAULT;
INSERT INTO parts.serials (at) SELECT date '2026-01-01' + i FROM generate_series(1, 10) AS i;

-- A foreign key between partitioned tables; indexes that were attached.
CREATE TABLE parts.lines (k text, n integer, FOREIGN KEY (k) REFERENCES parts.by_text ON DELETE CASCADE) PARTITION BY LIST (n);
CREATE TABLE parts.lines_1 PARTITION OF parts.lines FOR VALUES IN (1);
CREATE TABLE parts.lines_2 PARTITION OF parts.lines FOR VALUES IN (2);
INSERT INTO parts.lines SELECT 'k' || i, 1 + i % 2 FROM generate_series(1, 60) AS i;
CREATE INDEX lines_root ON ONLY parts.lines (k);
CREATE INDEX lines_of_1 ON parts.lines_1 (k);
CREATE INDEX lines_of_2 ON parts.lines_2 (k);
ALTER INDEX parts.lines_root ATTACH PARTITION parts.lines_of_1;
ALTER INDEX parts.lines_root ATTACH PARTITION parts.lines_of_2;

RESET ROLE;
