package daemon

import (
	"slices"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/manager"
)

// Scope is what a configuration speaks of. What metrics and alarms know of
// anything else is of a configuration that was in force before.
type Scope struct {
	tasks, environments, drills, channels, subjects map[string]bool
}

// NewScope returns the scope of a configuration: its tasks, the names of its
// environments, of its drills, and of those who are told.
func NewScope(tasks []Task, environments, drills, channels []string) *Scope {
	s := &Scope{tasks: map[string]bool{}, environments: setOf(environments), drills: setOf(drills), channels: setOf(channels), subjects: map[string]bool{subjectStore: true}}
	for _, t := range tasks {
		s.tasks[t.Name()] = true
		s.subjects[subjectOf(t.Name())] = true
		s.subjects[lookSubject(t.Name())] = true
	}
	for _, d := range drills {
		s.subjects[string(envdb.OpDrill)+"/"+d] = true
	}
	return s
}

// drillsOf returns those that are in scope; nil has everything in scope.
func (s *Scope) drillsOf(states []manager.DrillState) []manager.DrillState {
	if s == nil {
		return states
	}
	return slices.DeleteFunc(slices.Clone(states), func(d manager.DrillState) bool { return !s.drills[d.Name] })
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}
