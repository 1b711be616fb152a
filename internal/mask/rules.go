package mask

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Rules are what a file says of the columns of a database, in its order.
type Rules struct {
	// File is the file as people know it.
	File   string         `json:"-"`
	Tables []TableRules   `json:"tables"`
	Large  LargeTreatment `json:"large_objects,omitempty"`
}

// TableRules are what the file says of one table and of the tables below it.
type TableRules struct {
	Name
	// At is where the table's name stands, as file:line:column.
	At string `json:"-"`
	// Whole is what happens to the whole table; then it has no Columns.
	Whole   TableTreatment `json:"whole,omitempty"`
	Columns []ColumnRule   `json:"columns,omitempty"`
}

// TableTreatment is what happens to a whole table.
type TableTreatment string

// A kept table is copied as it is, columns to come included; an emptied one
// gets no rows.
const (
	KeepTable  TableTreatment = "keep"
	EmptyTable TableTreatment = "empty"
)

// LargeTreatment is what happens to large objects.
type LargeTreatment string

// Large objects are copied as they are, or left out.
const (
	KeepLarge LargeTreatment = "keep"
	OmitLarge LargeTreatment = "omit"
)

// ColumnRule is what the file says of one column.
type ColumnRule struct {
	Column string `json:"column"`
	At     string `json:"-"`
	Rule
	// Unscanned says that nobody looks for the column's values afterwards.
	Unscanned bool `json:"unscanned,omitempty"`
}

// Rule says how a value is replaced.
type Rule struct {
	// Name is one of Names, SQL or JSON.
	Name string `json:"rule"`
	// Expression is the SQL of the rule SQL.
	Expression string `json:"sql,omitempty"`
	// Days is the most that the rule shift_date moves a date.
	Days int `json:"days,omitempty"`
	// Paths are the rules for what is inside a document.
	Paths []PathRule `json:"paths,omitempty"`
}

// PathRule is a rule for a place in a document: keys with dots between them,
// and * for every key or element.
type PathRule struct {
	Path string `json:"path"`
	At   string `json:"-"`
	// Optional says that it is no mistake if no document has the place.
	Optional bool `json:"optional,omitempty"`
	Rule
}

// The rules that are not among Names.
const (
	SQL  = "sql"
	JSON = "json"
)

// String names the rule as a person would.
func (r Rule) String() string {
	switch r.Name {
	case ShiftDate:
		return fmt.Sprintf("%s by up to %d days", r.Name, r.Days)
	case JSON:
		return fmt.Sprintf("json, %d places", len(r.Paths))
	}
	return r.Name
}

// masks reports whether the rule changes anything.
func (r Rule) masks() bool { return r.Name != Keep }

// Digest tells whether two files say the same, wherever they stand.
func (r *Rules) Digest() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// Masked lists what the rules mask, one line for each table.
func (r *Rules) Masked() []string {
	var lines []string
	for _, t := range r.Tables {
		if t.Whole == EmptyTable {
			lines = append(lines, t.String()+": no rows")
			continue
		}
		text := ""
		for _, c := range t.Columns {
			if c.masks() {
				text += fmt.Sprintf(", %s (%s)", c.Column, c.Rule)
			}
		}
		if text != "" {
			lines = append(lines, t.String()+": "+text[2:])
		}
	}
	return lines
}
