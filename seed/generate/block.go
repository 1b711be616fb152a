package generate

import (
	"strconv"
	"strings"
	"time"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/seed/fixture"
)

// Block says how the rows of a table are made up.
type Block struct {
	Table   string
	At      fixture.Position
	Rows    int64
	Columns []Column
}

// Column says what makes the values of a column.
type Column struct {
	Name string
	At   fixture.Position
	// Null is the share of rows without a value, from 0 to 1.
	Null float64
	// Unique says that no value may come twice.
	Unique bool
	// References is the table, or table.column, whose keys are the values; ""
	// for other columns.
	References string

	kind kind
}

// kind is what makes values, as the file has it.
type kind interface {
	// maker returns what makes the values of the column in one load.
	maker(c Column, b *Block, s Surroundings) (maker, error)
}

// Sequential reports whether the column counts, and from where; ok is false
// where the file does not say, and the first free number is to be taken.
func (c Column) Sequential() (start int64, sequential, ok bool) {
	s, sequential := c.kind.(sequence)
	return s.start, sequential, s.set
}

// Step returns by how much a sequential column counts.
func (c Column) Step() int64 {
	if s, ok := c.kind.(sequence); ok {
		return s.step
	}
	return 0
}

// UsesTime reports whether the rows depend on the clock.
func (b Block) UsesTime() bool {
	for _, c := range b.Columns {
		if t, ok := c.kind.(times); ok && (t.from.relative || t.to.relative) {
			return true
		}
	}
	return false
}

// Foreign returns the column of a foreign key that the file says nothing of.
func Foreign(name, references string, at fixture.Position) Column {
	return Column{Name: name, At: at, References: references, kind: reference{}}
}

// Parse reads a block.
func Parse(t fixture.Block) (*Block, error) {
	b := &Block{Table: t.Table, At: t.At}
	v := t.Value
	if v.Kind != fixture.Map {
		return nil, v.At.Fail("generate of %s is %s; rows: and columns: are expected", t.Table, v.Kind)
	}
	for _, f := range v.Fields {
		var err error
		switch f.Name {
		case "rows":
			b.Rows, err = count(f.Value)
		case "columns":
			b.Columns, err = columns(f.Value)
		default:
			err = f.At.Fail("unknown key %q in a generate block", f.Name).WithNext("known are rows and columns")
		}
		if err != nil {
			return nil, err
		}
	}
	if _, given := v.Field("rows"); !given {
		return nil, t.At.Fail("generate of %s does not say how many rows:", t.Table)
	}
	return b, nil
}

// count reads a number of rows: 1000, 1_000_000 or 2.5M.
func count(v fixture.Value) (int64, error) {
	text := strings.ReplaceAll(v.Text, "_", "")
	unit := int64(1)
	for suffix, factor := range map[string]int64{"k": 1000, "M": 1_000_000, "G": 1_000_000_000} {
		if number, found := strings.CutSuffix(text, suffix); found {
			text, unit = number, factor
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	rows := int64(n * float64(unit))
	if err != nil || rows < 0 || float64(rows) != n*float64(unit) {
		return 0, v.At.Fail("rows: %q is not a number of rows", v.Text).WithNext("write 1000, 10k or 2.5M")
	}
	return rows, nil
}

func columns(v fixture.Value) ([]Column, error) {
	if v.Kind != fixture.Map {
		return nil, v.At.Fail("columns is %s; columns with what makes them are expected", v.Kind)
	}
	var list []Column
	for _, f := range v.Fields {
		c, err := column(f)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Surroundings are what a block's rows depend on beside the block.
type Surroundings struct {
	// Seed stands for the file.
	Seed  string
	Clock time.Time
	// Start holds the first number of each sequential column.
	Start map[string]int64
	// Parents holds, by column, the rows that the column may refer to.
	Parents map[string]Parent
	// Text turns a value of the file into what the column's type reads.
	Text func(column string, v fixture.Value) (string, error)
}

// Parent is a column of the rows that are referred to.
type Parent struct {
	Keys   *Keys
	Column int
}

// Keys are the rows that may be referred to. Columns with the same Keys refer to
// the same row.
type Keys struct {
	// First and Last are the bounds of keys without gaps; or Tuples lists the
	// keys, a value for each column.
	First, Last int64
	Tuples      [][]string
	// Own says that the rows are those of the block itself: a row refers to one
	// before it, and the first to none.
	Own bool
	// Step is the distance of the block's own keys.
	Step int64
}

func (k *Keys) size() int64 {
	if k.Tuples != nil {
		return int64(len(k.Tuples))
	}
	return k.Last - k.First + 1
}

// fail returns an error about a column.
func (c Column) fail(format string, args ...any) *envdb.Problem {
	p := c.At.Fail(format, args...)
	p.Text = c.At.String() + ": column " + c.Name + ": " + strings.TrimPrefix(p.Text, c.At.String()+": ")
	return p
}
