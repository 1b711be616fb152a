package seed_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/envdb/envdb/seed"
)

// seeded is a set of inputs with a bit of everything.
var seeded = map[string]string{
	"db/1_tables.sql": `-- +goose Up
CREATE TABLE people (id bigint PRIMARY KEY, name text, email text UNIQUE, born date, secret text, made timestamptz DEFAULT now(), key uuid DEFAULT gen_random_uuid());
CREATE TABLE visits (id bigserial PRIMARY KEY, person_id bigint REFERENCES people, at timestamptz, page text, cost numeric);
`,
	"fx/1_people.yml": `
people:
  ada:
    name: {{fake "name"}}
    email: {{fake "email"}}
    born: {{date (ago "30d")}}
    secret: {{env "SECRET" "none"}}
    made: {{now}}
  bob: {name: {{file "bob.txt" | quote}}}
generate:
  people:
    rows: 300
    columns:
      id: sequence
      name: {fake: "{firstname} {lastname}", null: 0.1}
      email: {fake: email, unique: true}
  visits:
    rows: 2000
    columns:
      at: {time: ["10d ago", now]}
      page: {choice: {/: 5, /about: 1}}
      cost: {range: [0, 9.99], decimals: 2}
`,
	"fx/bob.txt": "Bob\n\"the\" builder",
}

func seededSpec(t *testing.T, texts map[string]string) seed.Spec {
	fsys := files(texts)
	return seed.Spec{
		Migrations: dirOf(t, fsys, "db"), MigrationsName: "db", Fixtures: fixtures(t, fsys, "fx/*.yml"), Clock: noon, ConfigDigest: "c",
		Variables: func(name string) (string, bool) { return texts["$"+name], texts["$"+name] != "" },
	}
}

func read(t *testing.T, spec seed.Spec) *seed.Set {
	t.Helper()
	set, err := seed.Read(spec)
	if err != nil {
		fatal(t, err)
	}
	return set
}

func TestSameDigestSameRows(t *testing.T) {
	t.Parallel()
	var rows, digests [2]string
	for i := range rows {
		d := newDatabase(t)
		set := read(t, seededSpec(t, seeded))
		if _, err := set.Migrate(t.Context(), d.cfg); err != nil {
			fatal(t, err)
		}
		loaded, err := set.Load(t.Context(), d.connect(t), nil)
		if err != nil {
			fatal(t, err)
		}
		if got := strings.Join(loaded.Volatile, "; "); got != "people.key (default gen_random_uuid()); people.made (default now())" {
			t.Errorf("volatile: %s", got)
		}
		if loaded.Rows != 2302 {
			t.Errorf("%d rows", loaded.Rows)
		}
		d.exec(t, "ALTER TABLE people DROP key, DROP made")
		rows[i], digests[i] = d.allRows(t), set.Digest(seed.Server{Major: 15})
		d.want(t, "SELECT born, secret, name IS NOT NULL FROM people WHERE id = "+id("ada"), "2026-02-02|none|t")
		d.want(t, "SELECT name FROM people WHERE id = "+id("bob"), "Bob\n\"the\" builder")
		d.want(t, "SELECT count(DISTINCT email) FROM people", "301")
		d.want(t, "SELECT count(*) BETWEEN 10 AND 60 FROM people WHERE name IS NULL", "t")
		d.want(t, "SELECT count(*), count(DISTINCT page), min(at) >= '2026-02-22', max(at) <= '2026-03-04 12:00Z', min(cost) >= 0, max(cost) < 10 FROM visits", "2000|2|t|t|t|t")
		d.want(t, "INSERT INTO visits DEFAULT VALUES RETURNING id", "2001")
	}
	if digests[0] != digests[1] {
		t.Errorf("digests differ: %v", digests)
	}
	if rows[0] != rows[1] {
		t.Error("the same digest gave other rows")
	}
}

func TestDigestCoversItsInputs(t *testing.T) {
	t.Parallel()
	server := seed.Server{Major: 15, Extensions: map[string]string{"pg_trgm": "1.6"}}
	base := read(t, seededSpec(t, seeded)).Digest(server)
	if len(base) != 64 {
		t.Fatalf("digest %q", base)
	}
	changed := map[string]string{}
	text := func(name, old, now string) {
		texts := maps.Clone(seeded)
		texts[name] = strings.Replace(texts[name], old, now, 1)
		if texts[name] == seeded[name] {
			t.Fatalf("%s has no %q", name, old)
		}
		changed[name+" "+now] = read(t, seededSpec(t, texts)).Digest(server)
	}
	text("db/1_tables.sql", "name text", "name  text")
	text("fx/1_people.yml", "bob:", "bop:")
	text("fx/bob.txt", "Bob", "Rob")
	text("$SECRET", "", "hush")
	spec := func(what string, change func(*seed.Spec)) {
		s := seededSpec(t, seeded)
		change(&s)
		changed[what] = read(t, s).Digest(server)
	}
	spec("clock", func(s *seed.Spec) { s.Clock = noon.Add(time.Second) })
	spec("config", func(s *seed.Spec) { s.ConfigDigest = "d" })
	spec("extensions", func(s *seed.Spec) { s.Extensions = []string{"hstore"} })
	spec("values", func(s *seed.Spec) { s.Values = map[string]any{"a": 1} })
	spec("name", func(s *seed.Spec) { s.Fixtures[0].Name = "other" })
	set := read(t, seededSpec(t, seeded))
	changed["major"] = set.Digest(seed.Server{Major: 16, Extensions: server.Extensions})
	changed["extension version"] = set.Digest(seed.Server{Major: 15, Extensions: map[string]string{"pg_trgm": "1.7"}})
	seen := map[string]string{base: "nothing"}
	for what, digest := range changed {
		if other, found := seen[digest]; found {
			t.Errorf("a change of %s has the digest of %s", what, other)
		}
		seen[digest] = what
	}
}

func TestDigestLeavesTheClockOut(t *testing.T) {
	t.Parallel()
	at := func(clock time.Time, text string) (string, bool) {
		set := read(t, seed.Spec{Fixtures: fixtures(t, files(map[string]string{"a.yml": text})), Clock: clock, Environment: clock.String()})
		return set.Digest(seed.Server{Major: 15}), set.UsesTime()
	}
	for text, uses := range map[string]bool{
		"- id: {{id \"x\"}}\n":    false,
		"- at: {{now}}\n":         true,
		"- at: {{ago \"3d\"}}":    true,
		"- at: {{date}}":          true,
		"- at: {{fake \"name\"}}": false,
		"generate: {rows: 1, columns: {at: {time: [\"3d ago\", now]}}}":        true,
		"generate: {rows: 1, columns: {at: {time: [2026-01-01, 2026-02-01]}}}": false,
	} {
		one, used := at(noon, text)
		two, _ := at(noon.Add(time.Hour), text)
		if used != uses || (one != two) != uses {
			t.Errorf("%s: uses time %v, digests differ %v", text, used, one != two)
		}
	}
}
