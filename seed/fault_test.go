package seed_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/envdb/envdb"
)

// TestBadFixtures gives fixtures that are wrong in one way each. The error must
// begin with the file and the line, say what is wrong, and nothing may stay.
func TestBadFixtures(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE authors (id int PRIMARY KEY, name text NOT NULL, email text UNIQUE);
		CREATE TABLE books (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES authors, title varchar(10), price numeric CHECK (price > 0),
			shout text GENERATED ALWAYS AS (upper(title)) STORED);
		CREATE TABLE late (id int PRIMARY KEY, book_id int REFERENCES books DEFERRABLE INITIALLY DEFERRED);
		CREATE TABLE chick (id int PRIMARY KEY, egg_id int NOT NULL); CREATE TABLE egg (id int PRIMARY KEY, chick_id int NOT NULL REFERENCES chick);
		ALTER TABLE chick ADD FOREIGN KEY (egg_id) REFERENCES egg;
		CREATE TABLE diary (id int, day date);
		CREATE SCHEMA x; CREATE SCHEMA y; CREATE TABLE x.twice (id int); CREATE TABLE y.twice (id int)`
	d := newDatabase(t)
	d.exec(t, schema)
	before := d.allRows(t)
	for _, c := range []struct {
		name       string
		texts      map[string]string
		want, next string // parts of the error and of its next step
	}{
		{"malformed YAML", map[string]string{"authors.yml": "- id: 1\n- name: [\n"}, "authors.yml:2: ", ""},
		{"a tab", map[string]string{"authors.yml": "one:\n\tid: 1\n"}, "authors.yml:2: ", ""},
		{"a key twice", map[string]string{"authors.yml": "one:\n  id: 1\n  id: 2\n"}, "authors.yml:3: ", ""},
		{"no rows", map[string]string{"authors.yml": "just words"}, "authors.yml:1: is a text; a fixture file is", ""},
		{"a row that is none", map[string]string{"authors.yml": "- id: 1\n- 7\n"}, "authors.yml:2: is a number; a row is a mapping", ""},
		{"a label without columns", map[string]string{"authors.yml": "one: {id: 1}\ntwo: word\n"}, "authors.yml:2: two is a text", ""},
		{"an alias without anchor", map[string]string{"authors.yml": "one:\n  <<: *DEFAULTS\n"}, "authors.yml:2: ", ""},
		{"unknown table", map[string]string{"autors.yml": "\n- id: 1\n"}, `autors.yml:2: there is no table "autors"`, `did you mean "authors"?`},
		{"unknown table of several", map[string]string{"all.yml": "authors: [{id: 1, name: A}]\nboks:\n- id: 1\n"}, `all.yml:2: there is no table "boks"`, `did you mean "books"?`},
		{"a name in several schemas", map[string]string{"twice.yml": "- id: 1\n"}, `twice.yml:1: the table "twice" is in several schemas`, "write one of x.twice, y.twice"},
		{"unknown column", map[string]string{"authors.yml": "- id: 1\n  nmae: A\n"}, `authors.yml:2: authors has no column "nmae"`, `did you mean "name"?`},
		{"unknown column of CSV", map[string]string{"authors.csv": "id,nmae\n1,A\n"}, `authors.csv:1: authors has no column "nmae"`, `did you mean "name"?`},
		{"a column twice", map[string]string{"authors.yml": "a: {name: A}", "books.yml": "- author: a\n  author_id: 1\n"}, "books.yml:2: books.author_id is given twice", ""},
		{"a generated column", map[string]string{"books.yml": "- shout: A\n"}, "books.yml:1: books.shout is generated", "leave it out"},
		{"undefined label", map[string]string{"authors.yml": "george: {name: G}", "books.yml": "- title: A\n  author: gorge\n"}, `books.yml:2: author: authors has no row labelled "gorge"`, `did you mean "george"?`},
		{"undefined label in a column", map[string]string{"books.yml": "- title: A\n  author_id: gorge\n"}, `books.yml:2: author_id: authors has no row labelled "gorge"`, "add the row"},
		{"a label twice", map[string]string{"authors.yml": "george: {name: G}", "more.yml": "authors:\n  george: {name: H}\n"}, `more.yml:2: authors already has a row labelled "george", at authors.yml:1`, ""},
		{"foreign key", map[string]string{"books.yml": "- title: A\n  author_id: 7\n"}, `books.yml:2: books: Key (author_id)=(7) is not present in table "authors"`, "fixtures of authors"},
		{"foreign key of CSV", map[string]string{"authors.yml": "- {id: 1, name: A}", "books.csv": "id,author_id\n1,1\n2,9\n"}, "books.csv:3: books: Key (author_id)=(9) is not present", ""},
		{"deferred foreign key", map[string]string{"late.yml": "- id: 1\n- id: 2\n  book_id: 5\n"}, "late.yml:3: late: Key (book_id)=(5) is not present", ""},
		{"a row twice", map[string]string{"authors.yml": "- {id: 1, name: A}\n- {id: 2, name: B}\n- {id: 1, name: C}\n"}, "authors.yml:3: authors has (id)=(1) twice: the row and the row at authors.yml:1", ""},
		{"a row twice in two files", map[string]string{"authors.yml": "a: {id: 1, name: A}", "b.yml": "authors:\n- {id: 1, name: B}"}, `b.yml:2: authors has (id)=(1) twice: the row and row "a" at authors.yml:1`, ""},
		{"a unique value twice", map[string]string{"authors.yml": "a: {name: A, email: e}\nb: {name: B, email: e}"}, `authors.yml:2: authors has (email)=(e) twice: row "b" and row "a" at authors.yml:1`, ""},
		{"a line twice", map[string]string{"authors.csv": "id,name\n1,A\n2,B\n1,C\n"}, "authors.csv:4: authors has (id)=(1) twice: here and at authors.csv:2", ""},
		{"a value of another type", map[string]string{"authors.yml": "- name: A\n  id: one\n"}, `authors.yml:2: authors: invalid input syntax for type integer: "one"`, ""},
		{"a value of another type in CSV", map[string]string{"authors.csv": "id,name\n1,A\none,B\n"}, "authors.csv:3: authors: invalid input syntax", ""},
		{"too long", map[string]string{"authors.yml": "- {id: 1, name: A}", "books.yml": "- author_id: 1\n  title: far too long a title\n"}, "books.yml:1: books: value too long", ""},
		{"not NULL", map[string]string{"authors.yml": "- id: 1\n- id: 2\n  name: ~\n"}, "authors.yml:1: authors: name may not be NULL", ""},
		{"a check", map[string]string{"authors.yml": "- {id: 1, name: A}", "books.yml": "- author_id: 1\n  price: -1\n"}, "books.yml:1: books: new row for relation", ""},
		{"an expression that fails", map[string]string{"authors.yml": "- id: 1\n  name: RAW=no_such_function()\n"}, "authors.yml:1: authors: function no_such_function() does not exist (No function matches the given name and argument types. You might need to add explicit type casts)", "correct the row at authors.yml:1"},
		{"a date that is none", map[string]string{"diary.yml": "- id: 1\n  day: 31/31/2020\n"}, `diary.yml:2: diary: date/time field value out of range: "31/31/2020" (Perhaps you need a different "`, "correct the value at diary.yml:2"},
		{"hexadecimal", map[string]string{"authors.yml": "- {id: 1, name: !!binary '***'}"}, "authors.yml:1: !!binary is not base64", ""},
		{"an unknown tag", map[string]string{"authors.yml": "- id: 1\n  name: !secret x\n"}, "authors.yml:2: the tag !secret is not read", ""},
		{"a circle", map[string]string{"chick.yml": "a: {egg: b}", "egg.yml": "b: {chick: a}"}, "the foreign keys chick.egg_id → egg.chick_id go in a circle", "DEFERRABLE"},
		{"a template", map[string]string{"authors.yml": "- id: 1\n  name: {{nope}}\n"}, `authors.yml:2: function "nope" not defined`, ""},
		{"a template's value", map[string]string{"authors.yml": "- id: 1\n  name: {{.Name}}\n"}, `authors.yml:2: {{.Name}}: map has no entry for key "Name"`, ""},
		{"a template's variable", map[string]string{"authors.yml": "- id: 1\n\n  name: {{env \"NO_SUCH\"}}\n"}, "authors.yml:3: the variable NO_SUCH is not set", "set NO_SUCH"},
		{"a template's file", map[string]string{"authors.yml": "- id: 1\n  name: {{file \"no.txt\"}}\n"}, "authors.yml:2: ", "relative to the fixture file"},
		{"a template's fake", map[string]string{"authors.yml": "- id: 1\n  name: {{fake \"frist_name\"}}\n"}, `authors.yml:2: there is no fake data of the kind "frist_name"`, ""},
		{"below a loop", map[string]string{"authors.yml": "{{range seq 3}}\n- id: {{.}}\n  name: A\n{{end}}\n- id: 4\n  nmae: B\n"}, `authors.yml:6: authors has no column "nmae"`, ""},
		{"within a loop", map[string]string{"authors.yml": "{{range seq 3}}\n- id: {{.}}\n  nmae: A\n{{end}}\n"}, `authors.yml:3: authors has no column "nmae"`, ""},
		{"a script", map[string]string{"a.sql": "SELECT 1;\nSELECT 2;\nSELECT nope;\n"}, `a.sql:3: column "nope" does not exist`, ""},
		{"a script of goose", map[string]string{"a.sql": "-- +goose Up\nSELECT 1;\n\nSELECT\n  nope;\n"}, `a.sql:5: column "nope" does not exist`, ""},
		{"a script whose error has no position", map[string]string{"a.sql": "SELECT 1;\n\n/* a */ SELECT\n1 / 0;\nSELECT 1;\n"}, `a.sql:3: division by zero`, "correct the script"},
		{"a script of goose whose error has no position", map[string]string{"a.sql": "-- +goose Up\nSELECT 1;\n\nSELECT 1 / 0;\n"}, `a.sql:4: division by zero`, ""},
		{"a script that takes the load back", map[string]string{"authors.yml": "- {id: 1, name: A}\n- {id: 2, name: B}\n", "z.sql": "\nrollback; INSERT INTO authors VALUES (3, 'C')"}, "z.sql:2: ROLLBACK: a script runs in the transaction of the load", "remove the statement"},
		{"a script that ends the load", map[string]string{"authors.yml": "- {id: 1, name: A}\n", "z.sql": "BEGIN;\nDELETE FROM authors;\nCOMMIT;"}, "z.sql:1: BEGIN: ", "remove the statement"},
		{"a script of goose that ends the load", map[string]string{"authors.yml": "- {id: 1, name: A}\n", "z.sql": "-- +goose Up\nDELETE FROM authors;\nCOMMIT;\n"}, "z.sql:3: COMMIT: ", "remove the statement"},
		{"an unfinished script of goose", map[string]string{"a.sql": "-- +goose Up\nSELECT 1\n"}, "a.sql: ", ""},
		{"a block without rows", map[string]string{"authors.yml": "generate:\n  authors:\n    columns: {id: sequence}\n"}, "authors.yml:2: generate of authors does not say how many rows:", ""},
		{"a block's column", map[string]string{"authors.yml": "generate:\n  rows: 10\n  columns:\n    id: sequence\n    nmae: name\n"}, `authors.yml:5: authors has no column "nmae"`, `did you mean "name"?`},
		{"a block that leaves a column out", map[string]string{"authors.yml": "generate:\n  rows: 10\n  columns: {id: sequence}\n"}, "authors.yml:2: generate of authors: the column name may not be NULL", "name: {text: 20}"},
		{"a block without a generator", map[string]string{"authors.yml": "generate:\n  rows: 10\n  columns:\n    id: sequence\n    name: {chioce: [a]}\n"}, `authors.yml:5: unknown key "chioce" for the column name`, ""},
		{"a block's foreign key without rows", map[string]string{"books.yml": "generate:\n  rows: 10\n"}, "books.yml:2: column author_id: refers to authors, which has no rows", ""},
		{"a block's duplicates", map[string]string{"authors.yml": "generate:\n  rows: 10\n  columns:\n    id: {range: [1, 3]}\n    name: name\n"}, "authors.yml:4: generate of authors, row", "unique: true"},
		{"a block that is not unique enough", map[string]string{"authors.yml": "generate:\n  rows: 10\n  columns:\n    id: {range: [1, 3], unique: true}\n    name: name\n"}, "authors.yml:4: column id: is unique, and the range has 3 numbers for 10 rows", ""},
		{"an unknown kind", map[string]string{"notes.txt": "", "a.yml": "authors: [{id: 1, name: A}]", "b.yml": "b: 1\nauthors: []\n"}, "b.yml:1: is a number; rows are a list", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := d.load(t, "", c.texts)
			if err == nil {
				t.Fatal("loaded without an error")
			}
			state, next := envdb.Advice(err)
			if !strings.Contains(err.Error(), c.want) || strings.Contains(c.want, ".yml:") && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("error: %v\nwant:  %s", err, c.want)
			}
			if !strings.Contains(next, c.next) {
				t.Errorf("next: %q\nwant: %q", next, c.next)
			}
			if state == "" {
				t.Error("the error does not say what state things are in")
			}
			if !errors.Is(err, envdb.ErrPreflight) {
				t.Errorf("the kind of %v is not ErrPreflight", err)
			}
		})
	}
	if after := d.allRows(t); after != before {
		t.Errorf("rows were left behind:\n%s", after)
	}
}
