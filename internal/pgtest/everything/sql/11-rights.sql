-- Rights on every class of object, with and without the grant option.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA tables, code, types, views, ext TO "@reader@";
GRANT USAGE ON SCHEMA views TO "@owner@";
GRANT SELECT ON views.z_first TO "@owner@"; -- which owns and refreshes views.m_second
GRANT USAGE, CREATE ON SCHEMA code TO "@writer@" WITH GRANT OPTION;
GRANT USAGE ON SCHEMA "select" TO "@odd@", "@long@";
GRANT SELECT ON ALL TABLES IN SCHEMA tables TO "@reader@";
GRANT ALL ON tables.plain TO "@writer@" WITH GRANT OPTION;
SET ROLE "@writer@";
GRANT SELECT, INSERT ON tables.plain TO "@odd@";
RESET ROLE;
GRANT SELECT (id, name), UPDATE (name), INSERT (name), REFERENCES (id) ON tables.plain TO "@long@";
GRANT TRUNCATE, TRIGGER ON tables.child TO "@odd@";
REVOKE ALL ON tables.empty FROM CURRENT_USER;
REVOKE UPDATE ON parts.events_us FROM "@owner@";
GRANT SELECT ON parts.events TO PUBLIC;
GRANT SELECT ON views.simple, views.z_first TO "@reader@";
GRANT SELECT ("user") ON "select"."group" TO "@odd@";
GRANT USAGE, SELECT ON SEQUENCE tables.called_once TO "@writer@";
GRANT UPDATE ON SEQUENCE tables.negative TO PUBLIC;
REVOKE EXECUTE ON FUNCTION code.add(integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION code.add(integer, integer) TO "@reader@" WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE code.proc(integer, text) TO "@odd@";
GRANT EXECUTE ON FUNCTION types.rot_max(types.rot) TO "@odd@";
REVOKE USAGE ON TYPE types.colour FROM PUBLIC;
GRANT USAGE ON TYPE types.colour TO "@reader@";
GRANT USAGE ON TYPE types.positive TO "@odd@" WITH GRANT OPTION;
REVOKE USAGE ON LANGUAGE pl_trusted FROM PUBLIC;
GRANT USAGE ON LANGUAGE pl_trusted TO "@owner@";
GRANT USAGE ON FOREIGN DATA WRAPPER no_handler TO "@owner@" WITH GRANT OPTION;
GRANT USAGE ON FOREIGN SERVER loopback, "Odd server" TO "@writer@";
GRANT SELECT ON ext.remote TO "@reader@";
GRANT SELECT ON pg_catalog.pg_authid TO "@long@"; -- rights on a system catalogue
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;

-- Owners of every class.
ALTER TABLE tables.indexed OWNER TO "@owner@";
ALTER TYPE types.nested OWNER TO "@owner@";
ALTER DOMAIN types.code OWNER TO "@odd@";
ALTER SEQUENCE tables.set_called OWNER TO "@writer@";
ALTER VIEW views.windows OWNER TO "@long@";
ALTER COLLATION types.blind OWNER TO "@owner@";
ALTER AGGREGATE types.moving(integer) OWNER TO "@owner@";
ALTER OPERATOR types.!@ (NONE, types.rot) OWNER TO "@owner@";
ALTER OPERATOR CLASS types.rot_class USING btree OWNER TO "@owner@";
ALTER OPERATOR FAMILY types.lonely_family USING hash OWNER TO "@owner@";
ALTER TEXT SEARCH DICTIONARY code.dictionary OWNER TO "@owner@";
ALTER TEXT SEARCH CONFIGURATION code.configuration OWNER TO "@odd@";
ALTER CONVERSION code.conversion OWNER TO "@owner@";
ALTER PROCEDURE code.atomic_proc() OWNER TO "@odd@";
ALTER SCHEMA empty OWNER TO "@long@";

-- Default privileges, global and per schema, granting and revoking.
ALTER DEFAULT PRIVILEGES FOR ROLE "@owner@" GRANT SELECT ON TABLES TO "@reader@";
ALTER DEFAULT PRIVILEGES FOR ROLE "@owner@" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "@owner@" IN SCHEMA parts GRANT INSERT ON TABLES TO "@writer@" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE "@odd@" IN SCHEMA "select" GRANT USAGE ON SEQUENCES TO PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "@odd@" REVOKE USAGE ON TYPES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE "@writer@" GRANT CREATE ON SCHEMAS TO "@reader@";
