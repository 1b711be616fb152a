package generate_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/seed/fixture"
	"github.com/envdb/envdb/seed/generate"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// block parses the only block of a file called volume.yml.
func block(t testing.TB, text string) (*generate.Block, error) {
	t.Helper()
	f, err := fixture.Parse("volume.yml", text)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := f.Blocks()
	if err != nil || len(blocks) != 1 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	return generate.Parse(blocks[0])
}

// rows makes the rows of a block.
func rows(t testing.TB, text string, change func(*generate.Surroundings)) (string, error) {
	t.Helper()
	b, err := block(t, text)
	if err != nil {
		return "", err
	}
	around := generate.Surroundings{
		Seed: "volume.yml", Clock: noon, Parents: map[string]generate.Parent{},
		Text: func(_ string, v fixture.Value) (string, error) { return v.Text, nil },
	}
	if change != nil {
		change(&around)
	}
	s, err := b.Stream(around)
	if err != nil {
		return "", err
	}
	made, err := io.ReadAll(s)
	return string(made), err
}

func TestStream(t *testing.T) {
	t.Parallel()
	got, err := rows(t, `
generate:
  t:
    rows: 3
    columns:
      id: {sequence: {start: 10, step: 5}}
      fix: 7
      none: ~
      name: {format: "<{id}|{row:03}|{other}>"}
      text: {value: "tab\there \\ end"}
      in_turn: {choice: [a, b, c], unique: true}
      money: {range: [-0.05, -0.05], decimals: 2}
      at: {time: ["1h ago", "1h ago"]}
      up: {references: t}
`, func(s *generate.Surroundings) {
		s.Parents["up"] = generate.Parent{Keys: &generate.Keys{Own: true, First: 10, Step: 5}}
	})
	if err == nil || !strings.HasPrefix(err.Error(), `volume.yml:9: column name: the format has {other}`) {
		t.Errorf("a format with an unknown column: %v\n%s", err, got)
	}
	got, err = rows(t, `
generate:
  t:
    rows: 3
    columns:
      id: {sequence: {start: 10, step: 5}}
      fix: 7
      none: ~
      name: {format: "<{id}|{row:03}|{}>"}
      text: {value: "tab\there \\ end"}
      in_turn: {choice: [a, b, c], unique: true}
      money: {range: [-0.05, -0.05], decimals: 2}
      at: {time: ["1h ago", "1h ago"]}
      up: {references: t}
`, func(s *generate.Surroundings) {
		s.Parents["up"] = generate.Parent{Keys: &generate.Keys{Own: true, First: 10, Step: 5}}
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(got, "\n")
	for i, want := range []string{
		`10	7	\N	<10|001|{}>	tab\there \\ end	a	-0.05	2026-03-04 11:00:00+00	\N`,
		`15	7	\N	<15|002|{}>	tab\there \\ end	b	-0.05	2026-03-04 11:00:00+00	10`,
	} {
		if lines[i] != want {
			t.Errorf("row %d:\n%s\nwant:\n%s", i, lines[i], want)
		}
	}
}

// TestColumnsDoNotDisturbEachOther adds a column in front and looks whether
// the others are as before.
func TestColumnsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	const one = "generate: {t: {rows: 100, columns: {a: {range: [1, 1000]}, b: name, c: uuid, d: {fake: email, null: 0.3}}}}"
	before, err := rows(t, one, nil)
	if err != nil {
		t.Fatal(err)
	}
	after, err := rows(t, strings.Replace(one, "a: {", "new: {text: 10}, a: {", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(after) {
		_, rest, _ := strings.Cut(line, "\t")
		if !strings.Contains(before, rest) {
			t.Errorf("%q was not there before", rest)
		}
	}
	other, err := rows(t, one, func(s *generate.Surroundings) { s.Seed = "other.yml" })
	if err != nil || other == before {
		t.Errorf("another file gave the same rows (%v)", err)
	}
}

func TestUniqueValues(t *testing.T) {
	t.Parallel()
	for _, column := range []string{
		"{range: [1, 1000], unique: true}", "{range: [-2, 2000], unique: true}", "{range: [0, 9.99], decimals: 2, unique: true}",
		"{fake: email, unique: true}", "{fake: color, unique: true}", "sequence", "{sequence: {start: 5, step: -3}}", "uuid",
		`{format: "{row}", unique: true}`, "{range: [-9223372036854775808, 9223372036854775807], unique: true}",
	} {
		made, err := rows(t, "generate: {t: {rows: 1000, columns: {c: "+column+"}}}", nil)
		if err != nil {
			t.Errorf("%s: %v", column, err)
			continue
		}
		seen := map[string]bool{}
		for line := range strings.Lines(made) {
			if seen[line] {
				t.Errorf("%s: %q twice", column, line)
			}
			seen[line] = true
		}
		if len(seen) != 1000 {
			t.Errorf("%s: %d values", column, len(seen))
		}
	}
}

func TestBlocksThatAreWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"rows: 1.5":                                            `"1.5" is not a number of rows`,
		"rows: -1":                                             "is not a number of rows",
		"rows: 1, colums: {}":                                  `unknown key "colums"`,
		"rows: 1, columns: [a]":                                "columns is a list",
		"rows: 1, columns: {a: [1]}":                           "is a list; {choice: […]}",
		"rows: 1, columns: {a: frist_name}":                    `"frist_name" makes nothing`,
		"rows: 1, columns: {a: pastdate}":                      `"pastdate" makes nothing`,
		"rows: 1, columns: {a: {}}":                            "says nothing that makes values",
		"rows: 1, columns: {a: {uuid: ~, fake: name}}":         "has two keys",
		"rows: 1, columns: {a: {uuid: ~, null: 2}}":            "is not a share",
		"rows: 1, columns: {a: {choice: {a: x}}}":              "the weight",
		"rows: 1, columns: {a: {choice: {a: 0}}}":              "all weights are 0",
		"rows: 1, columns: {a: {choice: [a], weights: [1,2]}}": "2 weights for 1 values",
		"rows: 1, columns: {a: {range: [0, 0.5]}}":             "is not a number with 0 decimals",
		"rows: 1, columns: {a: {range: [2, 1]}}":               "begins after it ends",
		"rows: 1, columns: {a: {time: [now, yesterday]}}":      `"yesterday" is not a moment`,
		"rows: 1, columns: {a: {time: [now, 1d ago]}}":         "ends before it begins",
		"rows: 1, columns: {a: {text: [5, 2]}}":                "is no length",
		"rows: 2, columns: {a: {choice: [a], unique: true}}":   "not enough for 2 rows",
		"rows: 2, columns: {a: {value: a, unique: true}}":      "always the same value",
		"rows: 2, columns: {a: {format: a, unique: true}}":     "neither {row}",
		"rows: 2, columns: {a: {references: b}}":               "whose keys are not known",
		"rows: 2, columns: {a: {sequence: {start: x}}}":        "sequence: ",
		"rows: 2, columns: {a: {fake: word, args: [1]}}":       "takes 0 arguments",
	} {
		if _, err := rows(t, "generate: {t: {"+text+"}}", nil); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "volume.yml:1: ") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// BenchmarkStream makes a million rows of the usual columns.
func BenchmarkStream(b *testing.B) {
	parsed, err := block(b, `
generate:
  t:
    rows: 1M
    columns:
      id: sequence
      customer_id: {range: [1, 10000]}
      email: {fake: email}
      status: {choice: {paid: 6, new: 3, refunded: 1}}
      total: {range: [1, 500], decimals: 2}
      paid: {choice: [true, false]}
      placed_at: {time: ["90d ago", now]}
      note: {text: [10, 60], null: 0.5}
`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := parsed.Stream(generate.Surroundings{Clock: noon, Text: func(_ string, v fixture.Value) (string, error) { return v.Text, nil }})
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, s)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(n)
	}
}
