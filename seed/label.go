package seed

import (
	"strings"

	"github.com/envdb/envdb/seed/fixture"
)

// labels are the rows that have a name, by table.
type labels map[*table]map[string]*labelled

// labelled is a row with a label.
type labelled struct {
	table   *table
	row     fixture.Row
	reading bool // whether its key is being read: a key may depend on another
}

// add remembers a row, if it has a label.
func (l labels) add(t *table, row fixture.Row) error {
	if row.Label == "" {
		return nil
	}
	if l[t] == nil {
		l[t] = map[string]*labelled{}
	}
	if first := l[t][row.Label]; first != nil {
		return row.At.Fail("%s already has a row labelled %q, at %s", t, row.Label, first.row.At).WithNext("give one of them another label")
	}
	l[t][row.Label] = &labelled{table: t, row: row}
	return nil
}

// derived returns the column of the primary key that a labelled row gets from
// its label, because the row does not give it.
func (l *labelled) derived() *column {
	primary := l.table.primary()
	if l.row.Label == "" || len(primary) != 1 {
		return nil
	}
	c := l.table.column(primary[0])
	if _, ok := c.keyText(l.row.Label); !ok || c.generated {
		return nil
	}
	for _, cell := range l.row.Cells {
		if cell.Name == c.name || l.table.foreignColumn(cell.Name) == c {
			return nil
		}
	}
	return c
}

// value returns what a labelled row has in a column, for those who refer to it.
func (all labels) value(l *labelled, name string, from fixture.Position) (string, error) {
	if l.reading {
		return "", from.Fail("the keys of %s %q depend on each other", l.table, l.row.Label).WithNext("give one of the rows its key")
	}
	l.reading = true
	defer func() { l.reading = false }()
	if c := l.derived(); c != nil && c.name == name {
		text, _ := c.keyText(l.row.Label)
		return text, nil
	}
	for _, cell := range l.row.Cells {
		c := l.table.column(cell.Name)
		if c == nil {
			c = l.table.foreignColumn(cell.Name)
		}
		if c == nil || c.name != name {
			continue
		}
		switch cell.Value.Kind {
		case fixture.Null, fixture.Expression:
			return "", from.Fail("%s %q is referred to by its %s, which is %s at %s", l.table, l.row.Label, name, cell.Value.Kind, cell.At).
				WithNext("give the row a value that can be read from the file")
		}
		text, _, err := all.resolve(l.table, cell)
		return text, err
	}
	return "", from.Fail("%s %q is referred to by its %s, which the row at %s does not give", l.table, l.row.Label, name, l.row.At).
		WithNext("add %s to the row", name)
}

// foreignEndings are what the column of a foreign key has behind the name of
// what it refers to.
var foreignEndings = []string{"_id", "_uuid", "_code", "_key", "Id", "ID"}

// foreignColumn returns the column that a key such as author means: the one of
// a foreign key that is called author_id. It is nil if there is none.
func (t *table) foreignColumn(key string) *column {
	if t.column(key) != nil {
		return nil
	}
	for _, ending := range foreignEndings {
		c := t.column(key + ending)
		if c != nil && len(t.foreignOf(c.name)) > 0 {
			return c
		}
	}
	return nil
}

// foreignOf returns the foreign keys that a column is all of.
func (t *table) foreignOf(column string) []*foreignKey {
	var found []*foreignKey
	for _, f := range t.foreign {
		if len(f.columns) == 1 && f.columns[0] == column {
			found = append(found, f)
		}
	}
	return found
}

// resolve returns the text of a cell, which is neither null nor an expression,
// and the column that it is for.
func (all labels) resolve(t *table, cell fixture.Cell) (text string, c *column, err error) {
	c = t.column(cell.Name)
	byLabel := c == nil // author: george can only be a label, author: 7 is a key
	if byLabel {
		if c = t.foreignColumn(cell.Name); c == nil {
			return "", nil, unknownColumn(t, cell)
		}
	}
	foreign := t.foreignOf(c.name)
	if len(foreign) == 0 || cell.Value.Literal || !cell.Value.Scalar() {
		text, err = c.text(cell.Value)
		return text, c, err
	}
	word := cell.Value.Text
	for _, f := range foreign {
		if l := all[f.parent][word]; l != nil && cell.Value.Kind == fixture.Text {
			text, err = all.value(l, f.references[0], cell.At)
			return text, c, err
		}
	}
	if cell.Value.Kind == fixture.Text && (byLabel || !c.couldBe(word)) {
		return "", nil, all.undefined(foreign[0].parent, cell)
	}
	text, err = c.text(cell.Value)
	return text, c, err
}

func (all labels) undefined(parent *table, cell fixture.Cell) error {
	p := cell.At.Fail("%s: %s has no row labelled %q", cell.Name, parent, cell.Value.Text)
	var names []string
	for name := range all[parent] {
		names = append(names, name)
	}
	if near := nearest(cell.Value.Text, names); near != "" {
		return p.WithNext("did you mean %q?", near)
	}
	return p.WithNext("add the row to the fixtures of %s, or give the value of its key", parent)
}

func unknownColumn(t *table, cell fixture.Cell) error {
	p := cell.At.Fail("%s has no column %q", t, cell.Name)
	names := t.columnNames()
	if near := nearest(cell.Name, names); near != "" {
		return p.WithNext("did you mean %q?", near)
	}
	return p.WithNext("its columns are %s", strings.Join(names, ", "))
}
