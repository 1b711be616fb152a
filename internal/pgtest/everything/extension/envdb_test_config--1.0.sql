CREATE TABLE @extschema@.preferences (name text PRIMARY KEY, value text, builtin boolean NOT NULL DEFAULT false);
INSERT INTO @extschema@.preferences VALUES ('limit', '10', true), ('mode', 'strict', true);
SELECT pg_catalog.pg_extension_config_dump('@extschema@.preferences', 'WHERE NOT builtin');

CREATE SEQUENCE @extschema@.job_number START 100;
SELECT pg_catalog.pg_extension_config_dump('@extschema@.job_number', '');
CREATE TABLE @extschema@.jobs (
    id integer PRIMARY KEY DEFAULT nextval('@extschema@.job_number'),
    preference text REFERENCES @extschema@.preferences,
    command text NOT NULL
);
SELECT pg_catalog.pg_extension_config_dump('@extschema@.jobs', '');

CREATE TABLE @extschema@.not_configuration (note text);
INSERT INTO @extschema@.not_configuration VALUES ('comes with the extension');
