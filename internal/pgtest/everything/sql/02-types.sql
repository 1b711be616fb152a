CREATE SCHEMA AUTHORIZATION "@owner@";
CREATE SCHEMA types;
CREATE SCHEMA tables;
CREATE SCHEMA parts AUTHORIZATION "@owner@";
CREATE SCHEMA code;
CREATE SCHEMA views;
CREATE SCHEMA ext;
CREATE SCHEMA empty;
GRANT USAGE ON SCHEMA types TO PUBLIC;

-- Enums, whose values were not added in the order in which they sort.
CREATE TYPE types.colour AS ENUM ('red', 'green', 'it''s "odd"', 'Größe');
ALTER TYPE types.colour ADD VALUE 'amber' BEFORE 'green';
CREATE TYPE types.no_values AS ENUM ();

-- Composites, with a dropped and an added attribute.
CREATE TYPE types.point3 AS (x double precision, gone integer, y double precision);
ALTER TYPE types.point3 DROP ATTRIBUTE gone, ADD ATTRIBUTE z double precision;
CREATE TYPE types.nested AS (at types.point3, label text COLLATE "C", colours text[]);

-- Domains: with several checks, NOT VALID, a default, a collation, and a
-- domain over a domain, an array and a composite.
CREATE DOMAIN types.positive AS integer DEFAULT 1 NOT NULL CONSTRAINT above_zero CHECK (VALUE > 0);
CREATE DOMAIN types.small_positive AS types.positive CHECK (VALUE < 1000);
ALTER DOMAIN types.small_positive ADD CONSTRAINT even CHECK (VALUE % 2 = 0) NOT VALID;
CREATE DOMAIN types.code AS text COLLATE "C" CHECK (VALUE ~ '^[A-Z]+$');
CREATE DOMAIN types.pair AS integer[] CHECK (array_length(VALUE, 1) = 2);
CREATE DOMAIN types.place AS types.point3 CHECK (VALUE IS NULL OR (VALUE).x > 0);

-- Collations.
CREATE COLLATION types.libc_c (provider = libc, locale = 'C');
CREATE COLLATION types.german_phonebook (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION types.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

-- Ranges with a name for the multirange, a subtype_diff and a collation.
CREATE FUNCTION types.real_diff(real, real) RETURNS double precision
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN ($1 - $2)::double precision;
CREATE TYPE types.real_range AS RANGE (subtype = real, subtype_diff = types.real_diff, multirange_type_name = types.many_real_ranges);
CREATE TYPE types.text_range AS RANGE (subtype = text, collation = "C");

-- A base type in full: shell type, input and output, operators, operator
-- class and family, casts, and an aggregate.
CREATE TYPE types.shell_only;
CREATE TYPE types.rot;
CREATE FUNCTION types.rot_in(cstring) RETURNS types.rot LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION types.rot_out(types.rot) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE FUNCTION types.rot_recv(internal) RETURNS types.rot LANGUAGE internal IMMUTABLE STRICT AS 'int4recv';
CREATE FUNCTION types.rot_send(types.rot) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int4send';
CREATE TYPE types.rot (input = types.rot_in, output = types.rot_out, receive = types.rot_recv, send = types.rot_send,
    internallength = 4, passedbyvalue, alignment = int4, category = 'N', default = '13');
CREATE CAST (types.rot AS integer) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (integer AS types.rot) WITHOUT FUNCTION;
CREATE CAST (types.colour AS types.no_values) WITH INOUT AS IMPLICIT;
CREATE FUNCTION types.code_to_rot(types.point3) RETURNS types.rot LANGUAGE sql IMMUTABLE RETURN ($1).x::integer::types.rot;
CREATE CAST (types.point3 AS types.rot) WITH FUNCTION types.code_to_rot(types.point3);

CREATE FUNCTION types.rot_lt(types.rot, types.rot) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4lt';
CREATE FUNCTION types.rot_le(types.rot, types.rot) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4le';
CREATE FUNCTION types.rot_eq(types.rot, types.rot) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4eq';
CREATE FUNCTION types.rot_ge(types.rot, types.rot) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4ge';
CREATE FUNCTION types.rot_gt(types.rot, types.rot) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT AS 'int4gt';
CREATE FUNCTION types.rot_cmp(types.rot, types.rot) RETURNS integer LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp';
CREATE OPERATOR types.< (leftarg = types.rot, rightarg = types.rot, function = types.rot_lt, commutator = OPERATOR(types.>), negator = OPERATOR(types.>=), restrict = scalarltsel, join = scalarltjoinsel);
CREATE OPERATOR types.<= (leftarg = types.rot, rightarg = types.rot, function = types.rot_le, commutator = OPERATOR(types.>=), negator = OPERATOR(types.>));
CREATE OPERATOR types.= (leftarg = types.rot, rightarg = types.rot, function = types.rot_eq, commutator = OPERATOR(types.=), merges);
CREATE OPERATOR types.>= (leftarg = types.rot, rightarg = types.rot, function = types.rot_ge, commutator = OPERATOR(types.<=), negator = OPERATOR(types.<));
CREATE OPERATOR types.> (leftarg = types.rot, rightarg = types.rot, function = types.rot_gt, commutator = OPERATOR(types.<), negator = OPERATOR(types.<=));
CREATE OPERATOR types.!@ (rightarg = types.rot, function = types.rot_out);
CREATE OPERATOR FAMILY types.rot_family USING btree;
CREATE OPERATOR CLASS types.rot_class DEFAULT FOR TYPE types.rot USING btree FAMILY types.rot_family AS
    OPERATOR 1 types.<, OPERATOR 2 types.<=, OPERATOR 3 types.=, OPERATOR 4 types.>=, OPERATOR 5 types.>,
    FUNCTION 1 types.rot_cmp(types.rot, types.rot);
CREATE OPERATOR FAMILY types.lonely_family USING hash;
CREATE FUNCTION types.rot_bigger(types.rot, types.rot) RETURNS types.rot LANGUAGE internal IMMUTABLE STRICT AS 'int4larger';
CREATE AGGREGATE types.rot_max(types.rot) (sfunc = types.rot_bigger, stype = types.rot, combinefunc = types.rot_bigger, sortop = OPERATOR(types.>), parallel = safe);
CREATE AGGREGATE types.newest(ORDER BY anyelement) (sfunc = ordered_set_transition, stype = internal, finalfunc = mode_final, finalfunc_extra);
CREATE AGGREGATE types.moving(integer) (sfunc = int4_avg_accum, stype = int8[], initcond = '{0,0}', finalfunc = int8_avg,
    msfunc = int4_avg_accum, minvfunc = int4_avg_accum_inv, mstype = int8[], minitcond = '{0,0}', mfinalfunc = int8_avg);
