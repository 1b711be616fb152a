package envdb

import "time"

// Identity is what a server says of itself, whatever the URL said: it tells
// one database from another behind aliases, sockets and poolers.
type Identity struct {
	// SystemIdentifier is pg_control_system()'s; a physical copy shares it.
	SystemIdentifier string `json:"system_identifier"`
	// PostmasterStart tells two instances with one system identifier apart.
	PostmasterStart time.Time `json:"postmaster_start"`
	// DatabaseOID is the database's oid, 0 if it does not exist.
	DatabaseOID uint32 `json:"database_oid"`
	// Database is the database's name, for people.
	Database string `json:"database"`
}

// SameInstance reports whether both are answers of one running server.
func (i Identity) SameInstance(j Identity) bool {
	return i.SystemIdentifier == j.SystemIdentifier && i.PostmasterStart.Equal(j.PostmasterStart)
}

// SameDatabase reports whether both are one database of one running server.
func (i Identity) SameDatabase(j Identity) bool {
	return i.SameInstance(j) && i.DatabaseOID != 0 && i.DatabaseOID == j.DatabaseOID
}

// MayBe reports whether j could be i after a restart: the same cluster and
// database oid. It is the question to ask of a recorded identity.
func (i Identity) MayBe(j Identity) bool {
	return i.SystemIdentifier == j.SystemIdentifier && i.DatabaseOID != 0 && i.DatabaseOID == j.DatabaseOID
}
