-- Names that need quoting: spaces, capitals, quotes, dots, unicode, keywords,
-- and 63 bytes.
CREATE SCHEMA "Odd schema, with ""quotes"" and a.dot" AUTHORIZATION "@odd@";
CREATE SCHEMA "schéma_ünï_数据_😀";
CREATE SCHEMA "select";
SET ROLE "@odd@";
CREATE TABLE "Odd schema, with ""quotes"" and a.dot"."Odd Table's ""name"" \ %s $1 --" (
    "Id" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "a column"  text DEFAULT 'it''s',
    "select"    integer,
    "ünïcode 数" numeric,
    "quo""te"   text,
    "new
line"           text,
    " "         boolean
);
INSERT INTO "Odd schema, with ""quotes"" and a.dot"."Odd Table's ""name"" \ %s $1 --" ("a column", "select", "new
line") SELECT 'v' || i, i, E'\n' FROM generate_series(1, 25) AS i;
CREATE SEQUENCE "Odd schema, with ""quotes"" and a.dot"."Odd ""Sequence""" START 12;
RESET ROLE;
CREATE TABLE "schéma_ünï_数据_😀"."table" ("from" integer CONSTRAINT "Odd check" CHECK ("from" <> 0), "where" text);
INSERT INTO "schéma_ünï_数据_😀"."table" VALUES (1, '😀'), (2, 'e' || U&'\0301');
CREATE TABLE "select"."table" ("order" integer PRIMARY KEY);
CREATE TABLE "select"."group" ("user" integer REFERENCES "select"."table" ON DELETE RESTRICT, "Select" text);
INSERT INTO "select"."table" VALUES (1);
INSERT INTO "select"."group" VALUES (1, NULL);
CREATE TABLE "select"."tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt63" ("cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc63" serial PRIMARY KEY, "ééééééééééééééééééééééééééééééé" text UNIQUE);
INSERT INTO "select"."tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt63" ("ééééééééééééééééééééééééééééééé") VALUES ('x'), (NULL), (NULL);
CREATE INDEX "Odd index ""name""" ON "select"."group" ("Select");
CREATE VIEW "select"."View ""of"" it" AS SELECT "user" AS "The User" FROM "select"."group";
CREATE MATERIALIZED VIEW "select"."Matview ""of"" it" AS SELECT "user" AS "The User" FROM "select"."group";
CREATE TYPE "select"."Odd Enum" AS ENUM ('A b', 'c"d');
CREATE TABLE public."SELECT" ("E" "select"."Odd Enum"[]);
INSERT INTO public."SELECT" VALUES ('{"A b","c\"d"}');
CREATE TABLE public.in_public (id integer);
INSERT INTO public.in_public VALUES (1);
