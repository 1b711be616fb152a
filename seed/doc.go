// Package seed fills an empty database: extensions, migrations, then fixtures.
//
// A [Spec] names the inputs, [Read] reads all of them at once into a [Set], and
// the set migrates, loads and tells its digest. The one idea in it is that the
// inputs alone decide the rows. Whatever a row may depend on is read beforehand
// and stands in the digest (templates with the files and variables they read,
// the clock where it was asked for, the server's version), random data has its
// seed in the names of file, table and column, and what the set cannot hold
// still (a column default such as now()) is found in the catalogue and listed.
// So the same digest means the same rows, and a copy may stand for a rebuild.
//
// Loading needs no superuser and never disables a trigger: tables come in the
// order of their foreign keys, and where these go in circles a deferrable
// constraint is deferred or a nullable column filled in afterwards.
package seed
