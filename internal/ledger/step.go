package ledger

import (
	"slices"
	"sync"
	"time"

	"github.com/envdb/envdb"
)

// steps are those of one run, in the order in which they began.
type steps struct {
	mu   sync.Mutex
	all  []Step
	open map[string]opening
}

// opening is when a step was last begun, with the monotonic reading.
type opening struct {
	since time.Time
	heard bool // by progress alone; so progress ends it
}

// begin opens the step, again if it has ended: its times add up.
func (s *steps) begin(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := s.opened(name, opening{since: now})
	s.open[step.Name] = opening{since: s.open[step.Name].since}
}

// find returns the step, or nil if it was never begun.
func (s *steps) find(name string) *Step {
	i := slices.IndexFunc(s.all, func(step Step) bool { return step.Name == name })
	if i < 0 {
		return nil
	}
	return &s.all[i]
}

// opened returns the step, opening it if it is not open.
func (s *steps) opened(name string, o opening) *Step {
	step := s.find(name)
	if step == nil {
		s.all = append(s.all, Step{Name: name, Started: o.since.UTC()})
		step = &s.all[len(s.all)-1]
	}
	if _, open := s.open[name]; !open {
		if s.open == nil {
			s.open = map[string]opening{}
		}
		s.open[name] = o
	}
	return step
}

func (s *steps) end(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(name, now)
}

func (s *steps) close(name string, now time.Time) {
	if o, open := s.open[name]; open {
		delete(s.open, name)
		s.find(name).Took += max(now.Sub(o.since), 1)
	}
}

// heard notes progress, and reports whether it is of a new step. Reports of
// several goroutines overtake each other: one that tells nothing new of a step
// that has ended does not begin it again.
func (s *steps) heard(p envdb.Progress, now time.Time) (began bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, open := s.open[p.Step]
	known := s.find(p.Step)
	if known != nil && !open && p.Done <= known.Done && p.Total <= known.Total {
		return false
	}
	step := s.opened(p.Step, opening{since: now, heard: true})
	step.Done, step.Total, step.Unit = max(step.Done, p.Done), max(step.Total, p.Total), p.Unit
	if whole := step.Total > 0 && step.Done >= step.Total; whole && s.open[p.Step].heard {
		s.close(p.Step, now)
	}
	return known == nil
}

func (s *steps) endAll(now time.Time) {
	for _, step := range s.list() {
		s.end(step.Name, now)
	}
}

func (s *steps) list() []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}
