// Package logical reads one PostgreSQL database, whole and consistent, into a
// backup, and builds a database from one: COPY for the rows, pg_dump's archive
// for the schema.
//
// The one idea in it: everything is read in one exported snapshot, and what
// that snapshot held is written down (rows, fingerprints, objects), so that a
// restore can be compared with it.
package logical
