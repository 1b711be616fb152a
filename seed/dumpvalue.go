package seed

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Words of YAML that mean what they say when they stand without quotes.
var (
	plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?$`)
	plainDate   = regexp.MustCompile(`^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$`)
	plainWord   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	plainText   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_ .@/-]{0,60}[A-Za-z0-9]$`)
)

// yamlWords are read as something else than a text, by one tool or another.
var yamlWords = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "default", "defaults"}

// keyName writes the name of a column.
func keyName(name string) string {
	if plainWord.MatchString(name) && !slices.Contains(yamlWords, strings.ToLower(name)) {
		return name
	}
	return quoted(name)
}

// yaml writes a value of the column, as PostgreSQL writes it, so that reading
// it gives the same value.
func (c *column) yaml(raw []byte) string {
	if raw == nil {
		return "null"
	}
	text := string(raw)
	switch {
	case c.base == "bytea":
		return `"0x` + strings.TrimPrefix(text, `\x`) + `"`
	case c.base == "bool":
		return map[string]string{"t": "true", "true": "true"}[text] + map[string]string{"f": "false", "false": "false"}[text]
	case c.category == "N" && c.base != "money" && plainNumber.MatchString(text):
		return text
	case c.base == "json" || c.base == "jsonb":
		return quoted(text)
	case c.base == "date" && plainDate.MatchString(text):
		return text
	case misread(text):
		return "!!str " + quoted(text)
	case textual(c.base) && plainText.MatchString(text) && !slices.Contains(yamlWords, strings.ToLower(text)):
		return text
	}
	return quoted(text)
}

// misread reports whether a text means something else in a fixture.
func misread(text string) bool {
	return strings.HasPrefix(text, "RAW=") || strings.Contains(text, labelWord)
}

// labelWord is replaced in the texts of rows with labels.
const labelWord = "$LABEL"

// quoted writes a text between double quotes. Braces that a template would
// read are written in another way.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '{' && strings.HasPrefix(text[i:], "{{"), r == '{' && strings.HasSuffix(text[:i], "{"):
			b.WriteString(`\x7b`)
		case r == utf8.RuneError, !unicode.IsPrint(r) && r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
