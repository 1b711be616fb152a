package mask

import (
	"slices"
	"strings"
)

// Masker masks the rows of one table that holds rows.
type Masker struct {
	table   Name
	key     Key
	columns []*Column // by their places in the stream
	fields  []field
	// hashed are the columns whose hashes are appended to each row, for the
	// expressions that ask for them.
	hashed  []int
	binary  bool
	samples *Samples
}

// hashWord stands in an expression for the keyed hash of the column's value.
const hashWord = "{hash}"

// Masker returns what masks a stream with the named columns. Rows is how many
// there are of them, for the samples.
func (p *TablePlan) Masker(k Key, names []string, binary bool, rows int64, samples *Samples) *Masker {
	m := &Masker{table: p.Name, key: k, binary: binary, samples: samples}
	for i, name := range names {
		c := p.column(name)
		m.columns = append(m.columns, c)
		if c == nil {
			m.fields = append(m.fields, nil)
			continue
		}
		m.fields = append(m.fields, c.field(k, binary))
		if c.needsHash() {
			m.hashed = append(m.hashed, i)
		}
		samples.expect(c, rows)
	}
	return m
}

// field returns what masks the column. Of documents it counts what is reached.
func (c *Column) field(k Key, binary bool) field {
	if c.Rule.Name != JSON {
		return k.field(c.Rule.Rule, c.sort, binary)
	}
	c.reach = newReach(c.Rule.Paths)
	return k.documentField(c.Rule.Paths, c.sort.versioned && binary, c.reach)
}

func (p *TablePlan) column(name string) *Column {
	i := slices.IndexFunc(p.Columns, func(c *Column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return p.Columns[i]
}

// needsHash reports whether the column's expression asks for its hash.
func (c *Column) needsHash() bool {
	return c.Rule.Name == SQL && strings.Contains(c.Rule.Expression, hashWord)
}

// Expression returns the SQL of a column whose rule is one, with the name of
// the column that holds its hash; or "".
func (c *Column) Expression() string {
	if c.Rule.Name != SQL {
		return ""
	}
	return strings.ReplaceAll(c.Rule.Expression, hashWord, `"`+strings.ReplaceAll(c.HashName(), `"`, `""`)+`"`)
}

// HashName is the name of the column that holds the hash of the column.
func (c *Column) HashName() string { return "envdb hash of " + c.Name }

// Hashes returns the names of the columns that are appended to each row, all
// of them of type text.
func (m *Masker) Hashes() []string {
	var names []string
	for _, i := range m.hashed {
		names = append(names, m.columns[i].HashName())
	}
	return names
}

// Expressions returns the columns of the table whose rules are SQL.
func (p *TablePlan) Expressions() []*Column {
	return slices.DeleteFunc(slices.Clone(p.Columns), func(c *Column) bool { return c.Rule.Name != SQL })
}
