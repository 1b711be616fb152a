package logical

import (
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/backup"
)

// The parts of a logical backup that are not a table's rows. Table data is in
// parts named by Table.Part.
const (
	PartCatalogue    = "catalogue"            // Catalogue as JSON
	PartArchive      = "archive"              // pg_dump -Fc --schema-only
	PartBlobMetadata = "large-objects/owners" // one LargeObject as JSON per line
	PartBlobData     = "large-objects/pages"  // binary COPY rows (loid, pageno, data), without header and trailer
	catalogueVersion = 1
)

// Catalogue is everything about a database that is neither in pg_dump's schema
// nor a row of a table, read in the backup's snapshot.
type Catalogue struct {
	Version int `json:"version"`

	Server   Server   `json:"server"`
	Database Database `json:"database"`
	// Snapshot is the full text of pg_current_snapshot().
	Snapshot string `json:"snapshot"`
	// Point is the source's clock inside the snapshot.
	Point time.Time `json:"point"`

	// SequencesState is a hash of all sequences' values, taken before they were
	// read; empty if not every one may be read.
	SequencesState string `json:"sequences_state,omitempty"`

	Roles             []backup.Role      `json:"roles"`
	Extensions        []Extension        `json:"extensions"`
	Tables            []Table            `json:"tables"`
	Sequences         []Sequence         `json:"sequences"`
	MaterializedViews []MaterializedView `json:"materialized_views"` // in the order of their dependencies
	Publications      []string           `json:"publications"`
	Subscriptions     []string           `json:"subscriptions"`
	EventTriggers     []EventTrigger     `json:"event_triggers"`
	LargeObjects      LargeObjects       `json:"large_objects"`
	// Objects is the inventory that a restore is checked against.
	Objects []Object `json:"objects"`

	Migration *backup.Migration `json:"migration,omitempty"`
	Release   string            `json:"release,omitempty"`
	// Notes are decisions that a person should know of, one sentence each.
	Notes []string `json:"notes,omitempty"`
}

// Server is the server that a backup was taken from.
type Server struct {
	VersionNum       int       `json:"version_num"` // server_version_num, e.g. 150018
	Version          string    `json:"version"`
	SystemIdentifier string    `json:"system_identifier"`
	Timeline         int       `json:"timeline"`
	PostmasterStart  time.Time `json:"postmaster_start"`
	Standby          bool      `json:"standby"`
	BlockSize        int       `json:"block_size"`
}

// Database is what CREATE DATABASE and ALTER DATABASE set. Setting values are
// as in pg_db_role_setting.
type Database struct {
	Name             string    `json:"name"`
	OID              uint32    `json:"oid"`
	Owner            string    `json:"owner"`
	Encoding         string    `json:"encoding"`
	LocaleProvider   string    `json:"locale_provider"` // "c" libc, "i" ICU, "b" builtin
	Collate          string    `json:"collate"`
	CType            string    `json:"ctype"`
	Locale           string    `json:"locale,omitempty"`    // ICU or builtin locale
	ICURules         string    `json:"icu_rules,omitempty"` // 16 and later
	CollationVersion string    `json:"collation_version,omitempty"`
	Tablespace       string    `json:"tablespace"`
	ConnectionLimit  int       `json:"connection_limit"`
	ACL              []string  `json:"acl"` // aclitem texts; nil means the default
	Comment          string    `json:"comment,omitempty"`
	Settings         []Setting `json:"settings"`
	Size             int64     `json:"size"` // pg_database_size, bytes
}

// Setting is one entry of pg_db_role_setting for the database. An empty Role
// is a setting of the database for everyone.
type Setting struct {
	Role  string `json:"role,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Extension is an installed extension.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Schema  string `json:"schema"`
}

// Table is a table whose rows the backup holds.
type Table struct {
	Part    string   `json:"part"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Columns []Column `json:"columns"` // those that COPY carries: no generated ones
	// Format is "binary" or "text", as COPY's FORMAT.
	Format string `json:"format"`
	// LoadInto is the partition root through which rows are loaded, because
	// they may belong to another partition on the target; nil for the table.
	LoadInto *Name `json:"load_into,omitempty"`
	// Extension owns the table: its configuration table. Condition is the
	// WHERE clause of pg_extension_config_dump.
	Extension string `json:"extension,omitempty"`
	Condition string `json:"condition,omitempty"`
	Unlogged  bool   `json:"unlogged,omitempty"`
	// SchemaOnly is set for a table whose rows could not be read: an unlogged
	// one on a standby. A note says so.
	SchemaOnly bool `json:"schema_only,omitempty"`

	Rows        int64             `json:"rows"`
	Bytes       int64             `json:"bytes"` // of COPY output
	Fingerprint envdb.Fingerprint `json:"fingerprint"`
}

// Name is a schema-qualified name, unquoted.
type Name struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// Column is a column that COPY carries.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // format_type()
}

// Sequence is a sequence's state.
type Sequence struct {
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	LastValue int64  `json:"last_value"`
	IsCalled  bool   `json:"is_called"`
}

// MaterializedView is a materialised view, to be refreshed if it was populated.
type MaterializedView struct {
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	Populated bool   `json:"populated"`
}

// EventTrigger is an event trigger and its evtenabled ("O", "D", "R", "A").
type EventTrigger struct {
	Name    string `json:"name"`
	Enabled string `json:"enabled"`
}

// LargeObjects summarises the two large-object parts.
type LargeObjects struct {
	Count    int64 `json:"count"`
	Bytes    int64 `json:"bytes"`
	PageSize int   `json:"page_size"` // LOBLKSIZE: a quarter of the block size
}

// LargeObject is one line of PartBlobMetadata.
type LargeObject struct {
	OID     uint32   `json:"oid"`
	Owner   string   `json:"owner"`
	ACL     []string `json:"acl,omitempty"` // aclitem texts; nil means the default
	Comment string   `json:"comment,omitempty"`
	Pages   int64    `json:"pages"`
}

// Object is one line of the inventory: a class ("table", "index",
// "constraint", …), an identity within it as pg_identify_object gives it, and
// a digest of its definition where the class has one.
type Object struct {
	Class    string `json:"class"`
	Identity string `json:"identity"`
	Digest   string `json:"digest,omitempty"`
	// Expression is what PostgreSQL wrote of the object's expressions and
	// queries, of which it may find other words in a copy; Rest is the digest
	// of the definition without them. Both are empty where there are none, and
	// in older backups.
	Expression string `json:"expression,omitempty"`
	Rest       string `json:"rest,omitempty"`
}
