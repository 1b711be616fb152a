-- What watches the database, and how it is set. It comes last, because what is
-- above would be seen by it.

-- Event triggers. The first would write into code.log if it saw a restore.
CREATE FUNCTION code.on_event() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO code.log VALUES (TG_EVENT || ' ' || TG_TAG, 0);
END $$;
CREATE EVENT TRIGGER "Odd event ""trigger""" ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE INDEX', 'CREATE VIEW') EXECUTE FUNCTION code.on_event();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION code.on_event();
CREATE EVENT TRIGGER disabled_one ON ddl_command_start EXECUTE FUNCTION code.on_event();
CREATE EVENT TRIGGER always_one ON table_rewrite EXECUTE FUNCTION code.on_event();
ALTER EVENT TRIGGER disabled_one DISABLE;
ALTER EVENT TRIGGER always_one ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER on_drop IS 'on an event trigger';

-- Publications.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, truncate', publish_via_partition_root = true);
CREATE PUBLICATION some_tables FOR TABLE tables.plain (id, name) WHERE (id > 5), ONLY tables.animal, parts.events WITH (publish = 'insert');
CREATE PUBLICATION a_schema FOR TABLES IN SCHEMA tables, "select" WITH (publish = 'insert');
CREATE PUBLICATION "Odd publication" WITH (publish = '');
COMMENT ON PUBLICATION everything IS 'on a publication';

-- A subscription that was never connected.
CREATE SUBSCRIPTION "Odd subscription" CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere user=nobody password=it''s'
    PUBLICATION a, "B c" WITH (connect = false, slot_name = NONE, binary = true, streaming = true, two_phase = false, synchronous_commit = 'remote_apply');
COMMENT ON SUBSCRIPTION "Odd subscription" IS 'on a subscription';

-- Settings of the database, of roles in it, and its comment.
DO $$
DECLARE
    db text := current_database();
BEGIN
    EXECUTE format('ALTER DATABASE %I SET work_mem = ''7MB''', db);
    EXECUTE format('ALTER DATABASE %I SET search_path = public, "select", "$user"', db);
    EXECUTE format('ALTER DATABASE %I SET statement_timeout = ''10min''', db);
    EXECUTE format('ALTER DATABASE %I SET "TimeZone" = ''America/New_York''', db);
    EXECUTE format('ALTER DATABASE %I SET "DateStyle" = ''German, DMY''', db);
    EXECUTE format('ALTER DATABASE %I SET extra_float_digits = -5', db);
    EXECUTE format('ALTER DATABASE %I SET shop.api_url = %L', db, 'https://it''s.example.com/?a=b,c');
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET work_mem = ''9MB''', '@owner@', db);
    EXECUTE format('ALTER ROLE %I IN DATABASE %I SET "shop"."tenant" = ''seven''', '@odd@', db);
    EXECUTE format('COMMENT ON DATABASE %I IS %L', db, E'It''s "everything"\nin one');
    EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', db, '@writer@');
END $$;
