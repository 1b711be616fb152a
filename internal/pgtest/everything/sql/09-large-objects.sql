-- Empty, small, larger than a megabyte, and sparse: only its first and its
-- 600th page are there.
CREATE TABLE tables.documents (name text, lo oid);
DO $$
DECLARE
    lo oid;
    fd integer;
BEGIN
    INSERT INTO tables.documents VALUES
        ('empty', lo_create(0)),
        ('small', lo_from_bytea(0, '\x00017fff5c0a')),
        ('page', lo_from_bytea(0, decode(repeat('ab', 2048), 'hex'))),
        ('large', lo_from_bytea(0, decode((SELECT string_agg(md5(i::text), '' ORDER BY i) FROM generate_series(1, 80000) AS i), 'hex'))),
        ('owned', lo_from_bytea(0, 'owned by another'));
    lo := lo_create(0);
    INSERT INTO tables.documents VALUES ('sparse', lo);
    PERFORM lo_put(lo, 0, 'begin');
    PERFORM lo_put(lo, 600 * 2048 + 17, 'end');
    lo := lo_create(0);
    INSERT INTO tables.documents VALUES ('truncated', lo);
    PERFORM lo_put(lo, 5000, 'cut');
    fd := lo_open(lo, 131072);
    PERFORM lo_truncate(fd, 4000), lo_close(fd);
    -- One that no row points to, with a number of its own.
    PERFORM lo_from_bytea((SELECT max(oid)::bigint + 1000 FROM pg_largeobject_metadata)::oid, 'orphan');

    FOR lo IN SELECT d.lo FROM tables.documents AS d WHERE name IN ('owned', 'sparse') LOOP
        EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %I', lo, '@owner@');
        EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I WITH GRANT OPTION', lo, '@odd@');
        EXECUTE format('GRANT UPDATE ON LARGE OBJECT %s TO PUBLIC', lo);
    END LOOP;
    SELECT d.lo INTO lo FROM tables.documents AS d WHERE name = 'small';
    EXECUTE format('REVOKE ALL ON LARGE OBJECT %s FROM CURRENT_USER', lo);
    EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO %I', lo, '@reader@');
    SELECT d.lo INTO lo FROM tables.documents AS d WHERE name = 'large';
    EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', lo, E'It''s a "large"\nobject \\ with a comment');
END $$;
