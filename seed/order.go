package seed

import (
	"slices"
	"strings"

	"github.com/envdb/envdb"
)

// order is how a stretch is loaded: its units, parents before children, and
// what is done about foreign keys that go in circles.
type order struct {
	units []*unit
	// deferred are constraints that are checked at the end of the stretch.
	deferred []*foreignKey
	// later are constraints whose columns are NULL until all rows are there.
	later []*foreignKey
}

// edge is a foreign key between two units of a stretch.
type edge struct {
	child, parent *unit
	foreign       *foreignKey
}

// inOrder sorts the units of a stretch by their foreign keys. Within that the
// order of the fixtures stays. A circle is opened where a constraint is
// deferrable, or else where a column may be NULL for a moment.
func inOrder(units []*unit) (*order, error) {
	o := new(order)
	edges := edgesOf(units)
	waiting := slices.Clone(units)
	for len(waiting) > 0 {
		i := slices.IndexFunc(waiting, func(u *unit) bool { return !waits(u, waiting, edges) })
		if i < 0 {
			var err error
			if edges, err = o.open(circle(waiting, edges), edges); err != nil {
				return nil, err
			}
			continue
		}
		o.units = append(o.units, waiting[i])
		waiting = slices.Delete(waiting, i, i+1)
	}
	for _, u := range o.units {
		if err := o.orderRows(u); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// edgesOf returns the foreign keys between different units.
func edgesOf(units []*unit) []edge {
	var edges []edge
	for _, child := range units {
		for _, f := range child.table.foreign {
			for _, parent := range units {
				if parent.table == f.parent && parent != child {
					edges = append(edges, edge{child, parent, f})
				}
			}
		}
	}
	return edges
}

// waits reports whether a unit refers to one that is not loaded yet.
func waits(u *unit, waiting []*unit, edges []edge) bool {
	return slices.ContainsFunc(edges, func(e edge) bool { return e.child == u && slices.Contains(waiting, e.parent) })
}

// circle returns foreign keys that lead from a unit back to itself. All of the
// waiting units wait for others of them.
func circle(waiting []*unit, edges []edge) []edge {
	var way []edge
	at := waiting[0]
	for {
		if i := slices.IndexFunc(way, func(e edge) bool { return e.child == at }); i >= 0 {
			return way[i:]
		}
		i := slices.IndexFunc(edges, func(e edge) bool { return e.child == at && slices.Contains(waiting, e.parent) })
		way = append(way, edges[i])
		at = edges[i].parent
	}
}

// open takes one foreign key out of a circle.
func (o *order) open(circle, edges []edge) ([]edge, error) {
	without := func(e edge) []edge {
		return slices.DeleteFunc(edges, func(x edge) bool { return x.child == e.child && x.foreign == e.foreign })
	}
	for _, e := range circle {
		if e.foreign.deferrable {
			o.deferred = append(o.deferred, e.foreign)
			return without(e), nil
		}
	}
	for _, e := range circle {
		if e.foreign.nullable(e.child.table) && e.child.onlyRows() {
			o.later = append(o.later, e.foreign)
			return without(e), nil
		}
	}
	return nil, rigid(circle)
}

// rigid is the error of a circle that nothing opens.
func rigid(circle []edge) error {
	var names []string
	for _, e := range circle {
		names = append(names, e.child.table.String()+"."+strings.Join(e.foreign.columns, ","))
	}
	return envdb.Fail(envdb.ErrPreflight, "the foreign keys %s go in a circle: none of these rows can be first", strings.Join(names, " → ")).
		WithNext("in a migration, make one of the constraints DEFERRABLE, or one of the columns nullable")
}

// nullable reports whether the foreign key rests while columns of it are NULL,
// and they may be.
func (f *foreignKey) nullable(t *table) bool {
	free := 0
	for _, name := range f.columns {
		if !t.column(name).notNull {
			free++
		}
	}
	return free == len(f.columns) || free > 0 && !f.full
}

// onlyRows reports whether the unit is rows that are inserted one by one.
func (u *unit) onlyRows() bool {
	return len(u.blocks) == 0 && !slices.ContainsFunc(u.loads, func(l load) bool { return l.csv != nil })
}

// orderRows sees to foreign keys of a table to itself: a deferrable one is
// deferred, else rows come after those that they refer to, and where these go
// in circles a column is NULL at first.
func (o *order) orderRows(u *unit) error {
	for _, f := range u.table.foreign {
		if f.parent != u.table {
			continue
		}
		if f.deferrable {
			o.deferred = append(o.deferred, f)
			continue
		}
		if !u.sortRows(f) {
			if !f.nullable(u.table) {
				return rigid([]edge{{u, u, f}})
			}
			o.later = append(o.later, f)
		}
	}
	return nil
}

// sortRows puts the rows of each file behind those that they refer to by f. It
// reports false where that cannot be.
func (u *unit) sortRows(f *foreignKey) bool {
	byKey := map[string]*insert{}
	for _, l := range u.loads {
		for _, r := range l.rows {
			if key, ok := r.values(f.references); ok {
				byKey[key] = r
			}
		}
	}
	sorter := rowSorter{foreign: f, byKey: byKey, state: map[*insert]int{}}
	total := 0
	for _, l := range u.loads {
		for _, r := range l.rows {
			if !sorter.visit(r) {
				return false
			}
		}
		total += len(l.rows)
	}
	if len(u.loads) == 1 {
		u.loads[0].rows = sorter.sorted
		return true
	}
	return total == len(sorter.sorted) && u.sameFiles(sorter.sorted)
}

// sameFiles reports whether sorted rows are in the order that the files give
// them anyway; rows of several files are not mixed.
func (u *unit) sameFiles(sorted []*insert) bool {
	n := 0
	for _, l := range u.loads {
		for _, r := range l.rows {
			if sorted[n] != r {
				return false
			}
			n++
		}
	}
	return true
}

// rowSorter visits rows, those that they refer to first.
type rowSorter struct {
	foreign *foreignKey
	byKey   map[string]*insert
	state   map[*insert]int // 1 while a row is being visited, 2 afterwards
	sorted  []*insert
}

func (s *rowSorter) visit(r *insert) bool {
	switch s.state[r] {
	case 1:
		return false
	case 2:
		return true
	}
	s.state[r] = 1
	if key, ok := r.values(s.foreign.columns); ok {
		if parent := s.byKey[key]; parent != nil && parent != r && !s.visit(parent) {
			return false
		}
	}
	s.state[r] = 2
	s.sorted = append(s.sorted, r)
	return true
}

// values returns what a row has in some columns, as one text; ok is false where
// one of them is NULL, not given, or computed by the server.
func (r *insert) values(columns []string) (text string, ok bool) {
	var parts []string
	for _, name := range columns {
		c := r.cell(name)
		if c == nil || c.text == nil {
			return "", false
		}
		parts = append(parts, *c.text)
	}
	return strings.Join(parts, "\x00"), true
}

// postpone moves the cells of the foreign keys that wait out of the rows.
func (o *order) postpone() {
	for _, f := range o.later {
		for _, u := range o.units {
			if !slices.Contains(u.table.foreign, f) {
				continue
			}
			for _, l := range u.loads {
				for _, r := range l.rows {
					r.postpone(f)
				}
			}
		}
	}
}

func (r *insert) postpone(f *foreignKey) {
	kept := r.cells[:0]
	for _, c := range r.cells {
		waits := slices.Contains(f.columns, c.column.name) && !c.column.notNull && (c.text != nil || c.sql != "")
		if waits {
			r.later = append(r.later, c)
			c.text, c.sql = nil, ""
		}
		kept = append(kept, c)
	}
	r.cells = kept
}
