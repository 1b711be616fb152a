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

// Unquote reads the quoted identifier that s begins with, and returns what
// follows it. Without a closing quote all of s is the name.
func Unquote(s string) (name, rest string) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return b.String(), s[i+1:]
	}
	return b.String(), ""
}
