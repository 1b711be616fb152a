package logical

import (
	"fmt"
	"slices"
	"strings"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/logical/archive"
	"github.com/envdb/envdb/seed/statement"
)

// stage is when an entry of the archive is restored.
type stage int

const (
	stageNever  stage = iota
	stagePre          // before the rows, in the archive's order
	stageGraph        // after the rows of its tables, in parallel
	stageGrants       // privileges, when nothing else needs to be created
	stageLast         // what acts on other statements or on the world
)

// restorePlan is the archive sorted into stages, each in the archive's order.
type restorePlan struct {
	pre, graph, grants, last []archive.Entry
	byID                     map[int]archive.Entry
}

// stages says when the kinds of entries are restored that are not simply
// restored by their section. pg_dump's own order puts privileges after all
// else, because an owner may have revoked what loading needs, and event
// triggers after those.
var stages = map[string]stage{
	// They are settings of pg_dump's session, or belong to CREATE DATABASE.
	"ENCODING":            stageNever,
	"STDSTRINGS":          stageNever,
	"SEARCHPATH":          stageNever,
	"DATABASE":            stageNever,
	"DATABASE PROPERTIES": stageNever,
	// ANALYZE makes them anew.
	"STATISTICS DATA": stageNever,

	"ACL":         stageGrants,
	"DEFAULT ACL": stageGrants,

	"EVENT TRIGGER":                stageLast,
	"PUBLICATION":                  stageLast,
	"PUBLICATION TABLE":            stageLast,
	"PUBLICATION TABLES IN SCHEMA": stageLast,
	"SUBSCRIPTION":                 stageLast,
}

// annotations are the kinds of entries that say something of another object,
// and are restored right after it.
var annotations = map[string]bool{"COMMENT": true, "SECURITY LABEL": true}

// newPlan sorts the archive's entries, and leaves out what is not to exist.
func (d *loader) newPlan() (restorePlan, error) {
	p := restorePlan{byID: map[int]archive.Entry{}}
	skipped, err := d.skipped()
	if err != nil {
		return p, err
	}
	at := map[int]stage{}
	for _, e := range d.archive.Entries {
		if annotations[e.Type] && slices.ContainsFunc(e.DependsOn, func(id int) bool { return skipped[id] }) {
			continue
		}
		if skipped[e.ID] || d.leaveOut(e) {
			skipped[e.ID] = true
			continue
		}
		s, err := d.stageOf(e, at)
		if err != nil {
			return p, err
		}
		at[e.ID] = s
		p.add(e, s)
	}
	slices.SortStableFunc(p.last, func(a, b archive.Entry) int { return eventTriggersLast(a) - eventTriggersLast(b) })
	return p, nil
}

// eventTriggersLast orders entries such that nothing is created once an event
// trigger could see it.
func eventTriggersLast(e archive.Entry) int {
	if e.Type == "EVENT TRIGGER" || strings.HasPrefix(e.Tag, "EVENT TRIGGER ") {
		return 1
	}
	return 0
}

func (p *restorePlan) add(e archive.Entry, s stage) {
	switch s {
	case stagePre:
		p.pre = append(p.pre, e)
	case stageGraph:
		p.graph = append(p.graph, e)
	case stageGrants:
		p.grants = append(p.grants, e)
	case stageLast:
		p.last = append(p.last, e)
	default:
		return
	}
	p.byID[e.ID] = e
}

// stageOf decides when an entry is restored, given those before it.
func (d *loader) stageOf(e archive.Entry, at map[int]stage) (stage, error) {
	if strings.HasPrefix(e.Tag, "DATABASE ") && (annotations[e.Type] || e.Type == "ACL") {
		return stageNever, nil // set when the database is promoted
	}
	if e.Type == "ACL" && d.earlyGrant(e) {
		return stagePre, nil
	}
	if s, ok := stages[e.Type]; ok {
		return s, nil
	}
	if annotations[e.Type] {
		s := stagePre
		for _, id := range e.DependsOn {
			s = max(s, at[id])
		}
		return s, nil
	}
	switch e.Section {
	case archive.SectionPreData:
		return stagePre, nil
	case archive.SectionPostData:
		return stageGraph, nil
	}
	return stageNever, envdb.Fail(envdb.ErrVerification, "the backup's schema holds a %s, which a schema without data has not", e).
		WithNext("use a newer envdb, or another backup")
}

// earlyGrant reports whether the privileges of a schema are needed at once: a
// superuser needs none, but without one the new owner of an object must be
// allowed to create in its schema.
func (d *loader) earlyGrant(e archive.Entry) bool {
	return !d.roles.superuser && strings.HasPrefix(e.Tag, "SCHEMA ")
}

// skipped returns the ids of the extensions to skip and of what only speaks of
// them. Nothing else may depend on a skipped extension.
func (d *loader) skipped() (map[int]bool, error) {
	skip := map[int]bool{}
	var dependents []string
	for _, e := range d.archive.Entries {
		if e.Type == "EXTENSION" && slices.Contains(d.SkipExtensions, e.Tag) {
			skip[e.ID] = true
			d.record.leftOut(e.String())
			continue
		}
		if !slices.ContainsFunc(e.DependsOn, func(id int) bool { return skip[id] }) {
			continue
		}
		if !annotations[e.Type] && e.Type != "ACL" {
			dependents = append(dependents, e.String())
		}
		skip[e.ID] = true
	}
	if len(dependents) > 0 {
		return nil, envdb.Fail(envdb.ErrPreflight, "extensions to skip are needed by %s", firstOf(dependents, 5)).
			WithState("nothing was loaded").
			WithNext("remove the extension from extensions.skip and install it on the target")
	}
	return skip, nil
}

// leaveOut reports whether an object is not to exist in the copy, and says so.
func (d *loader) leaveOut(e archive.Entry) bool {
	if e.Type == "EXTENSION" && e.Tag == "plpgsql" {
		return true // every database begins with it
	}
	if fact := d.Neutralise.leavesOut(e); fact != "" {
		d.record.didNeutralise(fact)
		d.record.leftOut(e.String())
		return true
	}
	for _, lacking := range []func(archive.Entry) string{d.lacksPower, d.lacksRoles} {
		if note := lacking(e); note != "" {
			d.record.note(note)
			d.record.leftOut(e.String())
			return true
		}
	}
	return false
}

// lacksPower says why an object cannot be created by a role without superuser
// rights, for the objects that a neutralised copy can do without. For a raw
// copy the preflight has refused already.
func (d *loader) lacksPower(e archive.Entry) string {
	switch {
	case d.Neutralise == nil || d.roles.superuser:
		return ""
	case e.Type == "EVENT TRIGGER":
		return fmt.Sprintf("event trigger %s was left out: only a superuser can create one", e.Tag)
	case e.Type == "SUBSCRIPTION" && !d.roles.subscriber:
		return fmt.Sprintf("subscription %s was left out: %s may not create one", e.Tag, d.roles.current)
	}
	return ""
}

// lacksRoles says why an object is left out that speaks of roles alone that
// the target lacks.
func (d *loader) lacksRoles(e archive.Entry) string {
	var names []statement.Token
	switch e.Type {
	case "POLICY":
		names = policyRoles(statement.Tokens(e.Definition))
	case "USER MAPPING":
		names = mappedUser(statement.Tokens(e.Definition))
	}
	if len(names) == 0 || slices.ContainsFunc(names, d.willExist) {
		return ""
	}
	return fmt.Sprintf("%s was left out: the target lacks the roles that it is for", strings.ToLower(e.Type)+" "+e.Tag)
}

// willExist reports whether the target has a role by the time that it is
// needed.
func (d *loader) willExist(t statement.Token) bool {
	return t.Is(publicRole) || d.roles.exists[t.Name()] || d.Roles == RolesCreate
}

// firstOf names the first n texts, and how many there are more.
func firstOf(texts []string, n int) string {
	if len(texts) <= n {
		return strings.Join(texts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(texts[:n], ", "), len(texts)-n)
}
