package manager

import (
	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/generation"
)

// DiskPart is a part of what an environment takes on its server's disk.
type DiskPart struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"`
	// Strategy is how it is copied, if it is.
	Strategy generation.Strategy `json:"strategy,omitempty"`
}

// copied is a part that is a copy of another database.
func copied(what string, bytes int64) DiskPart {
	return DiskPart{what, bytes, generation.StrategyFor(bytes)}
}

// peak notes what the environment takes when it takes most: all that is there
// now, and what comes before any of it goes.
func (p *Plan) peak(versions []generation.Version, coming ...DiskPart) {
	p.PeakBytes, p.Peak = 0, nil
	for _, state := range []envdb.VersionState{envdb.Live, envdb.Previous, envdb.Dark, generation.Building, envdb.Aside, envdb.Baseline, generation.Sealing, envdb.Spare} {
		part := DiskPart{What: string(state)}
		for _, v := range versions {
			if v.State == state {
				part.Bytes += v.Size
			}
		}
		p.Peak = append(p.Peak, part)
	}
	kept := p.Peak[:0]
	for _, part := range append(p.Peak, coming...) {
		if part.Bytes > 0 {
			kept = append(kept, part)
			p.PeakBytes += part.Bytes
		}
	}
	p.Peak = kept
}

// coming is what a pipeline adds. How large the next version will be is told
// by the live one, if it is a copy of the same, or else by the rows.
func coming(b building, versions []generation.Version, rows int64) []DiskPart {
	next := rows
	if live := liveOf(versions); live != nil && live.Marker != nil && live.Marker.Source == b.source {
		next = max(next, live.Size)
	}
	parts := []DiskPart{{What: "next", Bytes: next}}
	if b.promote && b.baseline && b.env.Baseline.Wanted(next) {
		parts = append(parts, copied("next baseline", next), sparing(b.env, versions, next))
	}
	return parts
}

// copying is what the fast ways of a reset add.
func copying(c choice, env config.Environment, versions []generation.Version) []DiskPart {
	if c.way == BySpare {
		return []DiskPart{copied("next spare", c.from.Size)}
	}
	return []DiskPart{copied("next", c.from.Size), sparing(env, versions, c.from.Size)}
}

// sparing is what the missing spares add.
func sparing(env config.Environment, versions []generation.Version, size int64) DiskPart {
	missing := env.Spares
	for _, v := range versions {
		if v.State == envdb.Spare && missing > 0 {
			missing--
		}
	}
	return DiskPart{"next spare", int64(missing) * size, generation.StrategyFor(size)}
}
