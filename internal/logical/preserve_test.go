package logical

import (
	"strings"
	"testing"

	"github.com/envdb/envdb/seed/statement"
)

// What differs between the tables of two versions is allowed, noted or refused.
func TestDrift(t *testing.T) {
	t.Parallel()
	id := tableColumn{Name: "id", Type: "integer"}
	column := func(change func(*tableColumn)) tableColumn {
		c := tableColumn{Name: "c", Type: "text"}
		change(&c)
		return c
	}
	plain := column(func(*tableColumn) {})
	for name, test := range map[string]struct {
		live, next                    []tableColumn
		wantShared, wantNote, wantErr string
	}{
		"the same":               {[]tableColumn{id, plain}, []tableColumn{id, plain}, "id c", "", ""},
		"another order":          {[]tableColumn{plain, id}, []tableColumn{id, plain}, "c id", "", ""},
		"new and nullable":       {[]tableColumn{id}, []tableColumn{id, plain}, "id", "column c is new, and NULL", ""},
		"new with a default":     {[]tableColumn{id}, []tableColumn{id, column(func(c *tableColumn) { c.NotNull, c.Filled = true, true })}, "id", "column c is new, and has its default", ""},
		"new and generated":      {[]tableColumn{id}, []tableColumn{id, column(func(c *tableColumn) { c.Generated, c.NotNull, c.Filled = true, true, true })}, "id", "column c is new, and computed", ""},
		"new and NOT NULL":       {[]tableColumn{id}, []tableColumn{id, column(func(c *tableColumn) { c.NotNull = true })}, "id", "", "no column c, which is NOT NULL"},
		"gone":                   {[]tableColumn{id, plain}, []tableColumn{id}, "id", "", "the backup has no column c"},
		"another type":           {[]tableColumn{id, plain}, []tableColumn{id, column(func(c *tableColumn) { c.Type = "jsonb" })}, "id", "", "column c is text in the live version and jsonb in the backup"},
		"generated here":         {[]tableColumn{id, plain}, []tableColumn{id, column(func(c *tableColumn) { c.Generated = true })}, "id", "", "column c is generated on one side only"},
		"generated there":        {[]tableColumn{id, column(func(c *tableColumn) { c.Generated = true })}, []tableColumn{id, plain}, "id", "", "column c is generated on one side only"},
		"generated on both":      {[]tableColumn{id, column(func(c *tableColumn) { c.Generated = true })}, []tableColumn{id, column(func(c *tableColumn) { c.Generated = true })}, "id", "", ""},
		"NOT NULL by now":        {[]tableColumn{id, plain}, []tableColumn{id, column(func(c *tableColumn) { c.NotNull = true })}, "id c", "", ""},
		"nothing in common":      {nil, []tableColumn{plain}, "", "column c is new, and NULL", "no column in common"},
		"several faults at once": {[]tableColumn{plain}, []tableColumn{id, column(func(c *tableColumn) { c.Type = "date" })}, "", "column id is new, and NULL", "column c is text"},
	} {
		got := drift(test.live, test.next)
		var shared []string
		for _, c := range got.shared {
			shared = append(shared, c.Name)
		}
		if s := strings.Join(shared, " "); s != test.wantShared {
			t.Errorf("%s: shares %q, want %q", name, s, test.wantShared)
		}
		if s := strings.Join(got.notes, "; "); s != test.wantNote {
			t.Errorf("%s: notes %q, want %q", name, s, test.wantNote)
		}
		if s := strings.Join(got.faults, "; "); !strings.Contains(s, test.wantErr) || (s == "") != (test.wantErr == "") {
			t.Errorf("%s: faults %q, want %q", name, s, test.wantErr)
		}
	}
}

func TestKeyColumns(t *testing.T) {
	t.Parallel()
	for sql, want := range map[string]string{
		`ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);`:                                 `"id"`,
		`ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY ("a ""b""", "c,d", e) INCLUDE (more);`: `"a ""b""" "c,d" "e"`,
		`ALTER TABLE ONLY public.t ADD CONSTRAINT t_pkey PRIMARY KEY (id, valid WITHOUT OVERLAPS);`:         `"id" "valid"`,
		`ALTER TABLE ONLY public.t ADD CONSTRAINT u UNIQUE (id);`:                                           ``,
	} {
		if got := strings.Join(keyColumns(statement.Tokens(sql)), " "); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
}
