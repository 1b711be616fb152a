package mask

// Name is a schema and a table, unquoted.
type Name struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// String returns the name as people read it.
func (n Name) String() string { return n.Schema + "." + n.Name }

// Shape is a table of a database, as far as rules need to know it.
type Shape struct {
	Name
	// Parents are the tables that it is a partition or a child of.
	Parents []Name
	// Holds says that it can hold rows itself: partitioned tables cannot.
	Holds   bool
	Columns []ShapeColumn
}

// ShapeColumn is a column of a table.
type ShapeColumn struct {
	Name string
	// Type is as format_type gives it; of a domain, that of what is below it.
	Type string
	// Generated columns are computed from others.
	Generated bool
	NotNull   bool
	// Unique says that no two rows may have the same value.
	Unique bool
}
