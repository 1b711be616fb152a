package postgres

import "strings"

// Quote returns an identifier as SQL, always within double quotes.
func Quote(ident string) string { return `"` + strings.ReplaceAll(ident, `"`, `""`) + `"` }

// QuoteName returns a schema-qualified name as SQL.
func QuoteName(schema, name string) string { return Quote(schema) + "." + Quote(name) }

// Literal returns a string as an SQL literal that means the same whatever
// standard_conforming_strings says.
func Literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
