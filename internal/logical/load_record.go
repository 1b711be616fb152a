package logical

import (
	"slices"
	"sync"
	"sync/atomic"
)

// copied counts what was copied.
type copied struct {
	rows, bytes atomic.Int64
	total       int64 // bytes that there are to copy
}

// record collects what a load did, from several goroutines.
type record struct {
	mu          sync.Mutex
	notes       []string
	neutralised []string
	mapped      []string
	left        []string
	files       []string
	options     []string
	remapped    []string
	preserved   []PreservedRows
	sequences   []Sequence
	analyzed    map[Name]bool
}

func (r *record) add(list *[]string, texts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range texts {
		if !slices.Contains(*list, t) {
			*list = append(*list, t)
		}
	}
}

func (r *record) note(texts ...string)          { r.add(&r.notes, texts...) }
func (r *record) didNeutralise(texts ...string) { r.add(&r.neutralised, texts...) }
func (r *record) mappedRole(name string)        { r.add(&r.mapped, name) }
func (r *record) leftOut(kindAndName ...string) { r.add(&r.left, kindAndName...) }
func (r *record) changedOptions(object string)  { r.add(&r.options, object) }
func (r *record) ran(file string)               { r.add(&r.files, file) }
func (r *record) didRemap(object string)        { r.add(&r.remapped, object) }

func (r *record) didPreserve(p PreservedRows) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.preserved = append(r.preserved, p)
}

func (r *record) preservedRows() []PreservedRows {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.preserved
}

func (r *record) movedSequence(s Sequence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sequences = append(r.sequences, s)
}

func (r *record) wasAnalyzed(table Name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.analyzed == nil {
		r.analyzed = map[Name]bool{}
	}
	r.analyzed[table] = true
}

func (r *record) isAnalyzed(table Name) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.analyzed[table]
}

// loaded returns what was recorded.
func (r *record) loaded(c *copied) *Loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &Loaded{
		Rows: c.rows.Load(), Bytes: c.bytes.Load(),
		Notes: r.notes, Neutralised: r.neutralised, MappedRoles: slices.Sorted(slices.Values(r.mapped)), Left: r.left, Files: r.files, ChangedOptions: r.options,
		Preserved: r.preserved, Sequences: r.sequences, Remapped: r.remapped,
	}
}
