-- Roles are of the cluster: "@prefix@" keeps the tests of one cluster apart.
CREATE ROLE "@owner@" LOGIN PASSWORD 'owner' CREATEDB;
CREATE ROLE "@reader@" NOLOGIN;
CREATE ROLE "@writer@" LOGIN CONNECTION LIMIT 7 VALID UNTIL '2035-01-01 00:00:00+00';
CREATE ROLE "@odd@" LOGIN NOINHERIT;
CREATE ROLE "@long@" NOLOGIN BYPASSRLS;
GRANT "@reader@" TO "@writer@" WITH ADMIN OPTION;
GRANT "@reader@" TO "@odd@";
