package mask_test

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/envdb/envdb/internal/mask"
)

// sampled masks values of a column, and returns what looks for them.
func sampled(t *testing.T, typeName string, rule mask.Rule, values ...string) *mask.Finder {
	t.Helper()
	shape := table(typeName)
	rules := &mask.Rules{Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", Rule: rule}}}}}
	plan, _ := mask.Match(rules, []mask.Shape{shape}, false, 0)
	samples := mask.NewSamples()
	in := strings.NewReader(strings.Join(values, "\n") + "\n")
	r := plan.Table(shape.Name).Masker(key(t, secret), []string{"c"}, false, int64(len(values)), samples).Reader(iotest.OneByteReader(in), 0, int64(len(values)))
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	r.Finish()
	return samples.Search().Finder()
}

func TestFind(t *testing.T) {
	t.Parallel()
	f := sampled(t, "text", named(mask.Hash), "Ada.Real@corp.example", "123456", "short", "Straße Ä1", `says "no, never ever" to all`, "Martin", "please do ring the bell of the neighbours")
	for text, want := range map[string]bool{
		"Ada.Real@corp.example":           true,
		"mailto:ADA.REAL@CORP.EXAMPLE?x":  true,
		`{"to": "ada.real@corp.example"}`: true,
		"ada.real@corp.exampl":            false,
		"123456":                          true,
		"order 123456, paid":              true,
		"9123456":                         false,
		"1234567":                         false,
		"tel\\t123456":                    true,
		"short":                           false,
		"in der straße ä1.":               true,
		`{"a": "he says \\"no, never ever\\" now"}`: true,
		"Martin": false, // a rule may invent it
		"xxplease do ring the bell of the neighbour":  false,
		"xxplease do ring the bell of the neighbours": true,
		"": false,
	} {
		if got := f.Find([]byte(text)) != ""; got != want {
			t.Errorf("found in %q: %t, want %t", text, got, want)
		}
	}
	if got := f.Find([]byte("123456")); got != "public.t.c" {
		t.Errorf("it is of %q", got)
	}
	for vector, want := range map[string]bool{
		"'bell':6 'neighbour':9 'pleas':1 'ring':4": true,
		"'bell':6 'pleas':1":                        false,
		"'ada.real@corp.example':3":                 true,
		"'market':1":                                false,
	} {
		if got := f.FindWords([]byte(vector)) != ""; got != want {
			t.Errorf("found in %s: %t, want %t", vector, got, want)
		}
	}
}

func TestFindInDocuments(t *testing.T) {
	t.Parallel()
	f := sampled(t, "jsonb", named(mask.Redact), `{"customer_name": "Someone Real", "tags": ["secretive", "b"], "n": 1234567}`)
	for text, want := range map[string]bool{"about Someone Real": true, "customer_name": false, "secretive": true, "1234567": false} {
		if got := f.Find([]byte(text)) != ""; got != want {
			t.Errorf("found in %q: %t, want %t", text, got, want)
		}
	}
}

func TestNobodyLooksForWhatIsUnscanned(t *testing.T) {
	t.Parallel()
	shape := table("text")
	rules := &mask.Rules{Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", Rule: named(mask.City), Unscanned: true}}}}}
	plan, _ := mask.Match(rules, []mask.Shape{shape}, false, 0)
	samples := mask.NewSamples()
	r := plan.Table(shape.Name).Masker(key(t, secret), []string{"c"}, false, 1, samples).Reader(strings.NewReader("Constantinople\n"), 0, 1)
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	r.Finish()
	if n := samples.Count(); n != 0 {
		t.Errorf("%d values are looked for", n)
	}
}

// The rows of a table of a million values give a thousand samples.
func TestSamplesAreFew(t *testing.T) {
	t.Parallel()
	shape := table("text")
	rules := &mask.Rules{Tables: []mask.TableRules{{Name: shape.Name, Columns: []mask.ColumnRule{{Column: "c", Rule: named(mask.Hash)}}}}}
	plan, _ := mask.Match(rules, []mask.Shape{shape}, false, 0)
	samples := mask.NewSamples()
	const rows = 50_000
	m := plan.Table(shape.Name).Masker(key(t, secret), []string{"c"}, false, 2*rows, samples)
	for part := range 2 {
		var in strings.Builder
		for i := range rows {
			in.WriteString("value number " + itoa(part*rows+i) + "\n")
		}
		r := m.Reader(strings.NewReader(in.String()), int64(part*rows), rows)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		r.Finish()
	}
	if n := samples.Count(); n != 1000 {
		t.Errorf("%d samples, want 1000", n)
	}
}
