package logical

import (
	"cmp"
	"context"
	"slices"

	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/seed/statement"
)

// step is a piece of work that a session can do on its own once others are
// done. Steps form a graph without cycles.
type step struct {
	name   string
	weight int64 // what it costs, about as many bytes of rows could be loaded meanwhile
	index  bool  // counts as an object in the progress
	run    func(context.Context, *session) error
	locks  []lock

	waits int // for that many steps
	next  []*step
	// path is the weight of the step and of the heaviest chain of those that
	// wait for it. Of the steps that are ready, the one with the longest path
	// goes first: the load cannot end sooner than the longest path is done.
	path int64
	// spare is how many sessions had nothing to do when the step was taken.
	spare int
}

// after makes s wait for each of the steps.
func (s *step) after(before ...*step) {
	for _, b := range before {
		b.next = append(b.next, s)
		s.waits++
	}
}

// lock is a table, or a whole tree of partitions, that a step needs. PostgreSQL
// would sort it out by itself, at the price of deadlocks and of sessions that
// only wait.
type lock struct {
	key       lockKey
	exclusive bool
}

type lockKey struct {
	entry int  // dump id of the table
	tree  bool // the table and everything below it
}

// graph is the middle of a load: rows, and whatever needs rows.
type graph struct {
	steps  []*step
	tables *tableTree
	rows   map[int][]*step // by dump id of the table
	// entries are the steps of the archive's entries, by dump id.
	entries map[int]*step
	// neutralise is the step that makes rows harmless, or nil.
	neutralise *step
}

// newGraph plans the middle of the load.
func (d *loader) newGraph(ctx context.Context) (*graph, error) {
	g := &graph{tables: newTableTree(d.plan), rows: map[int][]*step{}, entries: map[int]*step{}}
	if err := d.planRows(g); err != nil {
		return nil, err
	}
	d.planPreserve(g)
	rows := slices.Clone(g.steps)
	objects, err := d.planLargeObjects(ctx)
	if err != nil {
		return nil, err
	}
	g.steps = append(g.steps, objects...)
	sequences := d.planSequences()
	g.steps = append(g.steps, sequences...)
	rows = append(rows, d.planRaise(g, slices.Concat(rows, sequences))...)
	barrier := d.planNeutralise(g, slices.Concat(rows, objects))
	d.planRemap(g)
	d.planEntries(g, barrier)
	d.planAnalyze(g, barrier)
	return g, nil
}

// planEntries adds the archive's post-data. An entry waits for those that it
// depends on and for the rows of its tables.
func (d *loader) planEntries(g *graph, barrier []*step) {
	bytes := g.bytes()
	for _, e := range d.plan.graph {
		s := &step{name: e.String(), index: true, locks: g.lockKeys(e)}
		s.run = func(ctx context.Context, on *session) error { return d.restore(ctx, on, e) }
		if builds(e) {
			s.weight = buildCost(e, bytes)
			s.run = func(ctx context.Context, on *session) error { return d.buildOn(ctx, on, e, s.spare) }
		}
		s.after(barrier...)
		waited := map[*step]bool{}
		for _, id := range e.DependsOn {
			for _, before := range append(g.rowsOf(id), g.entries[id]) {
				if before != nil && !waited[before] {
					waited[before] = true
					s.after(before)
				}
			}
		}
		g.entries[e.ID] = s
		g.steps = append(g.steps, s)
	}
}

// bytes returns the size of the rows that are loaded into each table.
func (g *graph) bytes() map[int]int64 {
	bytes := map[int]int64{}
	for id, steps := range g.rows {
		for _, s := range steps {
			bytes[id] += s.weight
		}
	}
	return bytes
}

// rowsOf returns the steps that load the rows of a table and of everything
// below it.
func (g *graph) rowsOf(id int) []*step {
	steps := slices.Clone(g.rows[id])
	for _, child := range g.tables.children[id] {
		steps = append(steps, g.rowsOf(child)...)
	}
	return steps
}

// lockKeys says what the statements of a post-data entry lock. CREATE INDEX
// bears company; a constraint on a table that is nobody's parent needs that
// table alone; everything else gets the whole tree.
func (g *graph) lockKeys(e archive.Entry) []lock {
	plain := len(statement.Texts(e.Definition)) == 1 // more statements take more locks
	var locks []lock
	for _, id := range e.DependsOn {
		if !g.tables.is[id] {
			continue
		}
		tree := lockKey{g.tables.root(id), true}
		switch {
		case e.Type == "INDEX" && plain:
			locks = append(locks, lock{key: tree}, lock{key: lockKey{id, false}})
		case (e.Type == "CONSTRAINT" || e.Type == "INDEX") && len(g.tables.children[id]) == 0:
			locks = append(locks, lock{key: tree}, lock{key: lockKey{id, false}, exclusive: true})
		default:
			locks = append(locks, lock{key: tree, exclusive: true})
		}
	}
	return mergeLocks(locks)
}

// mergeLocks keeps the strongest lock per key.
func mergeLocks(locks []lock) []lock {
	slices.SortStableFunc(locks, func(a, b lock) int { return cmp.Compare(rank(a), rank(b)) })
	var out []lock
	for _, l := range locks {
		if !slices.ContainsFunc(out, func(have lock) bool { return have.key == l.key }) {
			out = append(out, l)
		}
	}
	return out
}

func rank(l lock) int {
	if l.exclusive {
		return 0
	}
	return 1
}

// tableTree knows which table of the archive is a partition or a child of
// which.
type tableTree struct {
	is       map[int]bool
	attached map[int]bool // partitions
	parents  map[int][]int
	children map[int][]int
	byName   map[Name]int
}

func newTableTree(p restorePlan) *tableTree {
	t := &tableTree{is: map[int]bool{}, attached: map[int]bool{}, parents: map[int][]int{}, children: map[int][]int{}, byName: map[Name]int{}}
	entries := slices.Concat(p.pre, p.graph)
	for _, e := range entries {
		if e.Type == "TABLE" || e.Type == "MATERIALIZED VIEW" || e.Type == "FOREIGN TABLE" {
			t.is[e.ID] = true
			t.byName[Name{e.Schema, e.Tag}] = e.ID
		}
	}
	for _, e := range entries {
		switch e.Type {
		case "TABLE", "FOREIGN TABLE":
			t.link(e.ID, e.DependsOn) // INHERITS
		case "TABLE ATTACH":
			partition := t.byName[Name{e.Schema, e.Tag}]
			t.attached[partition] = true
			t.link(partition, e.DependsOn)
		}
	}
	return t
}

// link makes child a child of those parents that are tables.
func (t *tableTree) link(child int, parents []int) {
	for _, p := range parents {
		if t.is[p] && p != child && !slices.Contains(t.parents[child], p) {
			t.parents[child] = append(t.parents[child], p)
			t.children[p] = append(t.children[p], child)
		}
	}
}

// root returns the table at the top, by the first parent of each.
func (t *tableTree) root(id int) int {
	for len(t.parents[id]) > 0 {
		id = t.parents[id][0]
	}
	return id
}

// below returns the table and everything below it.
func (t *tableTree) below(id int) []int {
	out := []int{id}
	for _, c := range t.children[id] {
		out = append(out, t.below(c)...)
	}
	return out
}
