package config

import (
	"regexp"
	"slices"
	"strings"
)

// Remap says what of a copy points at third parties, and where it points
// instead, before anyone can connect. Values may come from references, so they
// are not shown.
type Remap struct {
	Servers []RemapServer
	Rows    []RemapRows
	// MustNotContain are texts that neither the tables of Rows nor the options
	// of a foreign server may hold afterwards.
	MustNotContain []string
}

// Declared reports whether the file says anything.
func (r Remap) Declared() bool {
	return len(r.Servers)+len(r.Rows)+len(r.MustNotContain) > 0
}

// RemapServer is a foreign server and options that it gets, in the order of
// the file. With Mapping everyone gets a user mapping for it.
type RemapServer struct {
	Name    string
	Options []RemapOption
	Mapping []RemapOption
}

// RemapOption is an option of a foreign server.
type RemapOption struct{ Name, Value string }

// RemapRows is an UPDATE of a table.
type RemapRows struct {
	// Entry names the entry of the file for people, with its place.
	Entry string
	Table TableName
	Set   []RemapColumn
	Where string // empty for all rows
	// AtLeast is how many rows must be changed.
	AtLeast int
}

// RemapColumn is a column and what it is set to: an expression in SQL, or if
// Literal is set a text as it is.
type RemapColumn struct {
	Name, Value string
	Literal     bool
}

// remapDeclaration is a Remap before its references are resolved.
type remapDeclaration struct {
	servers        []serverDeclaration
	rows           []rowsDeclaration
	mustNotContain []string
}

type serverDeclaration struct {
	name             string
	options, mapping []namedText
}

type rowsDeclaration struct {
	RemapRows
	set []namedText
}

// namedText is a text of the file under a name.
type namedText struct {
	name string
	text
}

// secretOption matches the name of an option that should not stand in the file.
var secretOption = regexp.MustCompile(`(?i)pass|pwd|secret|token|key`)

// readRemap reads the section of that name.
func (d *declaration) readRemap(v value) {
	seen := v.object(fields{
		"servers":          d.readRemapServers,
		"rows":             d.readRemapRows,
		"must_not_contain": func(v value) { d.remap.mustNotContain = v.texts() },
	})
	if len(seen) == 0 && v.kind() == "a mapping" {
		v.fault("says nothing to remap: neither servers nor rows")
	}
}

func (d *declaration) readRemapServers(v value) {
	for _, e := range v.entries() {
		server := serverDeclaration{name: e.identifier(e.name)}
		for _, option := range e.entries() {
			if option.name != "user_mapping" {
				server.options = append(server.options, option.option())
				continue
			}
			for _, of := range option.entries() {
				server.mapping = append(server.mapping, of.option())
			}
		}
		if len(server.options)+len(server.mapping) == 0 {
			e.hint("{host: sandbox.example.com}", "says no option")
		}
		d.remap.servers = append(d.remap.servers, server)
	}
}

// option reads an option and its value.
func (e entry) option() namedText {
	held := e.references()
	if secretOption.MatchString(e.name) && !held.empty() && !held.refers() {
		e.doc.warn(e.value.at(), "%s holds a secret; write env:NAME or file:PATH instead", e.path)
	}
	return namedText{e.name, held}
}

func (d *declaration) readRemapRows(v value) {
	for _, item := range v.list() {
		rows := rowsDeclaration{RemapRows: RemapRows{Entry: item.placed(), AtLeast: 1}}
		seen := item.object(fields{
			"table":    func(v value) { rows.Table = v.table() },
			"set":      func(v value) { rows.set = v.assignments() },
			"where":    func(v value) { rows.Where = v.raw() },
			"at_least": func(v value) { rows.AtLeast = v.integer(0) },
		})
		item.require(seen, "table", "set")
		d.remap.rows = append(d.remap.rows, rows)
	}
}

// assignments reads columns and what they are set to.
func (v value) assignments() []namedText {
	var all []namedText
	for _, e := range v.entries() {
		t := text{value: e.value, raw: e.raw()}
		if t.whole() {
			t = e.references()
		} else if strings.Contains(t.raw, "${") {
			e.hint("write env:NAME as the whole value; its content is then the value, as it is", "${…} is not resolved within SQL")
		}
		all = append(all, namedText{e.identifier(e.name), t})
	}
	if len(all) == 0 && v.kind() == "a mapping" {
		v.hint(`{url: "'https://sandbox.example.com'"}`, "says no column")
	}
	return all
}

// whole reports whether the text is one reference and nothing else.
func (t text) whole() bool { return strings.HasPrefix(t.raw, "env:") || t.isFile() }

// resolve returns the section with its references replaced.
func (r remapDeclaration) resolve(get lookup) (Remap, error) {
	resolved := Remap{MustNotContain: r.mustNotContain}
	for _, s := range r.servers {
		server := RemapServer{Name: s.name}
		var err error
		if server.Options, err = resolveOptions(s.options, get); err != nil {
			return Remap{}, err
		}
		if server.Mapping, err = resolveOptions(s.mapping, get); err != nil {
			return Remap{}, err
		}
		resolved.Servers = append(resolved.Servers, server)
	}
	for _, rows := range r.rows {
		for _, c := range rows.set {
			column := RemapColumn{Name: c.name, Value: c.raw, Literal: c.whole()}
			if column.Literal {
				var err error
				if column.Value, err = c.resolve(get); err != nil {
					return Remap{}, err
				}
			}
			rows.Set = append(rows.Set, column)
		}
		resolved.Rows = append(resolved.Rows, rows.RemapRows)
	}
	return resolved, nil
}

func resolveOptions(options []namedText, get lookup) ([]RemapOption, error) {
	var resolved []RemapOption
	for _, o := range options {
		held, err := o.resolve(get)
		if err != nil {
			return nil, err
		}
		resolved = append(resolved, RemapOption{o.name, held})
	}
	return resolved, nil
}

// texts are the texts that may hold references.
func (r remapDeclaration) texts() []text {
	var all []text
	for _, s := range r.servers {
		for _, o := range slices.Concat(s.options, s.mapping) {
			all = append(all, o.text)
		}
	}
	for _, rows := range r.rows {
		for _, c := range rows.set {
			if c.whole() {
				all = append(all, c.text)
			}
		}
	}
	return all
}
