package mask

import (
	"fmt"
	"sync/atomic"
)

// reach counts the documents of a column, and what each path of its rule found
// in them.
type reach struct {
	documents atomic.Int64
	places    []atomic.Int64
}

func newReach(paths []PathRule) *reach { return &reach{places: make([]atomic.Int64, len(paths))} }

// Unreached lists the places of rules that none of the documents had that were
// masked by the plan. Such a rule is misspelt, or the documents have changed:
// either way what it was written for is copied as it is. Places that may be
// missing, and those of columns without a document, are not listed.
func (p *Plan) Unreached() []string {
	documents, hits := map[*ColumnRule]int64{}, map[*PathRule]int64{}
	var columns []*Column // one of each rule, in the plan's order
	for _, t := range p.Tables {
		for _, c := range t.Columns {
			if c.reach == nil {
				continue
			}
			if _, known := documents[c.Rule]; !known {
				columns = append(columns, c)
			}
			documents[c.Rule] += c.reach.documents.Load()
			for i := range c.Rule.Paths {
				hits[&c.Rule.Paths[i]] += c.reach.places[i].Load()
			}
		}
	}
	var out []string
	for _, c := range columns {
		for i := range c.Rule.Paths {
			path := &c.Rule.Paths[i]
			if n := documents[c.Rule]; n > 0 && hits[path] == 0 && !path.Optional {
				out = append(out, fmt.Sprintf("%s: %s: nothing is at %s in %d documents", path.At, c.Title(), path.Path, n))
			}
		}
	}
	return out
}
