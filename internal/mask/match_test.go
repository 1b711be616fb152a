package mask_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/envdb/envdb/internal/mask"
)

func public(name string) mask.Name { return mask.Name{Schema: "public", Name: name} }

// shop is a database with partitions and children.
func shop() []mask.Shape {
	id := mask.ShapeColumn{Name: "id", Type: "bigint", NotNull: true, Unique: true}
	email := mask.ShapeColumn{Name: "email", Type: "text", NotNull: true, Unique: true}
	short := mask.ShapeColumn{Name: "code", Type: "character varying(8)", Unique: true}
	domain := mask.ShapeColumn{Name: "colour", Type: "public.colour"}
	lower := mask.ShapeColumn{Name: "email_lower", Type: "text", Generated: true}
	return []mask.Shape{
		{Name: public("customers"), Holds: true, Columns: []mask.ShapeColumn{id, email, short, domain, lower}},
		{Name: public("events"), Columns: []mask.ShapeColumn{id, {Name: "note", Type: "text"}}},
		{Name: public("events_1"), Holds: true, Parents: []mask.Name{public("events")}, Columns: []mask.ShapeColumn{id, {Name: "note", Type: "text"}}},
		{Name: public("events_2"), Holds: true, Parents: []mask.Name{public("events")}, Columns: []mask.ShapeColumn{id, {Name: "note", Type: "text"}, {Name: "extra", Type: "text"}}},
	}
}

func column(name string, rule mask.Rule) mask.ColumnRule {
	return mask.ColumnRule{Column: name, At: "mask.yaml:" + name, Rule: rule}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tables []mask.TableRules
		strict bool
		large  int64
		plan   string
		want   []string
	}{
		"partitions follow their root": {
			tables: []mask.TableRules{{Name: public("events"), Columns: []mask.ColumnRule{column("note", named(mask.Redact))}}},
			plan:   "public.events_1: note; public.events_2: note",
		},
		"a partition may have its own rule": {
			tables: []mask.TableRules{
				{Name: public("events"), Columns: []mask.ColumnRule{column("note", named(mask.Redact))}},
				{Name: public("events_2"), Columns: []mask.ColumnRule{column("note", named(mask.Keep)), column("extra", named(mask.Hash))}},
			},
			plan: "public.events_1: note; public.events_2: extra",
		},
		"emptied": {
			tables: []mask.TableRules{{Name: public("events"), Whole: mask.EmptyTable}},
			plan:   "public.events_1: empty; public.events_2: empty",
		},
		"no such table": {
			tables: []mask.TableRules{{Name: mask.Name{Schema: "shop", Name: "events"}, At: "mask.yaml:2:3", Whole: mask.KeepTable}},
			want:   []string{"unmatched mask.yaml:2:3: there is no table shop.events; there is public.events"},
		},
		"no such column": {
			tables: []mask.TableRules{{Name: public("events"), Columns: []mask.ColumnRule{column("notes", named(mask.Redact))}}},
			want:   []string{"unmatched mask.yaml:notes: public.events has no column notes; it has id, note"},
		},
		"generated": {
			tables: []mask.TableRules{{Name: public("customers"), Columns: []mask.ColumnRule{column("email_lower", named(mask.Redact))}}},
			want:   []string{"unfit mask.yaml:email_lower: public.customers.email_lower is computed from other columns"},
		},
		"unfit": {
			tables: []mask.TableRules{{Name: public("customers"), Columns: []mask.ColumnRule{
				column("colour", named(mask.Hash)), column("id", named(mask.Email)), column("email", named(mask.Null)), column("code", mask.Rule{Name: mask.JSON}),
			}}},
			plan: "public.customers: id, email, code, colour",
			want: []string{"no named rule knows the type", "email is not for columns of that type", "is NOT NULL", "json is for columns"},
		},
		"risks": {
			tables: []mask.TableRules{{Name: public("customers"), Columns: []mask.ColumnRule{column("email", named(mask.FullName)), column("code", named(mask.Hash))}}},
			plan:   "public.customers: email, code",
			want:   []string{"risk mask.yaml:email: public.customers.email (text) is unique, and name", "risk mask.yaml:code", "holds 8 characters only"},
		},
		"strict": {
			tables: []mask.TableRules{
				{Name: public("customers"), Whole: mask.KeepTable},
				{Name: public("events"), Columns: []mask.ColumnRule{column("id", named(mask.Keep))}},
			},
			strict: true, large: 3,
			want: []string{"uncovered public.events.note (text) has no rule", "uncovered public.events_2.extra (text) has no rule", "the 3 large objects have no rule"},
		},
		"strict and covered": {
			tables: []mask.TableRules{{Name: public("customers"), Whole: mask.KeepTable}, {Name: public("events"), Whole: mask.KeepTable}},
			strict: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, findings := mask.Match(&mask.Rules{Tables: c.tables}, shop(), c.strict, c.large)
			if got := planned(plan); got != c.plan {
				t.Errorf("the plan is %q, want %q", got, c.plan)
			}
			var said []string
			for _, f := range findings {
				said = append(said, string(f.Kind)+" "+f.String())
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, want) }) {
					t.Errorf("nothing says %q:\n%s", want, strings.Join(said, "\n"))
				}
			}
			if len(c.want) == 0 && len(said) > 0 || len(c.want) > 0 && len(said) == 0 {
				t.Errorf("found %q", said)
			}
		})
	}
}

func planned(p *mask.Plan) string {
	var tables []string
	for _, t := range p.Tables {
		if t.Empty {
			tables = append(tables, t.String()+": empty")
			continue
		}
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, c.Name)
		}
		tables = append(tables, t.String()+": "+strings.Join(columns, ", "))
	}
	return strings.Join(tables, "; ")
}
