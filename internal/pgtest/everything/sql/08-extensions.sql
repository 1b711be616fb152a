CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION pg_trgm SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION ltree SCHEMA ext VERSION '1.2';
CREATE EXTENSION cube;
CREATE EXTENSION earthdistance;
CREATE EXTENSION file_fdw;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION "uuid-ossp" SCHEMA ext;
COMMENT ON EXTENSION hstore IS 'with a comment of its own';
CREATE TABLE ext.uses (h ext.hstore, c ext.citext PRIMARY KEY, l ext.ltree, q cube DEFAULT '(1,2)', u uuid DEFAULT ext.uuid_nil(),
    EXCLUDE USING gist (l ext.gist_ltree_ops WITH OPERATOR(ext.=), u ext.gist_uuid_ops WITH =) WHERE (l IS NOT NULL));
INSERT INTO ext.uses (h, c, l) VALUES ('a=>1, "b c"=>NULL', 'MixedCase', 'Top.Science'), (NULL, 'other', 'Top.Arts');
CREATE INDEX uses_trigram ON ext.uses USING gin ((c::text) ext.gin_trgm_ops);
CREATE INDEX uses_earth ON ext.uses USING gist (q);
-- A schema that is not an extension's but depends on one, and rights on members.
CREATE FUNCTION ext.depends() RETURNS ext.citext LANGUAGE sql RETURN 'x'::ext.citext;
ALTER FUNCTION ext.depends() DEPENDS ON EXTENSION citext;
REVOKE EXECUTE ON FUNCTION ext.uuid_nil() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ext.uuid_nil() TO "@reader@";

-- Foreign data.
CREATE FOREIGN DATA WRAPPER no_handler OPTIONS (debug 'true', "Odd option" 'it''s');
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE SERVER "Odd server" TYPE 'a type' VERSION '1.0' FOREIGN DATA WRAPPER no_handler OPTIONS (host 'x');
CREATE SERVER loopback FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'nowhere');
CREATE USER MAPPING FOR PUBLIC SERVER loopback OPTIONS ("user" 'public', password 'secret');
CREATE USER MAPPING FOR "@owner@" SERVER loopback OPTIONS ("user" 'remote', password 'it''s secret');
CREATE USER MAPPING FOR "@odd@" SERVER "Odd server" OPTIONS ("key" 'v');
ALTER SERVER loopback OWNER TO "@owner@";
CREATE FOREIGN TABLE ext.remote (id integer OPTIONS (column_name 'remote id') NOT NULL, v text DEFAULT 'd' COLLATE "C", CHECK (id > 0)) SERVER loopback OPTIONS (schema_name 's', table_name 'it''s');
CREATE FOREIGN TABLE ext.file (line text) SERVER files OPTIONS (filename '/dev/null', format 'text');
CREATE TABLE ext.partitioned (id integer, v text) PARTITION BY RANGE (id);
CREATE TABLE ext.local_part PARTITION OF ext.partitioned FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE ext.remote_part PARTITION OF ext.partitioned FOR VALUES FROM (10) TO (20) SERVER loopback;
INSERT INTO ext.partitioned VALUES (1, 'local');
