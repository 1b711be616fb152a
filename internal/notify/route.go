package notify

import (
	"path"
	"slices"
)

// Route says who is told of what.
type Route struct {
	// Name is what a person calls it: the name of the notification in the file.
	Name    string
	Channel Channel
	// Kinds are what is told. What begins an alarm brings along what ends it:
	// Stale goes with Fresh, Objective with ObjectiveMet, and Failing with
	// Recovered only if Recovered is there too.
	Kinds []Kind
	// Environments and Jobs are names, in which a star stands for any letters but a
	// slash; none are all. Jobs are for a Pinger, which has no kinds.
	Environments, Jobs []string
}

// endings are the kinds that go with another one.
var endings = map[Kind]Kind{KindFresh: KindStale, KindObjectiveMet: KindObjective}

func (r Route) has(k Kind) bool {
	return slices.Contains(r.Kinds, k) || endings[k] != "" && slices.Contains(r.Kinds, endings[k])
}

// Wants reports whether an event is told.
func (r Route) Wants(e Event) bool {
	switch {
	case !r.has(e.Kind):
		return false
	case e.Besides != "" && r.has(e.Besides):
		return false
	}
	return e.Environment == "" || matchesAny(r.Environments, e.Environment)
}

// WantsPing reports whether a ping is sent.
func (r Route) WantsPing(p Ping) bool {
	_, pings := r.Channel.(Pinger)
	return pings && matchesAny(r.Environments, p.Environment) && matchesAny(r.Jobs, p.Job)
}

func (r Route) wants(i item) bool {
	if i.ping != nil {
		return r.WantsPing(*i.ping)
	}
	return r.Wants(i.event)
}

// matchesAny reports whether a name is one of those. None are all.
func matchesAny(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(glob string) bool {
		matches, err := path.Match(glob, name)
		return err == nil && matches
	})
}
