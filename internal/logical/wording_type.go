package logical

import (
	"slices"
	"strings"
)

// longTypes are the types of SQL whose names are of several words, or are not
// those that PostgreSQL has for them, as format_type writes them.
func longTypes() map[string]string {
	return map[string]string{
		"boolean": "bool", "smallint": "int2", "integer": "int4", "bigint": "int8",
		"real": "float4", "double precision": "float8",
		"character": "bpchar", "character varying": "varchar", "bit varying": "varbit",
		"time without time zone": "time", "time with time zone": "timetz",
		"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
	}
}

// typeTails are the words that may follow the first of a type's name.
func typeTails() map[string][]string {
	zone := []string{"with", "without", "time", "zone"}
	return map[string][]string{
		"double": {"precision"}, "character": {"varying"}, "bit": {"varying"}, "time": zone, "timestamp": zone,
		"interval": {"year", "month", "day", "hour", "minute", "second", "to"},
	}
}

// castType reads the type of a cast, as format_type writes it: its text but for
// the brackets of an array, what an output column is called that is cast to it,
// and of how many nodes it is.
func castType(nodes []node) (text, column string, length int) {
	if len(nodes) == 0 {
		return "", "", 0
	}
	var modifier strings.Builder
	words := []string{nodes[0].token}
	tail := typeTails()[nodes[0].token]
	column = plainWord(nodes[0])
	for length = 1; length < len(nodes); length++ {
		n := nodes[length]
		switch {
		case n.token == "." && length+1 < len(nodes):
			length++
			words = append(words, ".", nodes[length].token)
			column = plainWord(nodes[length])
		case slices.Contains(tail, n.token):
			words = append(words, n.token)
		case n.token == "(":
			for _, in := range n.inner {
				modifier.WriteString(" " + in.token)
			}
		case n.token == "[" && len(n.inner) == 0:
		default:
			return strings.Join(words, " ") + modifier.String(), typeColumn(words, column), length
		}
	}
	return strings.Join(words, " ") + modifier.String(), typeColumn(words, column), length
}

func typeColumn(words []string, name string) string {
	if long := longTypes()[strings.Join(words, " ")]; long != "" {
		return long
	}
	return name
}
