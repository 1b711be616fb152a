package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/mask"
)

// Mask says how a mirror masks. The zero Mask means that it does not.
type Mask struct {
	// Rules is the absolute path of the file of rules.
	Rules string
	// Strict refuses a database with a column that has no rule.
	Strict bool
	Scan   Scan
}

// Scan says how the copy is searched for what was masked.
type Scan string

// A sampled scan reads the whole of small tables and a part of large ones.
const (
	ScanSample Scan = "sample"
	ScanFull   Scan = "full"
	ScanOff    Scan = "off"
)

// Declared reports whether the mirror masks.
func (m Mask) Declared() bool { return m.Rules != "" }

// readMask reads the section of that name.
func (d *declaration) readMask(v value) {
	d.Mirror.Mask.Scan = ScanSample
	seen := v.object(fields{
		"rules":  func(v value) { d.Mirror.Mask.Rules = v.place() },
		"secret": func(v value) { d.maskSecret = v.secret() },
		"strict": func(v value) { d.Mirror.Mask.Strict = v.boolean() },
		"scan": func(v value) {
			d.Mirror.Mask.Scan = Scan(v.choice("value", string(ScanSample), string(ScanFull), string(ScanOff)))
		},
	})
	v.require(seen, "rules", "secret")
}

// secret reads a reference: a secret does not stand in the file.
func (v value) secret() text {
	t := v.references()
	if !t.empty() && !t.refers() {
		v.hint("write env:NAME or file:PATH", "is written out; whoever reads the file could undo what it protects")
	}
	return t
}

// MaskSecret returns the secret with which mirrors into the environment mask.
// One that is not set is ErrUnset.
func (c *Config) MaskSecret(name string) (string, error) {
	i := slices.IndexFunc(c.environments, func(d *declaration) bool { return d.Name == name })
	if i < 0 {
		return "", c.unknown(name)
	}
	return c.environments[i].maskSecret.resolve(c.get)
}

// MaskRules reads the rules of the masking. What is wrong in the file is
// ErrMisuse, with every place; a file that cannot be read is ErrPreflight.
func (c *Config) MaskRules(m Mask) (*mask.Rules, error) {
	content, err := os.ReadFile(m.Rules)
	if err != nil {
		return nil, envdb.Fail(envdb.ErrPreflight, "read the rules of the masking: %w", err).
			WithState("nothing was changed").WithNext("correct mirror.mask.rules in the configuration; paths are relative to its directory")
	}
	if strings.TrimSpace(string(content)) == "" {
		return nil, envdb.Fail(envdb.ErrMisuse, "the file of rules %s is empty", c.shown(m.Rules)).
			WithState("nothing was changed").WithNext("write rules into it: tables: {customers: {email: email}}")
	}
	doc, root, err := parse(c.shown(m.Rules), filepath.Dir(m.Rules), content)
	if err != nil {
		return nil, asRules(err)
	}
	rules := root.rules()
	if len(doc.faults) > 0 {
		return nil, doc.faults.problem(envdb.ErrMisuse).WithNext("correct the file, then try it with `envdb mask check`")
	}
	return rules, nil
}

// asRules says of a file that does not parse what to do with a file of rules.
func asRules(err error) error {
	p := new(envdb.Problem)
	if errors.As(err, &p) {
		return p.WithNext("correct the file, then try it with `envdb mask check`")
	}
	return err
}

// rules reads a file of rules.
func (v value) rules() *mask.Rules {
	r := &mask.Rules{File: v.doc.name}
	seen := v.object(fields{
		"tables": func(v value) {
			for _, e := range v.entries() {
				r.Tables = append(r.Tables, e.tableRules(r.Tables))
			}
		},
		"large_objects": func(v value) {
			r.Large = mask.LargeTreatment(v.choice("value", string(mask.KeepLarge), string(mask.OmitLarge)))
		},
	})
	v.require(seen, "tables")
	return r
}

// where returns a position as people read it.
func (d *document) where(at *token.Position) string {
	return fmt.Sprintf("%s:%d:%d", d.name, at.Line, at.Column)
}

// tableRules reads what is said of a table: a word for the whole of it, or a
// rule for each column.
func (e entry) tableRules(before []mask.TableRules) mask.TableRules {
	t := mask.TableRules{At: e.doc.where(e.at), Name: mask.Name{Schema: "public", Name: e.name}}
	if schema, name, qualified := strings.Cut(e.name, "."); qualified {
		t.Name = mask.Name{Schema: schema, Name: name}
	}
	if t.Schema == "" || t.Name.Name == "" || strings.Contains(t.Name.Name, ".") {
		e.doc.fault(e.at, "write table, or schema.table", "tables: %q is not the name of a table", e.name)
	}
	if slices.ContainsFunc(before, func(o mask.TableRules) bool { return o.Name == t.Name }) {
		e.doc.fault(e.at, "", "tables: %s is here twice", t.Name)
	}
	if e.kind() != "a mapping" {
		t.Whole = mask.TableTreatment(e.choice("treatment of a table", string(mask.KeepTable), string(mask.EmptyTable)))
		return t
	}
	for _, c := range e.entries() {
		t.Columns = append(t.Columns, c.columnRule())
	}
	return t
}

// columnRule reads the rule of a column: its name, or a mapping.
func (e entry) columnRule() mask.ColumnRule {
	c := mask.ColumnRule{Column: e.name, At: e.doc.where(e.at)}
	if e.kind() != "a mapping" {
		c.Rule = mask.Rule{Name: e.ruleName()}
		if c.Rule.Name == mask.ShiftDate {
			c.Rule.Days = mask.DefaultDays
		}
		return c
	}
	var said []string
	set := func(word string, r mask.Rule) {
		said = append(said, word)
		c.Rule = r
	}
	e.object(fields{
		"rule": func(v value) {
			r := mask.Rule{Name: v.ruleName()}
			if r.Name == mask.ShiftDate {
				r.Days = mask.DefaultDays
			}
			set("rule", r)
		},
		mask.SQL:       func(v value) { set(mask.SQL, mask.Rule{Name: mask.SQL, Expression: v.raw()}) },
		mask.ShiftDate: func(v value) { set(mask.ShiftDate, mask.Rule{Name: mask.ShiftDate, Days: v.days()}) },
		mask.JSON:      func(v value) { set(mask.JSON, mask.Rule{Name: mask.JSON, Paths: v.pathRules()}) },
		"scan":         func(v value) { c.Unscanned = v.choice("value", "on", "off") == "off" },
	})
	if len(said) != 1 {
		e.hint("write one of rule, sql, shift_date, json", "says %d rules", len(said))
	}
	return c
}

// ruleName reads the name of a rule. The word null is one, whatever YAML takes
// it for; nothing at all is not.
func (v value) ruleName() string {
	if n, isNull := v.plain().(*ast.NullNode); isNull && n.GetToken().Type == token.NullType {
		return mask.Null
	}
	return v.choice("rule", mask.Names()...)
}

// mostDays bounds how far a date is moved.
const mostDays = 36500

// days reads a span of whole days.
func (v value) days() int {
	d := v.duration()
	days := int(d / (24 * time.Hour))
	if d%(24*time.Hour) != 0 || days < 1 || days > mostDays {
		v.hint("write 30d", "is not a number of days from 1 to %d", mostDays)
		return 1
	}
	return days
}

// optionalMark ends the path of a place that no document needs to have.
const optionalMark = "?"

// pathRules reads rules for places in a document.
func (v value) pathRules() []mask.PathRule {
	var paths []mask.PathRule
	for _, e := range v.entries() {
		name := e.ruleName()
		if name == mask.ShiftDate {
			e.fault("shift_date is for columns, not for places in documents")
		}
		path, optional := strings.CutSuffix(e.name, optionalMark)
		if slices.Contains(strings.Split(path, "."), "") {
			e.doc.fault(e.at, "write keys with one dot between them: address.street", "json: %q has an empty key", e.name)
		}
		paths = append(paths, mask.PathRule{Path: path, Optional: optional, At: e.doc.where(e.at), Rule: mask.Rule{Name: name}})
	}
	if len(paths) == 0 {
		v.hint("write {address.street: redact}", "names no place")
	}
	return paths
}
