package logical

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/envdb/envdb/internal/postgres"
)

// objects compares the inventories.
func (c *checker) objects(ctx context.Context) (CheckResult, error) {
	found, err := inventory(ctx, c.conn, c.source())
	if err != nil {
		return CheckResult{}, err
	}
	if len(c.cat.Objects) == 0 {
		return skippedCheck("the backup holds no inventory"), nil
	}
	c.report.Objects = len(c.cat.Objects)
	why := c.newReasons()
	var result CheckResult
	for _, d := range compareObjects(c.cat.Objects, found) {
		d.Why = why.of(d)
		result.sort(d.Difference)
	}
	return result, nil
}

// objectDifference is a difference with the objects of both sides.
type objectDifference struct {
	Difference
	before, after Object
}

// compareObjects returns what differs between two inventories, each sorted as
// Inventory sorts. Objects that share class and identity are told apart by
// their digests.
func compareObjects(before, after []Object) []objectDifference {
	type name struct{ class, identity string }
	have := map[name][]Object{}
	for _, o := range after {
		k := name{o.Class, o.Identity}
		have[k] = append(have[k], o)
	}
	wanted := map[name][]Object{}
	var order []name
	for _, o := range before {
		k := name{o.Class, o.Identity}
		if wanted[k] == nil {
			order = append(order, k)
		}
		wanted[k] = append(wanted[k], o)
	}
	for _, o := range after {
		if k := (name{o.Class, o.Identity}); wanted[k] == nil {
			wanted[k] = []Object{}
			order = append(order, k)
		}
	}
	var out []objectDifference
	for _, k := range order {
		b, a := without(wanted[k], have[k]), without(have[k], wanted[k])
		for i := range max(len(b), len(a)) {
			d := objectDifference{Difference: Difference{Class: k.class, Identity: k.identity}}
			switch {
			case i >= len(a):
				d.Kind, d.before = Missing, b[i]
			case i >= len(b):
				d.Kind, d.after = Extra, a[i]
			default:
				d.Kind, d.before, d.after = Different, b[i], a[i]
			}
			out = append(out, d)
		}
	}
	return out
}

// without returns the multiset a less b, by their digests.
func without(a, b []Object) []Object {
	rest := slices.Clone(b)
	var out []Object
	for _, o := range a {
		if i := slices.IndexFunc(rest, func(r Object) bool { return r.Digest == o.Digest }); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		out = append(out, o)
	}
	return out
}

// ExpectedDifferences lists in what a neutralised copy differs from its
// source, object by object.
func ExpectedDifferences(cat *Catalogue) []Difference {
	var out []Difference
	add := func(kind DifferenceKind, o Object, why string) {
		out = append(out, Difference{Kind: kind, Class: o.Class, Identity: o.Identity, Why: why})
	}
	disabled := HashRow([]byte("D")).String()
	for _, o := range cat.Objects {
		switch o.Class {
		case "publication", "publication table", "publication schema":
			add(Missing, o, "neutralised: publications are not created")
		case "user mapping":
			add(Missing, o, "neutralised: user mappings are not created")
		case "subscription":
			add(Different, o, "neutralised: subscriptions have no slot")
		case "event trigger state":
			if o.Digest != disabled {
				add(Different, o, "neutralised: event triggers are disabled")
			}
		case "comment":
			if strings.HasPrefix(o.Identity, "publication ") {
				add(Missing, o, "neutralised: publications are not created")
			}
		}
	}
	return out
}

// reasons knows what explains a difference.
type reasons struct {
	*checker
	neutralised map[Difference]string
	left        map[string]bool
	leftPolicy  bool
	mapped      []string // digests of the owners that were mapped
}

func (c *checker) newReasons() reasons {
	r := reasons{checker: c, neutralised: map[Difference]string{}, left: map[string]bool{}}
	if c.expect.Neutralised {
		for _, d := range ExpectedDifferences(c.cat) {
			r.neutralised[Difference{Kind: d.Kind, Class: d.Class, Identity: d.Identity}] = d.Why
		}
	}
	for _, l := range c.expect.Loaded.Left {
		r.left[plainName(l)] = true
		r.leftPolicy = r.leftPolicy || strings.HasPrefix(l, "POLICY ")
	}
	for _, name := range c.expect.Loaded.MappedRoles {
		r.mapped = append(r.mapped, HashRow([]byte(name)).String())
	}
	return r
}

// plainName makes the names of the archive and of the inventory comparable.
func plainName(s string) string {
	return strings.ToLower(strings.NewReplacer(`"`, "", " ", ".").Replace(s))
}

// of returns what explains a difference, or "".
func (r reasons) of(d objectDifference) string {
	if why := r.neutralised[Difference{Kind: d.Kind, Class: d.Class, Identity: d.Identity}]; why != "" {
		return why
	}
	for _, explain := range []func(objectDifference) string{
		r.ofLeft, r.ofRoles, r.ofExtensions, r.ofTemplate, r.ofWording,
	} {
		if why := explain(d); why != "" {
			return why
		}
	}
	return ""
}

// ofLeft explains what was not created, and what was said of it.
func (r reasons) ofLeft(d objectDifference) string {
	const why = "it was left out, as the notes say"
	if d.Class == "materialized view" && d.Kind == Different && r.left[plainName("MATERIALIZED VIEW DATA "+d.Identity)] {
		return why
	}
	if d.Kind != Missing {
		return ""
	}
	class := strings.TrimSuffix(d.Class, " state")
	switch {
	case r.left[plainName(class+" "+d.Identity)], r.left[plainName(d.Identity)]:
		return why
	case d.Class == "user mapping" && r.leftAny("user.mapping."):
		return why
	case d.Class == "comment" && strings.HasPrefix(d.Identity, "policy ") && r.leftPolicy:
		return why
	}
	return ""
}

func (r reasons) leftAny(prefix string) bool {
	for l := range r.left {
		if strings.HasPrefix(l, prefix) {
			return true
		}
	}
	return false
}

// ofRoles explains what comes of roles that the target lacks.
func (r reasons) ofRoles(d objectDifference) string {
	if d.Class == "owner" && d.Kind == Different && slices.Contains(r.mapped, d.before.Digest) &&
		d.after.Digest == HashRow([]byte(r.roles.current)).String() {
		return "its owner was mapped to " + r.roles.current
	}
	if len(r.lacks) == 0 && len(r.mapped) == 0 {
		return ""
	}
	switch d.Class {
	case "acl", "column acl", "default acl", "policy role":
		return "roles that the target lacks were granted something"
	}
	return ""
}

// ofExtensions explains what comes of extensions that were skipped, or created
// in another version.
func (r reasons) ofExtensions(d objectDifference) string {
	name := strings.Trim(strings.TrimPrefix(d.Identity, "extension "), `"`)
	switch {
	case d.Class == "extension" && d.Kind == Missing && slices.Contains(r.expect.SkippedExtensions, name):
		return "the extension was skipped"
	case d.Class == "comment" && d.Kind == Missing && slices.Contains(r.expect.SkippedExtensions, name):
		return "the extension was skipped"
	case (d.Class == "acl" || d.Class == "column acl") && d.Kind == Missing && len(r.expect.SkippedExtensions) > 0:
		return "the privileges may be those of a skipped extension's object"
	case d.Class == "extension" && d.Kind == Different:
		return "the target has another version of the extension"
	}
	return ""
}

// ofTemplate explains what a role without superuser rights cannot change of
// what every database begins with.
func (r reasons) ofTemplate(d objectDifference) string {
	if d.Kind == Extra && d.Class == "acl" && d.Identity == "schema public" {
		// pg_dump writes no CREATE SCHEMA public; it revokes what the
		// template's has and one that was made anew has not.
		return "the source's schema public was made anew, without the privileges that a template grants"
	}
	if r.roles.superuser {
		return ""
	}
	if d.Identity == "schema public" || d.Class == "comment" && strings.HasPrefix(d.Identity, "extension ") {
		return "it belongs to whoever made the template"
	}
	return ""
}

// indexes looks for indexes that a load left invalid. A partitioned table's is
// invalid until every partition has one, and may be on the source.
func (c *checker) indexes(ctx context.Context) (CheckResult, error) {
	const q = `SELECT pg_catalog.format('%I.%I', n.nspname, x.relname)
		FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = x.relnamespace
		WHERE x.relkind = 'i' AND NOT (i.indisvalid AND i.indisready) AND x.relpersistence <> 't' ORDER BY 1`
	rows, err := c.conn.Query(ctx, q)
	if err != nil {
		return CheckResult{}, postgres.Explain(err, "list the indexes")
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return CheckResult{}, postgres.Explain(err, "list the indexes")
	}
	var result CheckResult
	for _, n := range names {
		result.sort(Difference{Kind: Different, Class: "index", Identity: n, Detail: "it is not valid"})
	}
	return result, nil
}
