package logical

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/postgres"
	"github.com/envdb/envdb/seed/statement"
)

// Preserved is a table whose rows belong to the environment: the copy gets
// those of the live version.
type Preserved struct {
	// Entry is what the configuration calls it; empty means "preserve".
	Entry string
	Table Name
	// Where is a condition in SQL, which both versions are asked; the other
	// rows come from the backup. Empty means all rows.
	Where string
}

// PreservedRows is what a load did about a preserved table, for its record and
// for Check.
type PreservedRows struct {
	Table Name   `json:"table"`
	Where string `json:"where,omitempty"`
	// Rows came from the live version; Removed are rows of the backup that
	// gave way to them.
	Rows    int64 `json:"rows"`
	Removed int64 `json:"removed"`
	// Parts are the tables of the backup that hold the rows: the table itself,
	// or its partitions.
	Parts []Name `json:"parts,omitempty"`
}

// origin names the part of the configuration that an error is about.
func (p Preserved) origin() string { return cmp.Or(p.Entry, "preserve") }

// preserving is a preserved table under way.
type preserving struct {
	Preserved
	entry int    // dump id
	parts []Name // of the backup
	// What [loader.comparePreserved] found: the columns that are copied, the
	// format of COPY, and the kinds of the table here and there.
	columns            []string
	format             string
	liveKind, nextKind string
}

func (p *preserving) title() string { return "table " + p.Table.String() }

func (p *preserving) sql() string { return postgres.QuoteName(p.Table.Schema, p.Table.Name) }

// from names the table in a statement that reads or deletes its own rows: a
// partitioned table has none but those of its partitions, and what inherits
// from another table is a table of its own.
func (p *preserving) from(kind string) string {
	if kind == "p" {
		return p.sql()
	}
	return "ONLY " + p.sql()
}

// condition is the WHERE clause, if there is one. The end of its line may be a
// comment.
func (p *preserving) condition() string {
	if p.Where == "" {
		return ""
	}
	return " WHERE (" + p.Where + "\n)"
}

// preparePreserve finds the tables in the plan. Without a live version there is
// nothing to preserve.
func (d *loader) preparePreserve() error {
	var err error
	if d.Own, err = d.Own.named(outline{d.archive, d.cat}); err != nil || len(d.Own.Preserve) == 0 {
		return err
	}
	if d.Own.Live == "" {
		d.record.note("nothing was preserved: the environment has no live version yet")
		return nil
	}
	tree := newTableTree(d.plan)
	for _, own := range d.Own.Preserve {
		p := &preserving{Preserved: own, entry: tree.byName[own.Table]}
		if p.parts, err = d.partsOf(p, tree); err != nil {
			return ownError(err, own.origin())
		}
		d.preserved = append(d.preserved, p)
	}
	for _, t := range d.cat.Tables {
		if d.givesWay(t) {
			d.copied.total -= t.Bytes
		}
	}
	return nil
}

// partsOf returns the tables of the backup whose rows are the preserved
// table's.
func (d *loader) partsOf(p *preserving, tree *tableTree) ([]Name, error) {
	below := map[int]bool{}
	for _, id := range tree.partitions(p.entry) {
		below[id] = true
	}
	var parts []Name
	for _, t := range d.cat.Tables {
		name := Name{t.Schema, t.Name}
		if t.Extension != "" || !below[tree.byName[name]] {
			continue
		}
		if t.LoadInto != nil && !below[tree.byName[*t.LoadInto]] {
			return nil, envdb.Fail(envdb.ErrPreflight, "rows move between the partitions of %s when they are copied, so %s alone cannot be preserved", *t.LoadInto, p.Table).
				WithNext("preserve %s", *t.LoadInto)
		}
		if other := d.preservedPart(name); other != nil {
			return nil, envdb.Fail(envdb.ErrPreflight, "%s and %s have rows in common, and both are named", p.Table, other.Table).WithNext("name one of them")
		}
		parts = append(parts, name)
	}
	return parts, nil
}

// partitions returns the table and its partitions, but not what inherits from
// it otherwise.
func (t *tableTree) partitions(id int) []int {
	out := []int{id}
	for _, child := range t.children[id] {
		if t.attached[child] {
			out = append(out, t.partitions(child)...)
		}
	}
	return out
}

// preservedPart returns the preserved table that a table of the backup belongs
// to, or nil.
func (d *loader) preservedPart(table Name) *preserving {
	for _, p := range d.preserved {
		if slices.Contains(p.parts, table) {
			return p
		}
	}
	return nil
}

// givesWay reports whether none of a table's rows are loaded, because the live
// version's take their place.
func (d *loader) givesWay(t Table) bool {
	p := d.preservedPart(Name{t.Schema, t.Name})
	return p != nil && p.Where == ""
}

// planPreserve adds the steps that bring the preserved rows, one after another
// over one session to the live version: they are all of one moment, which is
// as late as can be. What is built on a table waits for them as for its other
// rows.
func (d *loader) planPreserve(g *graph) {
	var last *step
	for _, p := range d.preserved {
		s := &step{name: "preserve " + p.Table.String(), weight: 1}
		s.run = func(ctx context.Context, on *session) error { return d.preserve(ctx, on, p) }
		s.after(g.rowsOf(p.entry)...)
		if last != nil {
			s.after(last)
		}
		for _, id := range g.tables.below(p.entry) {
			g.rows[id] = append(g.rows[id], s)
		}
		g.steps = append(g.steps, s)
		last = s
	}
}

// planRaise adds the step that moves sequences behind the preserved rows, once
// they stand where the backup had them.
func (d *loader) planRaise(g *graph, before []*step) []*step {
	if len(d.preserved) == 0 {
		return nil
	}
	s := &step{name: "sequences of preserved tables", run: d.raiseSequences}
	s.after(before...)
	g.steps = append(g.steps, s)
	return []*step{s}
}

// preserve brings the rows of one table.
func (d *loader) preserve(ctx context.Context, on *session, p *preserving) error {
	if err := d.openLive(ctx, on); err != nil {
		return err
	}
	copyRows := d.preserveWhole
	if p.Where != "" {
		copyRows = d.preserveSome
	}
	rows, removed, err := copyRows(ctx, on, p)
	if err != nil {
		return refusedRows(p, err)
	}
	for _, name := range p.parts {
		if p.Where == "" {
			removed += d.rowsOf(name)
		}
	}
	d.record.didPreserve(PreservedRows{Table: p.Table, Where: p.Where, Rows: rows, Removed: removed, Parts: p.parts})
	d.record.note(fmt.Sprintf("%s was preserved: %s of the live version, in the place of %s of the backup", p.title(), countOf(rows, "row"), countOf(removed, "row")))
	d.Report.Send(envdb.Progress{Step: "preserve", Done: int64(len(d.record.preservedRows())), Total: int64(len(d.preserved)), Unit: "tables"})
	return nil
}

// rowsOf returns how many rows the backup holds of a table.
func (d *loader) rowsOf(table Name) int64 {
	for _, t := range d.cat.Tables {
		if t.Schema == table.Schema && t.Name == table.Name {
			return t.Rows
		}
	}
	return 0
}

// primaryKey returns the columns of the primary key that the table is going to
// have, quoted. It returns none if one of them is computed: such keys do not
// come from the live version.
func (d *loader) primaryKey(p *preserving) []string {
	for _, e := range d.plan.graph {
		if e.Type == "CONSTRAINT" && slices.Contains(e.DependsOn, p.entry) && e.Schema == p.Table.Schema && strings.HasPrefix(e.Tag, p.Table.Name+" ") {
			columns := keyColumns(statement.Tokens(e.Definition))
			if len(columns) > 0 && !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(p.columns, c) }) {
				return columns
			}
		}
	}
	return nil
}

// keyColumns reads PRIMARY KEY (column, …) in an ALTER TABLE.
func keyColumns(tokens []statement.Token) []string {
	for i := 0; i+3 < len(tokens); i++ {
		if !tokens[i].Is("PRIMARY") || !tokens[i+1].Is("KEY") || tokens[i+2].Text != "(" {
			continue
		}
		var columns []string
		for j := i + 2; j+1 < len(tokens) && tokens[j].Text != ")"; j++ {
			if tokens[j].Text == "(" || tokens[j].Text == "," {
				columns = append(columns, postgres.Quote(tokens[j+1].Name()))
			}
		}
		return columns
	}
	return nil
}
