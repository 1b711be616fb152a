// Package archive reads the table of contents of a custom-format archive, as
// `pg_dump -Fc --schema-only` writes it, and says which statements rebuild
// each object.
//
// The one idea in it: the table of contents is a graph of small scripts. Who
// holds that graph can run what does not depend on each other in parallel, in
// the middle of loading rows, without pg_restore.
package archive
