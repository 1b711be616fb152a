package envdb

// Environment is a named PostgreSQL database with a tier.
type Environment struct {
	Name string
	Tier Tier

	// URL is how applications reach the database; the database name in it is
	// the name of the live version.
	URL ConnString
	// DirectURL goes around a pooler; empty when URL is direct already.
	DirectURL ConnString
	// MaintenanceDB is the database from which others are created and renamed.
	// Empty means "postgres".
	MaintenanceDB string
	// Pooler is the PgBouncer in front of the environment, if envdb may steer it.
	Pooler Pooler

	// MarkedProtected is what the configuration says; see Protected.
	MarkedProtected bool
}

// Pooler is a PgBouncer whose admin console envdb uses during a promote.
type Pooler struct {
	// Admin is the URL of the console (database "pgbouncer"); empty for none.
	Admin ConnString
	// Database is the pooler's name of the database; empty means the live name.
	Database string
}

// Protected reports whether the environment may never be the target of mirror,
// seed, reset or destroy: production, unknown tiers, and what the
// configuration marks.
func (e Environment) Protected() bool {
	return e.MarkedProtected || e.Tier == Production || !e.Tier.Known()
}

// Direct returns the connection string that leads to the server itself.
func (e Environment) Direct() ConnString {
	if e.DirectURL != "" {
		return e.DirectURL
	}
	return e.URL
}

// Maintenance returns the name of the database from which envdb administers
// the server.
func (e Environment) Maintenance() string {
	if e.MaintenanceDB != "" {
		return e.MaintenanceDB
	}
	return "postgres"
}
