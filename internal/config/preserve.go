package config

import (
	"regexp"
	"strings"
)

// TableName is a table as the file names it.
type TableName struct {
	Schema string // empty for a table that was named alone
	Name   string
}

// String returns the name for people.
func (n TableName) String() string {
	if n.Schema == "" {
		return n.Name
	}
	return n.Schema + "." + n.Name
}

// Preserve is a table whose rows belong to the environment: a mirror keeps
// those of the version that was live before it.
type Preserve struct {
	// Entry names the entry of the file for people, with its place.
	Entry string
	Table TableName
	// Where is a condition in SQL, or empty for all rows.
	Where string
}

// preserved reads a list of tables, some of them with a condition.
func (v value) preserved() []Preserve {
	var all []Preserve
	for _, item := range v.list() {
		p := item.preserve()
		for _, other := range all {
			if other.Table == p.Table && p.Table.Name != "" {
				item.hint("join the conditions with OR", "names %s a second time", p.Table)
			}
		}
		all = append(all, p)
	}
	return all
}

func (v value) preserve() (p Preserve) {
	p.Entry = v.placed()
	if v.kind() != "a mapping" {
		p.Table = v.table()
		return p
	}
	seen := v.object(fields{
		"table": func(v value) { p.Table = v.table() },
		"where": func(v value) { p.Where = v.raw() },
	})
	v.require(seen, "table")
	return p
}

// placed is the value's path behind its place in the file.
func (v value) placed() string { return v.doc.where(v.at()) + ": " + v.path }

// table reads the name of a table, with or without its schema.
func (v value) table() TableName {
	text := v.text()
	parts, valid := identifiers(text)
	switch {
	case text == "":
	case valid && len(parts) == 1:
		return TableName{Name: parts[0]}
	case valid && len(parts) == 2:
		return TableName{Schema: parts[0], Name: parts[1]}
	default:
		v.hint(`write table, schema.table, or schema."Odd Name" as in SQL`, "%q is not the name of a table", text)
	}
	return TableName{}
}

// identifier reads one name as SQL does.
func (v value) identifier(text string) string {
	parts, valid := identifiers(text)
	if !valid || len(parts) != 1 {
		v.hint(`write name, or "Odd Name" as in SQL`, "%q is not a name", text)
		return ""
	}
	return parts[0]
}

// plainName is an identifier that SQL takes without quotes.
var plainName = regexp.MustCompile(`^[\pL_][\pL\pN_$]*$`)

// identifiers reads names with dots between them as SQL does: what is not
// within double quotes is folded to lower case.
func identifiers(text string) (names []string, valid bool) {
	for rest := text; ; {
		var name string
		if strings.HasPrefix(rest, `"`) {
			name, rest, valid = quotedName(rest)
		} else {
			end := strings.IndexByte(rest+".", '.')
			name, rest = lower(rest[:end]), rest[end:]
			valid = plainName.MatchString(name)
		}
		if names = append(names, name); !valid || rest == "" {
			return names, valid
		}
		if rest[0] != '.' {
			return names, false
		}
		rest = rest[1:]
	}
}

// quotedName reads the quoted name that s begins with.
func quotedName(s string) (name, rest string, valid bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] != '"':
			b.WriteByte(s[i])
		case strings.HasPrefix(s[i+1:], `"`):
			b.WriteByte('"')
			i++
		default:
			return b.String(), s[i+1:], b.Len() > 0
		}
	}
	return b.String(), "", false
}

// lower folds a name as PostgreSQL does: the letters of ASCII alone.
func lower(name string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}
