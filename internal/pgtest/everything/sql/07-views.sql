CREATE VIEW views.simple AS SELECT id, name, price FROM tables.plain WHERE price > 10 WITH LOCAL CHECK OPTION;
CREATE VIEW views.on_view WITH (security_barrier) AS SELECT id, name AS "Odd ""Name" FROM views.simple WITH CASCADED CHECK OPTION;
CREATE VIEW views.invoker WITH (security_invoker) AS SELECT * FROM tables.child;
ALTER VIEW views.simple ALTER COLUMN price SET DEFAULT 11;
CREATE RECURSIVE VIEW views.ancestors (id, depth) AS SELECT id, 1 FROM tables.child WHERE id = 1 UNION ALL SELECT c.self, depth + 1 FROM tables.child AS c JOIN ancestors USING (id) WHERE depth < 5;
-- Valid only thanks to the primary key, which is built after the data.
CREATE VIEW views.needs_key AS SELECT id, name, price, count(*) AS n FROM tables.plain GROUP BY id;
-- Two views that need each other, by way of a rule.
CREATE VIEW views.egg AS SELECT 1 AS id;
CREATE VIEW views.hen AS SELECT id FROM views.egg;
CREATE OR REPLACE RULE "_RETURN" AS ON SELECT TO views.egg DO INSTEAD SELECT (SELECT count(*)::integer FROM tables.plain) AS id;
CREATE VIEW views.instead AS SELECT id, v FROM code.watched;
CREATE TRIGGER instead_of INSTEAD OF INSERT OR UPDATE ON views.instead FOR EACH ROW EXECUTE FUNCTION code.write_log();
CREATE RULE instead_delete AS ON DELETE TO views.instead DO INSTEAD SELECT 1;
CREATE VIEW views.no_columns AS SELECT;
CREATE VIEW views.calls AS SELECT code.add(1) AS one, code.of_column(p.*) AS name, types.rot_max(p.late::types.rot) OVER () AS top FROM tables.plain AS p;
CREATE VIEW views.windows AS SELECT id, sum(price) OVER w AS running, row_number() OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS rn, 'x'::text COLLATE "C" AS c FROM tables.plain WINDOW w AS (PARTITION BY colour ORDER BY id);

-- Materialised views: on tables, on each other (against the order of their
-- names), on functions, through a view, and two that are not populated.
CREATE MATERIALIZED VIEW views.z_first AS SELECT colour, count(*) AS n, sum(price) AS total FROM tables.plain GROUP BY colour;
CREATE UNIQUE INDEX z_first_colour ON views.z_first (colour) NULLS NOT DISTINCT;
CREATE MATERIALIZED VIEW views.m_second WITH (fillfactor = 75) AS SELECT n, total FROM views.z_first WHERE n > 0;
CREATE INDEX m_second_n ON views.m_second (n DESC) INCLUDE (total);
CREATE VIEW views.between AS SELECT n * 2 AS n2 FROM views.m_second;
CREATE MATERIALIZED VIEW views.a_third AS SELECT n2, code.add(n2::integer, 1) AS plus FROM views.between;
CREATE FUNCTION code.reads_matview() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM views.a_third';
CREATE MATERIALIZED VIEW views.on_function AS SELECT code.atomic(1000) AS name, n FROM code.by_primary_key() AS n;
CREATE MATERIALIZED VIEW views.of_keyed_view AS SELECT id, n FROM views.needs_key;
CREATE MATERIALIZED VIEW views.unpopulated AS SELECT * FROM tables.indexed WITH NO DATA;
CREATE INDEX unpopulated_id ON views.unpopulated (id);
CREATE MATERIALIZED VIEW views.on_unpopulated AS SELECT id FROM views.unpopulated WITH NO DATA;
CREATE MATERIALIZED VIEW views."Empty matview" AS SELECT 1 AS one WHERE false;
CREATE STATISTICS views.on_matview ON n, total FROM views.m_second;
ALTER MATERIALIZED VIEW views.m_second ALTER COLUMN n SET STATISTICS 55, OWNER TO "@owner@";
