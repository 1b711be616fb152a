package mask

import (
	"fmt"
	"slices"
	"strings"
)

// Plan is what the rules mean for the tables of one database.
type Plan struct {
	Tables []*TablePlan
	Large  LargeTreatment
}

// TablePlan is what happens to the rows of one table that holds rows.
type TablePlan struct {
	Name
	// Empty says that it gets no rows.
	Empty bool
	// Columns are those that are masked.
	Columns []*Column
}

// Column is a column that is masked.
type Column struct {
	Name string
	Rule *ColumnRule
	// Of is the table that the file says it of: this one, or one above it.
	Of    Name
	sort  sort
	reach *reach // of documents, once there is a Masker
}

// Title names the column as the file does.
func (c *Column) Title() string { return c.Of.String() + "." + c.Name }

// Table returns what happens to a table, or nil for nothing.
func (p *Plan) Table(n Name) *TablePlan {
	i := slices.IndexFunc(p.Tables, func(t *TablePlan) bool { return t.Name == n })
	if i < 0 {
		return nil
	}
	return p.Tables[i]
}

// Counts returns how many columns and how many whole tables the rules mask, as
// the file names them.
func (p *Plan) Counts() (columns, emptied int) {
	seen := map[string]bool{}
	for _, t := range p.Tables {
		if t.Empty {
			emptied++
		}
		for _, c := range t.Columns {
			seen[c.Title()] = true
		}
	}
	return len(seen), emptied
}

// Finding is something that is wrong between the rules and a database.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// At is where the rule stands; a column without one has none.
	At     string `json:"at,omitempty"`
	Table  string `json:"table"`
	Column string `json:"column,omitempty"`
	Text   string `json:"text"`
}

// FindingKind says what is wrong.
type FindingKind string

// Kinds of findings. A Risk alone stops nothing: what it warns of may fail
// later, depending on the rows.
const (
	Unmatched FindingKind = "unmatched" // the rule matches nothing
	Uncovered FindingKind = "uncovered" // the column has no rule, and all must have one
	Unfit     FindingKind = "unfit"     // the rule is none for the column
	Risk      FindingKind = "risk"
)

// String returns the finding behind its position.
func (f Finding) String() string {
	if f.At == "" {
		return f.Text
	}
	return f.At + ": " + f.Text
}

// matching is a match under way.
type matching struct {
	rules    *Rules
	tables   map[Name]*Shape
	findings []Finding
	seen     map[string]bool // findings that were made
}

// Match holds the rules against the tables of a database. A strict match finds
// every column without a rule, and large objects (there are so many) too.
func Match(r *Rules, tables []Shape, strict bool, large int64) (*Plan, []Finding) {
	m := &matching{rules: r, tables: map[Name]*Shape{}, seen: map[string]bool{}, findings: []Finding{}}
	for i := range tables {
		m.tables[tables[i].Name] = &tables[i]
	}
	for i := range r.Tables {
		m.check(&r.Tables[i])
	}
	plan := &Plan{Large: r.Large}
	for _, t := range tables {
		if !t.Holds {
			continue
		}
		if p := m.plan(&t, strict); p.Empty || len(p.Columns) > 0 {
			plan.Tables = append(plan.Tables, p)
		}
	}
	if strict && large > 0 && r.Large == "" {
		m.find(Finding{Kind: Uncovered, Table: "large objects", Text: fmt.Sprintf("the %d large objects have no rule; say large_objects: keep or omit", large)})
	}
	return plan, m.findings
}

func (m *matching) find(f Finding) {
	if !m.seen[f.String()] {
		m.seen[f.String()] = true
		m.findings = append(m.findings, f)
	}
}

// check looks whether what the rules name exists.
func (m *matching) check(r *TableRules) {
	t := m.tables[r.Name]
	if t == nil {
		m.find(Finding{Kind: Unmatched, At: r.At, Table: r.Name.String(), Text: fmt.Sprintf("there is no table %s%s", r.Name, m.elsewhere(r.Name))})
		return
	}
	for _, c := range r.Columns {
		at := slices.IndexFunc(t.Columns, func(have ShapeColumn) bool { return have.Name == c.Column })
		f := Finding{Kind: Unmatched, At: c.At, Table: r.Name.String(), Column: c.Column}
		switch {
		case at < 0:
			f.Text = fmt.Sprintf("%s has no column %s; it has %s", r.Name, c.Column, columnNames(t))
			m.find(f)
		case t.Columns[at].Generated && c.masks():
			f.Kind, f.Text = Unfit, fmt.Sprintf("%s.%s is computed from other columns, and is computed anew from what masks those", r.Name, c.Column)
			m.find(f)
		}
	}
}

// elsewhere names a table of that name in another schema.
func (m *matching) elsewhere(n Name) string {
	var found []string
	for have := range m.tables {
		if have.Name == n.Name {
			found = append(found, have.String())
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return "; there is " + strings.Join(found, ", ")
}

// columnNames lists the first columns of a table.
func columnNames(t *Shape) string {
	const most = 12
	var names []string
	for i, c := range t.Columns {
		if i == most {
			names = append(names, "…")
			break
		}
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}

// plan says what happens to a table.
func (m *matching) plan(t *Shape, strict bool) *TablePlan {
	p := &TablePlan{Name: t.Name}
	for _, c := range t.Columns {
		rule, of, whole := m.rule(t.Name, c.Name, map[Name]bool{})
		switch {
		case whole == EmptyTable:
			p.Empty = true
			return p
		case c.Generated || whole == KeepTable:
		case rule == nil:
			if strict {
				m.uncovered(t, c)
			}
		case rule.masks():
			m.judge(t, c, rule)
			p.Columns = append(p.Columns, &Column{Name: c.Name, Rule: rule, Of: of, sort: sortOf(c.Type)})
		}
	}
	return p
}

// rule returns what the file says of a column: of the table, or else of the
// nearest table above it.
func (m *matching) rule(table Name, column string, visited map[Name]bool) (*ColumnRule, Name, TableTreatment) {
	visited[table] = true
	for i := range m.rules.Tables {
		r := &m.rules.Tables[i]
		if r.Name != table {
			continue
		}
		if r.Whole != "" {
			return nil, table, r.Whole
		}
		for j := range r.Columns {
			if r.Columns[j].Column == column {
				return &r.Columns[j], table, ""
			}
		}
	}
	if t := m.tables[table]; t != nil {
		for _, parent := range t.Parents {
			if visited[parent] {
				continue
			}
			if rule, of, whole := m.rule(parent, column, visited); rule != nil || whole != "" {
				return rule, of, whole
			}
		}
	}
	return nil, Name{}, ""
}

// uncovered finds a column without a rule, at the topmost table that has it.
func (m *matching) uncovered(t *Shape, c ShapeColumn) {
	top := t
	for up := m.above(top, c.Name); up != nil && up != t; up = m.above(top, c.Name) {
		top = up
	}
	m.find(Finding{Kind: Uncovered, Table: top.Name.String(), Column: c.Name, Text: fmt.Sprintf("%s.%s (%s) has no rule; if it may be copied as it is, say keep", top.Name, c.Name, c.Type)})
}

func (m *matching) above(t *Shape, column string) *Shape {
	for _, parent := range t.Parents {
		if up := m.tables[parent]; up != nil && slices.ContainsFunc(up.Columns, func(c ShapeColumn) bool { return c.Name == column }) {
			return up
		}
	}
	return nil
}

// judge looks whether the rule is one for the column.
func (m *matching) judge(t *Shape, c ShapeColumn, r *ColumnRule) {
	s := sortOf(c.Type)
	f := Finding{Kind: Unfit, At: r.At, Table: t.Name.String(), Column: c.Name}
	where := fmt.Sprintf("%s.%s (%s)", t.Name, c.Name, c.Type)
	if why := r.fit(s); why != "" {
		f.Text = where + ": " + why
		m.find(f)
		return
	}
	if r.Name == Null && c.NotNull {
		f.Text = where + " is NOT NULL, and the rule is null"
		m.find(f)
		return
	}
	f.Kind = Risk
	switch rule, known := namedRules[r.Name]; {
	case !c.Unique || !known:
	case !rule.unique:
		f.Text = fmt.Sprintf("%s is unique, and %s gives several values the same mask: a collision fails the mirror", where, r.Name)
		m.find(f)
	case rule.write != nil && s.limit > 0 && s.limit < fullHash:
		f.Text = fmt.Sprintf("%s is unique and holds %d characters only: among many rows two masks may be the same, which fails the mirror", where, s.limit)
		m.find(f)
	}
}
