package seed_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/envdb/envdb/seed/fake"
)

// codeBlock is a block of code in Markdown, with the name of its file.
var codeBlock = regexp.MustCompile("(?ms)^```(\\w+)(?: file=(\\S+))?\n(.*?)^```$")

// TestExamplesOfTheDocumentation loads every example of docs/fixtures.md: those
// of a section together, into the tables that the page begins with.
func TestExamplesOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/fixtures.md")
	if err != nil {
		t.Fatal(err)
	}
	d := newDatabase(t)
	schema, loaded := "", 0
	for _, section := range strings.Split(string(text), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		texts := map[string]string{}
		var order []string
		for _, block := range codeBlock.FindAllStringSubmatch(section, -1) {
			switch {
			case block[2] != "":
				texts[block[2]] = block[3]
				order = append(order, block[2])
			case block[1] == "sql" && schema == "":
				schema = block[3]
			}
		}
		if len(texts) == 0 {
			continue
		}
		t.Run(title, func(t *testing.T) {
			d.clear(t)
			got := d.mustLoad(t, schema, texts, order...)
			if got.Rows == 0 && title != "SQL" {
				t.Error("the examples load no rows")
			}
		})
		loaded += len(texts)
	}
	if loaded < 9 {
		t.Errorf("found %d examples", loaded)
	}
}

// TestFakeKindsAreSteady makes every kind of fake data up twice.
func TestFakeKindsAreSteady(t *testing.T) {
	t.Parallel()
	names := fake.Names()
	if len(names) < 200 {
		t.Errorf("%d kinds", len(names))
	}
	for _, name := range names {
		k, err := fake.Find(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		one, err := k.Value(fake.New("seed", name))
		if err != nil && strings.Contains(err.Error(), "could not find field") {
			continue // it needs arguments, and says which
		}
		two, _ := k.Value(fake.New("seed", name))
		if err != nil || one != two {
			t.Errorf("%s: %q, then %q (%v)", name, one, two, err)
		}
	}
}
