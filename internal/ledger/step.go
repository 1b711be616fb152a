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
	open map[string]time.Time // with the monotonic reading
}

// begin opens the step, again if it has ended: its times add up.
func (s *steps) begin(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened(name, now)
}

func (s *steps) opened(name string, now time.Time) *Step {
	i := slices.IndexFunc(s.all, func(step Step) bool { return step.Name == name })
	if i < 0 {
		s.all = append(s.all, Step{Name: name, Started: now.UTC()})
		i = len(s.all) - 1
	}
	if _, open := s.open[name]; !open {
		if s.open == nil {
			s.open = map[string]time.Time{}
		}
		s.open[name] = now
	}
	return &s.all[i]
}

func (s *steps) end(name string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since, open := s.open[name]
	if !open {
		return
	}
	delete(s.open, name)
	i := slices.IndexFunc(s.all, func(step Step) bool { return step.Name == name })
	s.all[i].Took += max(now.Sub(since), 1)
}

// heard notes progress. A report that comes after the step was whole changes
// its counts only.
func (s *steps) heard(p envdb.Progress, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := p.Total > 0 && p.Done >= p.Total
	i := slices.IndexFunc(s.all, func(step Step) bool { return step.Name == p.Step })
	var step *Step
	if _, open := s.open[p.Step]; i >= 0 && !open && whole {
		step = &s.all[i]
	} else {
		step = s.opened(p.Step, now)
	}
	// Reports of several goroutines may overtake each other.
	step.Done, step.Total, step.Unit = max(step.Done, p.Done), max(step.Total, p.Total), p.Unit
	if since, open := s.open[p.Step]; open && whole {
		delete(s.open, p.Step)
		step.Took += max(now.Sub(since), 1)
	}
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
