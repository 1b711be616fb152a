// Package backup keeps backups in a store: it takes, lists, opens and verifies
// them, and marks what is known of them. docs/format.md is the format.
//
// The one idea: a backup is its manifest, written last, once everything it
// refers to is durable. Data lies in packs that never change, and a backup
// refers to the chunks of its base instead of storing them again; there is no
// global index that could be wrong. It knows nothing of databases: a backup is
// a set of named parts, each a sequence of chunks.
package backup
