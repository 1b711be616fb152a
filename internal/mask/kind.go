package mask

import (
	"strconv"
	"strings"
)

// kind is what a rule needs to know of a column's type.
type kind string

const (
	text     kind = "text"
	integer  kind = "integer"
	decimal  kind = "numeric"
	floating kind = "float"
	date     kind = "date"
	moment   kind = "timestamp"
	uuid     kind = "uuid"
	document kind = "json"
	bytea    kind = "bytea"
	address  kind = "inet"
	texts    kind = "text[]"
	other    kind = "other"
)

// kinds are the kinds of PostgreSQL's types, as format_type names them without
// what stands in parentheses.
var kinds = map[string]kind{
	"text": text, "character varying": text, "character": text, "name": text, "citext": text,
	"smallint": integer, "integer": integer, "bigint": integer,
	"numeric": decimal, "real": floating, "double precision": floating,
	"date": date, "timestamp without time zone": moment, "timestamp with time zone": moment,
	"uuid": uuid, "json": document, "jsonb": document, "bytea": bytea, "inet": address,
	"text[]": texts, "character varying[]": texts,
}

// sort is a type taken apart.
type sort struct {
	kind
	// limit is how many characters a text holds, or 0.
	limit int
	// folded says that case does not count.
	folded bool
	// padded says that blanks at the end do not count.
	padded bool
	// bytes is how wide a number is.
	bytes int
	// versioned says that a document begins with its version, in binary.
	versioned bool
}

// sortOf takes a type apart. Types of users that have the name of a built-in
// one in a schema of an extension, as citext has, count as that.
func sortOf(typeName string) sort {
	name, limit := withoutModifier(typeName)
	if at := strings.LastIndex(name, "."); at >= 0 && name[at+1:] == "citext" {
		name = "citext"
	}
	k, known := kinds[name]
	if !known {
		return sort{kind: other}
	}
	s := sort{kind: k, folded: name == "citext", padded: name == "character", versioned: name == "jsonb"}
	if k == text || k == texts {
		s.limit = limit
	}
	switch name {
	case "smallint":
		s.bytes = 2
	case "integer", "real":
		s.bytes = 4
	case "bigint", "double precision":
		s.bytes = 8
	case "name":
		s.limit = 63
	}
	return s
}

// withoutModifier takes what stands in parentheses out of a type's name, and
// returns it if it is one number.
func withoutModifier(name string) (bare string, modifier int) {
	open, end := strings.Index(name, "("), strings.Index(name, ")")
	if open < 0 || end < open {
		return name, 0
	}
	modifier, _ = strconv.Atoi(name[open+1 : end]) // numeric(10,2) has two, and needs none
	return name[:open] + name[end+1:], modifier
}
