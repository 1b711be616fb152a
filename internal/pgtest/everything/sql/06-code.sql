-- Functions of every kind.
CREATE FUNCTION code.add(a integer, b integer DEFAULT 1, OUT total integer) LANGUAGE sql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 5 AS 'SELECT a + b';
CREATE FUNCTION code.atomic(a integer) RETURNS text LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT name FROM tables.plain WHERE id = a;
    SELECT max(name) || 'x' FROM tables.plain GROUP BY id LIMIT 1;
END;
CREATE FUNCTION code.by_primary_key() RETURNS SETOF bigint LANGUAGE sql BEGIN ATOMIC SELECT length(name)::bigint FROM tables.plain GROUP BY id; END;
CREATE FUNCTION code.rows_of(VARIADIC texts text[]) RETURNS TABLE (n integer, "Odd Name" text) LANGUAGE plpgsql ROWS 7 SECURITY DEFINER
    SET search_path = pg_catalog, "$user" SET work_mem = '8MB' AS $body$
-- a body with $$ dollars, 'quotes' and \ backslashes
BEGIN
    RETURN QUERY SELECT i, texts[i] FROM generate_series(1, array_length(texts, 1)) AS i;
END $body$;
CREATE FUNCTION code.poly(anyelement, anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT coalesce($1, $2[1])';
CREATE FUNCTION code.supported(integer) RETURNS integer LANGUAGE internal IMMUTABLE WINDOW AS 'window_row_number';
CREATE FUNCTION code.setof_table() RETURNS SETOF tables.plain LANGUAGE sql AS 'SELECT * FROM tables.plain';
CREATE FUNCTION code.of_column(x tables.plain) RETURNS text LANGUAGE sql RETURN x.name;
CREATE PROCEDURE code.proc(INOUT a integer, b text DEFAULT 'it''s') LANGUAGE plpgsql AS 'BEGIN a := a + 1; COMMIT; END';
CREATE PROCEDURE code.atomic_proc() LANGUAGE sql BEGIN ATOMIC DELETE FROM tables.empty; END;
CREATE FUNCTION code."Quoted ""name"""("a b" integer) RETURNS integer LANGUAGE sql RETURN "a b";
ALTER FUNCTION code."Quoted ""name""" OWNER TO "@odd@";

-- A language, and a transform. pg_dump wants the handler to be no function of the system's.
CREATE FUNCTION code.pl_call() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE FUNCTION code.pl_inline(internal) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE FUNCTION code.pl_validate(oid) RETURNS void LANGUAGE c STRICT AS '$libdir/plpgsql', 'plpgsql_validator';
CREATE LANGUAGE pl_again HANDLER code.pl_call INLINE code.pl_inline VALIDATOR code.pl_validate;
CREATE TRUSTED LANGUAGE pl_trusted HANDLER code.pl_call;
CREATE FUNCTION code.in_pl_again() RETURNS integer LANGUAGE pl_again AS 'BEGIN RETURN 1; END';
CREATE TRANSFORM FOR integer LANGUAGE pl_again (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));

-- Text search, conversion.
CREATE TEXT SEARCH TEMPLATE code.template (lexize = dsimple_lexize, init = dsimple_init);
CREATE TEXT SEARCH PARSER code.parser (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype, headline = prsd_headline);
CREATE TEXT SEARCH DICTIONARY code.dictionary (template = code.template, accept = false);
CREATE TEXT SEARCH CONFIGURATION code.configuration (parser = code.parser);
ALTER TEXT SEARCH CONFIGURATION code.configuration ADD MAPPING FOR asciiword, word WITH code.dictionary, english_stem;
CREATE CONVERSION code.conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TABLE code.searched (body text, ts tsvector GENERATED ALWAYS AS (to_tsvector('code.configuration', body)) STORED);
INSERT INTO code.searched VALUES ('The quick brown foxes'), (NULL);

-- Triggers of every kind. What they would write if they saw a restore would
-- be a difference in code.log.
CREATE TABLE code.log (what text, n integer);
CREATE TABLE code.watched (id integer PRIMARY KEY, v text);
CREATE TABLE code.watched_parts (id integer, v text) PARTITION BY RANGE (id);
CREATE TABLE code.watched_parts_1 PARTITION OF code.watched_parts FOR VALUES FROM (0) TO (100);
CREATE TABLE code.watched_parts_2 PARTITION OF code.watched_parts DEFAULT;
CREATE FUNCTION code.write_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO code.log VALUES (TG_NAME || ' ' || TG_OP, TG_NARGS);
    RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION code.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO code.log SELECT TG_NAME, count(*) FROM new_rows;
    RETURN NULL;
END $$;
INSERT INTO code.watched SELECT i, 'v' || i FROM generate_series(1, 20) AS i;
INSERT INTO code.watched_parts SELECT i * 10, 'p' || i FROM generate_series(1, 20) AS i;
CREATE TRIGGER each_row BEFORE INSERT OR UPDATE OF v OR DELETE ON code.watched FOR EACH ROW WHEN (pg_trigger_depth() < 5) EXECUTE FUNCTION code.write_log('an arg', 'it''s', E'back\\slash');
CREATE TRIGGER each_statement AFTER TRUNCATE ON code.watched FOR EACH STATEMENT EXECUTE FUNCTION code.write_log();
CREATE TRIGGER always AFTER INSERT ON code.watched FOR EACH ROW EXECUTE FUNCTION code.write_log();
CREATE TRIGGER replica_only AFTER INSERT ON code.watched FOR EACH ROW EXECUTE FUNCTION code.write_log();
CREATE TRIGGER disabled AFTER INSERT ON code.watched FOR EACH ROW EXECUTE FUNCTION code.write_log();
CREATE TRIGGER with_rows AFTER INSERT ON code.watched REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION code.count_rows();
CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT OR UPDATE ON code.watched FROM tables.parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION code.write_log();
CREATE TRIGGER "Odd ""trigger" BEFORE INSERT ON code.watched_parts FOR EACH ROW EXECUTE FUNCTION code.write_log();
ALTER TABLE code.watched ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica_only, DISABLE TRIGGER disabled;
ALTER TABLE code.watched_parts_2 DISABLE TRIGGER "Odd ""trigger";
ALTER TRIGGER always ON code.watched DEPENDS ON EXTENSION plpgsql;

-- Rules.
CREATE RULE notify_rule AS ON INSERT TO code.watched DO ALSO NOTIFY "a channel";
CREATE RULE instead_rule AS ON DELETE TO code.watched WHERE old.id = 1 DO INSTEAD NOTHING;
CREATE RULE disabled_rule AS ON UPDATE TO code.watched DO ALSO INSERT INTO code.log VALUES ('rule', new.id);
ALTER TABLE code.watched DISABLE RULE disabled_rule, ENABLE ALWAYS RULE instead_rule;

-- Row-level security.
CREATE TABLE code.secret (id integer, owner_name name, v text);
INSERT INTO code.secret SELECT i, 'nobody', 's' || i FROM generate_series(1, 30) AS i;
ALTER TABLE code.secret OWNER TO "@owner@";
ALTER TABLE code.secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY readers ON code.secret AS PERMISSIVE FOR SELECT TO "@reader@", "@odd@" USING (owner_name = current_user OR EXISTS (SELECT FROM tables.plain WHERE plain.id = secret.id));
CREATE POLICY never ON code.secret AS RESTRICTIVE FOR ALL USING (id > 0) WITH CHECK (v <> 'it''s "forbidden"');
CREATE POLICY "Odd policy" ON code.secret FOR INSERT WITH CHECK (true);
CREATE TABLE code.policy_without_rls (id integer);
CREATE POLICY dormant ON code.policy_without_rls USING (false);
CREATE TABLE code.rls_without_policy (id integer);
INSERT INTO code.rls_without_policy VALUES (1);
ALTER TABLE code.rls_without_policy ENABLE ROW LEVEL SECURITY;
