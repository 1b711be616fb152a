package logical

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/envdb/envdb/internal/postgres"
)

// Versions of PostgreSQL that write something in another way than those before
// them. What else newer ones have in their catalogs, such as the constraints
// for NOT NULL of PostgreSQL 18, the inventory's queries leave out.
const (
	shortNames  = 16 // a query over one relation names columns without it
	maintenance = 17 // the privilege MAINTAIN, which GRANT ALL now includes
	oneIdentity = 17 // a partition's column is an identity if its parent's is

	// newestRead is the newest version that the check was run against. What
	// those after it write in other words is not known.
	newestRead = 18
)

// source is the version of the server that the backup was taken from.
func (c *checker) source() postgres.ServerVersion {
	return postgres.ServerVersion(c.cat.Server.VersionNum)
}

// seenBy prepares a query of the inventory for what a server of the version
// would see.
func seenBy(version postgres.ServerVersion) *strings.Replacer {
	return strings.NewReplacer("@later", laterPrivileges(version), "@one_identity", strconv.FormatBool(version.Major() >= oneIdentity))
}

// laterPrivileges are those that a server of the version does not know, as an
// array of PostgreSQL's. What was granted ALL on the source has them on a newer
// target, as after pg_upgrade.
func laterPrivileges(version postgres.ServerVersion) string {
	if version.Major() < maintenance {
		return "{MAINTAIN}"
	}
	return "{}"
}

// ofWording explains expressions that PostgreSQL writes differently once it has
// read what it wrote, or in another version. Everything else of the object must
// be equal.
func (r reasons) ofWording(d objectDifference) string {
	if d.Kind != Different || d.before.Rest == "" || d.before.Rest != d.after.Rest {
		return ""
	}
	source, target := r.source().Major(), r.version.Major()
	switch {
	case reworded(d.before.Expression, d.after.Expression):
		return "PostgreSQL words it differently once it has read what it wrote"
	case source < shortNames && target >= shortNames && shortened(d.before.Expression, d.after.Expression):
		return fmt.Sprintf("PostgreSQL %d leaves out the names of relations that %d writes", target, source)
	case source != target && target > newestRead:
		return fmt.Sprintf("PostgreSQL %d and %d may write it differently; this build knows them up to %d", source, target, newestRead)
	}
	return ""
}
