package backup

import (
	"time"

	"github.com/envdb/envdb"
)

// FormatVersion is the version of the repository format that this code writes;
// see docs/format.md.
const FormatVersion = 1

// Method is how a backup is taken.
type Method string

// Logical copies one database over a normal connection.
const Logical Method = "logical"

// Manifest is the commit point of a backup: small, written last, deleted first.
// Times are UTC; sizes are bytes.
type Manifest struct {
	Format      int    `json:"format"`
	Repository  string `json:"repository"`
	Project     string `json:"project"`
	Environment string `json:"environment"`
	// Tier is what the environment was for when the backup was taken. Copies of
	// production stay copies of production whatever the configuration says now.
	Tier   envdb.Tier     `json:"tier,omitempty"`
	ID     envdb.BackupID `json:"id"`
	Method Method         `json:"method"`
	// Base is the backup whose chunks this one refers to, or empty.
	Base envdb.BackupID `json:"base,omitempty"`

	// Point is the restore point: the source's clock inside the snapshot.
	Point    time.Time `json:"point"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Promised is until when the policy keeps it that was in force when it was
	// written: to delete it earlier, somebody is asked. Zero promises nothing.
	Promised time.Time `json:"promised,omitzero"`

	Source    Source     `json:"source"`
	Stillness *Stillness `json:"stillness,omitempty"`
	Roles     []Role     `json:"roles"`
	Migration *Migration `json:"migration,omitempty"`
	Release   string     `json:"release,omitempty"`
	Note      string     `json:"note,omitempty"`
	Writer    string     `json:"writer"` // envdb's version

	Totals Totals  `json:"totals"`
	Packs  []Pack  `json:"packs"` // every pack that a chunk of this backup lies in
	Index  []Block `json:"index"` // the blocks of the index, in order
}

// Source is where the data came from.
type Source struct {
	SystemIdentifier string    `json:"system_identifier"`
	Timeline         int       `json:"timeline"`
	PostmasterStart  time.Time `json:"postmaster_start"`
	ServerVersion    int       `json:"server_version"` // server_version_num
	Database         string    `json:"database"`
	DatabaseOID      uint32    `json:"database_oid"`
	DatabaseSize     int64     `json:"database_size"`
}

// Stillness is what must be identical for the source to be unchanged since the
// backup, beside the system identifier, the timeline, the start of the
// postmaster and the oid of the database, which Source has.
type Stillness struct {
	Snapshot  string `json:"snapshot"`  // the whole text of pg_current_snapshot()
	Sequences string `json:"sequences"` // a digest of the values of all sequences
	Standby   bool   `json:"standby,omitempty"`
}

// Role is a role that owns or is granted anything in the database: its
// attributes and memberships, never its password.
type Role struct {
	Name            string       `json:"name"`
	Superuser       bool         `json:"superuser,omitempty"`
	Inherit         bool         `json:"inherit,omitempty"`
	CreateRole      bool         `json:"create_role,omitempty"`
	CreateDB        bool         `json:"create_db,omitempty"`
	Login           bool         `json:"login,omitempty"`
	Replication     bool         `json:"replication,omitempty"`
	BypassRLS       bool         `json:"bypass_rls,omitempty"`
	ConnectionLimit int          `json:"connection_limit"`
	ValidUntil      string       `json:"valid_until,omitempty"`
	Comment         string       `json:"comment,omitempty"`
	Settings        []string     `json:"settings,omitempty"` // pg_roles.rolconfig
	MemberOf        []Membership `json:"member_of,omitempty"`
}

// Membership is a grant of a role to a role.
// Inherit and Set are the options of PostgreSQL 16 and later, nil where the
// server has none.
type Membership struct {
	Role    string `json:"role"`
	Admin   bool   `json:"admin,omitempty"`
	Inherit *bool  `json:"inherit,omitempty"`
	Set     *bool  `json:"set,omitempty"`
}

// Migration is what the migration tool says of the schema.
type Migration struct {
	Tool    string `json:"tool"`    // "goose", "rails", "flyway", …
	Version string `json:"version"` // the newest applied version
}

// Totals counts a backup. Logical bytes are plaintext; stored bytes are what
// this backup itself wrote to the store.
type Totals struct {
	Tables       int   `json:"tables"`
	Rows         int64 `json:"rows"`
	Chunks       int64 `json:"chunks"`
	NewChunks    int64 `json:"new_chunks"`
	LogicalBytes int64 `json:"logical_bytes"`
	NewBytes     int64 `json:"new_bytes"` // plaintext of the new chunks
	StoredBytes  int64 `json:"stored_bytes"`
}

// Pack is a pack that the backup refers to; Backup wrote it.
type Pack struct {
	Backup envdb.BackupID `json:"backup"`
	Number int            `json:"number"`
	Size   int64          `json:"size"`
}

// Block is a run of index entries. It lies in the index object of the backup
// that first wrote it.
type Block struct {
	SHA256 string         `json:"sha256"` // of the plaintext
	Backup envdb.BackupID `json:"backup"`
	Offset int64          `json:"offset"`
	Length int64          `json:"length"`
	Chunks int            `json:"chunks"`
}
