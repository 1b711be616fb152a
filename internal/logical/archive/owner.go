package archive

import (
	"fmt"
	"strings"
)

// ownerNaming says how ALTER … OWNER TO names an object of a kind.
type ownerNaming int

const (
	byName ownerNaming = iota + 1 // kind, schema, tag
	byDrop                        // as its DROP statement does, which knows the arguments
)

// ownable lists the kinds of entries that have an owner of their own. Anything
// else belongs to whoever owns the object that it is a part of.
var ownable = map[string]ownerNaming{
	"COLLATION":                 byName,
	"CONVERSION":                byName,
	"DOMAIN":                    byName,
	"EVENT TRIGGER":             byName,
	"FOREIGN DATA WRAPPER":      byName,
	"FOREIGN TABLE":             byName,
	"MATERIALIZED VIEW":         byName,
	"PROCEDURAL LANGUAGE":       byName,
	"PUBLICATION":               byName,
	"SCHEMA":                    byName,
	"SEQUENCE":                  byName,
	"SERVER":                    byName,
	"STATISTICS":                byName,
	"SUBSCRIPTION":              byName,
	"TABLE":                     byName,
	"TEXT SEARCH CONFIGURATION": byName,
	"TEXT SEARCH DICTIONARY":    byName,
	"TYPE":                      byName,
	"VIEW":                      byName,

	"AGGREGATE":       byDrop,
	"FUNCTION":        byDrop,
	"OPERATOR":        byDrop,
	"OPERATOR CLASS":  byDrop,
	"OPERATOR FAMILY": byDrop,
	"PROCEDURE":       byDrop,
}

// HasOwner reports whether the object has an owner of its own. pg_dump gives
// what cannot be owned separately no DROP statement.
func (e Entry) HasOwner() bool {
	return ownable[e.Type] != 0 && e.Owner != "" && e.Drop != ""
}

// OwnerSQL returns the statement that gives the object to owner, or "" if it
// has no owner of its own.
func (e Entry) OwnerSQL(owner string) string {
	if !e.HasOwner() {
		return ""
	}
	return fmt.Sprintf("ALTER %s OWNER TO %s;", e.address(), Quote(owner))
}

// address names the object as ALTER and COMMENT do.
func (e Entry) address() string {
	if ownable[e.Type] == byDrop {
		return strings.TrimRight(strings.TrimPrefix(e.Drop, "DROP "), ";\n")
	}
	return e.Type + " " + qualified(e.Schema, e.Tag)
}

// Quote returns name as a quoted identifier.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// qualified returns the quoted name, in its schema if it has one.
func qualified(schema, name string) string {
	if schema == "" {
		return Quote(name)
	}
	return Quote(schema) + "." + Quote(name)
}
