package logical

import (
	"slices"

	"github.com/envdb/envdb/backup"
	"github.com/envdb/envdb/internal/logical/archive"
)

const (
	// pieceBytes is about how much of a split table one COPY loads, so much
	// that its rows lie together.
	pieceBytes = 128 << 20
	// frozenFrom is the size from which on it pays to load a table frozen,
	// which costs it a second file.
	frozenFrom = 1 << 20
)

// portion is what one COPY loads of a table: all of it, or some of its chunks.
type portion struct {
	table Table
	refs  []backup.Ref
	// frozen says that it is the whole of an ordinary table, which nothing
	// else fills. Emptied in the transaction that fills it, the table takes
	// rows that are visible to everyone for good (COPY FREEZE): its pages are
	// not written again when the rows are first read, nor by VACUUM, and with
	// wal_level = minimal they are not logged. The table was empty before, and
	// nobody else can be connected who would see too much.
	frozen bool
}

// division knows which tables are loaded whole, by one session, and which are
// split among the sessions.
type division struct {
	// whole is the size up to which a table is loaded whole, because the other
	// sessions are at least as long busy with the rest.
	whole int64
	heap  map[Name]bool
	// routed are the tables that rows may reach by way of a root.
	routed map[Name]bool
}

// newDivision weighs the tables and what is built on them: an index or a
// constraint takes about half as long as the rows do.
func (d *loader) newDivision(g *graph) division {
	v := division{heap: map[Name]bool{}, routed: map[Name]bool{}}
	bytes := map[int]int64{}
	var effort int64
	for _, t := range d.cat.Tables {
		if d.masks.empties(t) {
			continue
		}
		t = d.masks.routed(t)
		effort += t.Bytes
		for _, id := range g.fedBy(t) {
			bytes[id] += t.Bytes
			e := d.plan.byID[id]
			v.heap[Name{e.Schema, e.Tag}] = e.AccessMethod == "heap"
			v.routed[Name{e.Schema, e.Tag}] = v.routed[Name{e.Schema, e.Tag}] || t.LoadInto != nil
		}
	}
	if !d.neutralisesFirst() {
		for _, e := range d.plan.graph {
			if builds(e) {
				effort += buildCost(e, bytes)
			}
		}
	}
	v.whole = max(pieceBytes, effort/int64(d.Jobs))
	return v
}

// builds reports whether an entry reads the rows of its table.
func builds(e archive.Entry) bool {
	return slices.Contains([]string{"INDEX", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT"}, e.Type)
}

// buildCost estimates what it takes to build an index or a constraint, in
// bytes of rows loaded.
func buildCost(e archive.Entry, bytes map[int]int64) int64 {
	var most int64
	for _, id := range e.DependsOn {
		most = max(most, bytes[id])
	}
	return most / 2
}

// portions splits a table into what one COPY loads each.
func (v division) portions(t Table, refs []backup.Ref) []portion {
	name := Name{t.Schema, t.Name}
	if size := sizeOf(refs); size <= v.whole {
		frozen := size >= frozenFrom && t.LoadInto == nil && v.heap[name] && !v.routed[name]
		return []portion{{t, refs, frozen}}[:min(1, len(refs))]
	}
	var out []portion
	for _, run := range pieces(refs) {
		out = append(out, portion{table: t, refs: run})
	}
	return out
}

// pieces splits a part into runs of chunks that are loaded on their own.
func pieces(refs []backup.Ref) [][]backup.Ref {
	var out [][]backup.Ref
	for len(refs) > 0 {
		n, size := 0, int64(0)
		for n < len(refs) && (n == 0 || size < pieceBytes) {
			size += refs[n].Size
			n++
		}
		out = append(out, refs[:n])
		refs = refs[n:]
	}
	return out
}
