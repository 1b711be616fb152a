package config_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/envdb/envdb"
	"github.com/envdb/envdb/internal/config"
	"github.com/envdb/envdb/internal/mask"
)

const maskingCopy = `
project: acme
store: {url: store}
environments:
  prod: {tier: production, url: "postgres://localhost/prod"}
  copy:
    tier: production-copy
    url: postgres://localhost/copy
    mirror: {from: prod, mask: {rules: sql/mask.yaml, secret: env:MASK_SECRET, strict: true}}
`

// rulesOf reads a file of rules.
func rulesOf(t *testing.T, text string) (*mask.Rules, error) {
	t.Helper()
	l := place(t, maskingCopy)
	write(t, filepath.Join(l.WorkDir, "sql/mask.yaml"), text)
	c, err := l.Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	env, err := c.Environment("copy")
	if err != nil {
		t.Fatal(err)
	}
	if m := env.Mirror.Mask; !m.Declared() || !m.Strict || m.Scan != config.ScanSample {
		t.Fatalf("the masking is %+v", m)
	}
	return c.MaskRules(env.Mirror.Mask)
}

func TestMaskRules(t *testing.T) {
	t.Parallel()
	r, err := rulesOf(t, `
tables:
  customers:
    email: email
    phone: null
    born: shift_date
    joined: {shift_date: 30d}
    city: {rule: city, scan: off}
    profile: {json: {a.b: hash, "c.*?": "null"}}
    note: {sql: "left(note, 1)"}
  shop.countries: keep
  sessions: empty
large_objects: omit
`)
	if err != nil {
		t.Fatal(report(err))
	}
	var b strings.Builder
	for _, table := range r.Tables {
		fmt.Fprintf(&b, "%s %s %s\n", table.Name, table.At, table.Whole)
		for _, c := range table.Columns {
			fmt.Fprintf(&b, "  %s %s %s %q %d %v %t\n", c.Column, c.At, c.Rule.Name, c.Expression, c.Days, c.Paths, c.Unscanned)
		}
	}
	want := `public.customers sql/mask.yaml:3:3 
  email sql/mask.yaml:4:5 email "" 0 [] false
  phone sql/mask.yaml:5:5 null "" 0 [] false
  born sql/mask.yaml:6:5 shift_date "" 90 [] false
  joined sql/mask.yaml:7:5 shift_date "" 30 [] false
  city sql/mask.yaml:8:5 city "" 0 [] true
  profile sql/mask.yaml:9:5 json "" 0 [hash null] false
  note sql/mask.yaml:10:5 sql "left(note, 1)" 0 [] false
shop.countries sql/mask.yaml:11:3 keep
public.sessions sql/mask.yaml:12:3 empty
`
	if paths := r.Tables[0].Columns[5].Paths; paths[0].Optional || paths[0].Path != "a.b" || !paths[1].Optional || paths[1].Path != "c.*" {
		t.Errorf("paths: %+v", paths)
	}
	if b.String() != want || r.Large != mask.OmitLarge {
		t.Errorf("large objects: %s\ngot\n%s\nwant\n%s", r.Large, b.String(), want)
	}
}

func TestBadMaskRules(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		kind error
		says []string
	}{
		"empty":               {"\n", envdb.ErrMisuse, []string{"sql/mask.yaml is empty"}},
		"malformed":           {"tables: [", envdb.ErrMisuse, []string{"sql/mask.yaml:1:"}},
		"no tables":           {"large_objects: keep\n", envdb.ErrMisuse, []string{`the key "tables" is missing`}},
		"unknown key":         {"tabels: {}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:1:1", `did you mean "tables"?`}},
		"unknown rule":        {"tables:\n  a: {b: emial}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:10", `unknown rule "emial"`, `did you mean "email"?`}},
		"no rule":             {"tables:\n  a:\n    b:\n", envdb.ErrMisuse, []string{"sql/mask.yaml:3:", "has no value"}},
		"unknown treatment":   {"tables:\n  a: kep\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:6", `did you mean "keep"?`}},
		"a table twice":       {"tables:\n  a: keep\n  public.a: keep\n", envdb.ErrMisuse, []string{"sql/mask.yaml:3:3", "public.a is here twice"}},
		"a column twice":      {"tables:\n  a:\n    b: keep\n    b: hash\n", envdb.ErrMisuse, []string{"sql/mask.yaml:4:5"}},
		"no name of a table":  {"tables:\n  a.b.c: keep\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:3", "schema.table"}},
		"two rules":           {"tables:\n  a: {b: {rule: hash, sql: x}}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:", "says 2 rules"}},
		"a rule of no days":   {"tables:\n  a: {b: {shift_date: 5h}}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:", "number of days"}},
		"a document's dates":  {"tables:\n  a: {b: {json: {c: shift_date}}}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:", "shift_date is for columns"}},
		"an empty document":   {"tables:\n  a: {b: {json: {}}}\n", envdb.ErrMisuse, []string{"names no place"}},
		"an empty key":        {"tables:\n  a: {b: {json: {old..e: hash}}}\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:18", `"old..e" has an empty key`}},
		"a dot at the end":    {"tables:\n  a: {b: {json: {old.: hash}}}\n", envdb.ErrMisuse, []string{`"old." has an empty key`}},
		"large objects wrong": {"tables: {a: keep}\nlarge_objects: drop\n", envdb.ErrMisuse, []string{"sql/mask.yaml:2:16"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := rulesOf(t, c.text)
			if !errors.Is(err, c.kind) {
				t.Fatalf("got %s", report(err))
			}
			for _, text := range append(c.says, "nothing was changed") {
				if !strings.Contains(report(err), text) {
					t.Errorf("got %s\nwant it to say %q", report(err), text)
				}
			}
		})
	}
}

func TestMaskSecretIsAReference(t *testing.T) {
	t.Parallel()
	_, err := place(t, strings.ReplaceAll(maskingCopy, "env:MASK_SECRET", "hunter2hunter2hunter2")).Load("", nil)
	if !errors.Is(err, envdb.ErrMisuse) || !strings.Contains(err.Error(), "write env:NAME or file:PATH") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %s", report(err))
	}
	c := load(t, maskingCopy)
	if _, err := c.MaskSecret("copy"); !errors.Is(err, config.ErrUnset) || !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("got %v, want ErrUnset", err)
	}
	if _, err := c.Environment("copy"); err != nil {
		t.Errorf("without the secret the environment is of no use: %v", err)
	}
	c = load(t, maskingCopy, "MASK_SECRET=hunter2")
	if got, err := c.MaskSecret("copy"); got != "hunter2" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.MaskRules(config.Mask{Rules: "/nowhere/mask.yaml"}); !errors.Is(err, envdb.ErrPreflight) {
		t.Errorf("got %v", err)
	}
}
